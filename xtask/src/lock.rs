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
    take(&folder(), name)
}

/// Where all checkouts of a user meet; without a session's folder, this checkout's own.
fn folder() -> PathBuf {
    let session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_dir());
    session.unwrap_or_else(workspace::target).join("inflight")
}

fn take(folder: &Path, name: &str) -> anyhow::Result<Lock> {
    // A vendor's folder is part of a name.
    let path = folder.join(format!("{}.lock", name.replace('/', "-")));
    let cannot = || format!("cannot lock board {name} by {}", path.display());
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
            return Err(usage(format!("board {name} is in use by another command{who}; wait for its end")));
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
        let first = take(folder.path(), "a").unwrap();
        let _other = take(folder.path(), "b").unwrap();
        let error = take(folder.path(), "a").unwrap_err();
        assert_eq!(status_of(&error), Exit::Usage);
        let wanted = format!("board a is in use by another command, process {}; wait for its end", std::process::id());
        assert_eq!(one_line(&error), wanted);
        drop(first);
        take(folder.path(), "a").unwrap();
    }
}
