//! `cargo xtask completions`: a script for a shell. It hooks into the shell's completion of `cargo`, and asks the tool itself for
//! the words: so that boards, scenarios and faults are those of the checkout in which one is.

pub mod values;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory, ValueEnum};
use clap_complete::engine;

use crate::cli::{Cli, CompletionsArgs};
use crate::exit::{Exit, say};

/// A shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

impl Shell {
    fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("cargo-xtask.bash"),
            Self::Zsh => include_str!("cargo-xtask.zsh"),
            Self::Fish => include_str!("cargo-xtask.fish"),
        }
    }
}

/// Runs the command.
pub fn run(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    match args.at {
        None => say!("{}", args.shell.script().trim_end()),
        Some(at) => words(args.words.clone(), at)?.iter().for_each(|(word, help)| match args.shell {
            // It shows no help.
            Shell::Bash => say!("{word}"),
            Shell::Zsh | Shell::Fish => say!("{word}\t{help}"),
        }),
    }
    Ok(Exit::Pass)
}

/// What may stand at `at` of a command line that begins with `xtask`, each with a line about it.
fn words(line: Vec<OsString>, at: usize) -> anyhow::Result<Vec<(String, String)>> {
    let folder: Option<PathBuf> = std::env::current_dir().ok();
    let found = engine::complete(&mut Cli::command(), line, at, folder.as_deref())?;
    let shown = found.iter().filter(|candidate| !candidate.is_hide_set());
    let word = |candidate: &engine::CompletionCandidate| {
        let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
        let help = help.lines().next().unwrap_or_default().to_owned();
        (candidate.get_value().to_string_lossy().into_owned(), help)
    };
    Ok(shown.map(word).collect())
}
