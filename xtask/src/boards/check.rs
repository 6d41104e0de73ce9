//! `cargo xtask boards check`: every mistake of every file, not the first.

use crate::exit::{Exit, say, tell};

/// Checks these boards, each a name or a file; without any, all that there are.
pub fn run(boards: &[String]) -> anyhow::Result<Exit> {
    let all = if boards.is_empty() { super::names()? } else { boards.to_vec() };
    let folder = super::folder();
    let mut wrong = (0, 0);
    for name in &all {
        let mistakes = board::mistakes(&folder, name);
        wrong.0 += mistakes.len();
        wrong.1 += usize::from(!mistakes.is_empty());
        for mistake in mistakes {
            tell!("{mistake}");
        }
    }
    let files = match all.len() {
        1 => "1 board".to_owned(),
        count => format!("{count} boards"),
    };
    match wrong {
        (0, _) => {
            say!("{files}: no mistake");
            Ok(Exit::Pass)
        }
        (mistakes, boards) => {
            tell!("{files}: {mistakes} mistake{} in {boards}", if mistakes == 1 { "" } else { "s" });
            Ok(Exit::Usage)
        }
    }
}
