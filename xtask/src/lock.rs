//! One command at a time on one board.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::exit::usage;
use crate::workspace;

/// A board that belongs to this process until it is dropped. The system takes it back from a process that is killed.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the board `name`.
///
/// # Errors
/// One line that names the process which has it.
pub fn board(name: &str) -> anyhow::Result<Lock> {
    take(&folder(), &format!("board {name}"))
}

/// Takes a line to a board: another board's file may name the same.
///
/// # Errors
/// As [`board()`].
pub fn console(name: &str) -> anyhow::Result<Lock> {
    take(&folder(), &format!("console {name}"))
}

/// Where all checkouts of a user meet, with a session and without one.
fn folder() -> PathBuf {
    let named = |variable| std::env::var_os(variable).filter(|name| !name.is_empty()).map(PathBuf::from);
    let state = named("XDG_STATE_HOME").or_else(|| Some(named("HOME")?.join(".local/state")));
    state.unwrap_or_else(workspace::target).join("inflight")
}

/// Takes it by a file of this folder.
///
/// # Errors
/// As [`board()`].
pub fn take(folder: &Path, what: &str) -> anyhow::Result<Lock> {
    // A vendor's folder is part of a name, and an address has its colon.
    let path = folder.join(format!("{}.lock", what.replace(['/', ' ', ':'], "-")));
    let cannot = || format!("cannot lock {what} by {}", path.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    let mut file =
        File::options().create(true).read(true).write(true).truncate(false).open(&path).with_context(cannot)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // For the message only.
            let _ = file.read_to_string(&mut holder);
            let holder = holder.trim();
            let who = if holder.is_empty() { String::new() } else { format!(", process {holder}") };
            return Err(usage(format!("{what} is in use by another command{who}; wait for its end")));
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
    }
    file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).with_context(cannot)?;
    Ok(Lock { _file: file })
}

#[cfg(test)]
mod tests {
    use super::take;
    use crate::exit::{Exit, one_line, status_of};

    #[test]
    fn a_board_has_one_holder_at_a_time_and_others_are_told_which() {
        let folder = tempfile::tempdir().unwrap();
        let first = take(folder.path(), "board a").unwrap();
        let _other = take(folder.path(), "board b").unwrap();
        let _line = take(folder.path(), "console 127.0.0.1:4000").unwrap();
        let error = take(folder.path(), "board a").unwrap_err();
        assert_eq!(status_of(&error), Exit::Usage);
        let wanted = format!("board a is in use by another command, process {}; wait for its end", std::process::id());
        assert_eq!(one_line(&error), wanted);
        drop(first);
        take(folder.path(), "board a").unwrap();
        assert!(take(folder.path(), "console 127.0.0.1:4000").is_err());
    }
}
