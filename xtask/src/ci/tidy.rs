//! Rules of this repository that no compiler knows.

use std::path::Path;
use std::process::Command;

use crate::workspace;

/// Longer files are worth a look, and far longer ones must be cut.
const LONG: usize = 500;
const TOO_LONG: usize = 800;

/// Text that belongs to one machine or service, and why it must not be in the tree. Written in parts, so that this
/// file does not hold it.
const FORBIDDEN: [(&str, &str, &str); 6] = [
    ("index.", "crates.io", "a package registry's host"),
    ("static.", "crates.io", "a package registry's host"),
    ("deb.", "debian.org", "a mirror's host; take it from the system's own sources"),
    ("archive.", "ubuntu.com", "a mirror's host; take it from the system's own sources"),
    ("/ho", "me/", "a path of one machine"),
    ("/ro", "ot/", "a path of one machine"),
];

/// Checks all files of the checkout that are not ignored.
pub fn check() -> Result<(), String> {
    let mut wrong = Vec::new();
    for name in files()? {
        let Ok(text) = std::fs::read_to_string(workspace::root().join(&name)) else { continue };
        wrong.extend(file(&name, &text));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// Files that git tracks or would add.
fn files() -> Result<Vec<String>, String> {
    let mut command = Command::new("git");
    command.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(workspace::root());
    let output = command.output().map_err(|error| format!("cannot start git: {error}"))?;
    if !output.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter(|name| !name.ends_with("Cargo.lock")).map(str::to_owned).collect())
}

/// What is wrong with one text file.
fn file(name: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = format!("{name}:{}", number + 1);
        for (first, second, what) in FORBIDDEN {
            if line.contains(&format!("{first}{second}")) {
                wrong.push(format!("{place}: {what}"));
            }
        }
        if line.ends_with([' ', '\t']) && !name.ends_with(".md") {
            wrong.push(format!("{place}: blank at the end of the line"));
        }
    }
    if Path::new(name).extension().is_some_and(|extension| extension == "rs") {
        let length = code_lines(text);
        if length > TOO_LONG && !name.ends_with("tests.rs") {
            wrong.push(format!("{name}: {length} lines without tests, at most {TOO_LONG}"));
        } else if length > LONG {
            crate::exit::tell!("tidy: {name} has {length} lines without tests; {LONG} is long");
        }
    }
    wrong
}

/// Lines before the module's own tests.
fn code_lines(text: &str) -> usize {
    text.lines().take_while(|line| *line != "mod tests {").count()
}

#[cfg(test)]
mod tests {
    use super::{FORBIDDEN, TOO_LONG, file};

    #[test]
    fn forbidden_text_is_found_with_its_place() {
        for (first, second, _) in FORBIDDEN {
            let wrong = file("a.md", &format!("fine\nx {first}{second} y\n"));
            assert!(wrong.len() == 1 && wrong[0].starts_with("a.md:2: "), "{wrong:?}");
        }
        assert!(file("a.md", "nothing here\n").is_empty());
    }

    #[test]
    fn a_file_that_is_too_long_is_found_and_its_tests_do_not_count() {
        let code = "x\n".repeat(TOO_LONG);
        assert!(file("a.rs", &format!("{code}mod tests {{\n{code}")).is_empty());
        assert_eq!(file("a.rs", &format!("{code}x\n")).len(), 1);
        assert!(file("a.txt", &format!("{code}x\n")).is_empty());
    }

    #[test]
    fn a_blank_at_the_end_of_a_line_is_found() {
        assert_eq!(file("a.rs", "x \n").len(), 1);
    }
}
