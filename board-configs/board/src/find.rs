//! Finds boards: by name in the folder of all, or by path where a lab keeps its own.

use std::path::{Path, PathBuf};

use crate::{Board, BoardError, check, error, raw};

/// Reads a board: one of `folder` by its name, such as `qemu-virt` or `ampere/altra`, or the file of a lab by its path, which ends
/// in `.toml`. Such a file is a whole board, or says with `extends` which known one it is about.
///
/// # Errors
/// [`BoardError`]: no such board, an unreadable file, or a mistake in it with its line.
pub fn load(folder: &Path, name: &str) -> Result<Board, BoardError> {
    if name.ends_with(".toml") {
        return of_lab(folder, Path::new(name));
    }
    let path = folder.join(format!("{name}.toml"));
    // A name is a file's stem, after the folder of its vendor: never a way out of all boards.
    let names = names(folder)?;
    if !names.iter().any(|known| known == name) {
        return Err(BoardError::unknown(name, &names));
    }
    let board = parse(&path, &read(&path)?)?;
    if board.name != name {
        let text = format!("name is `{}`, in a file for `{name}`", board.name);
        return Err(BoardError::Invalid { path, line: 1, column: 1, text });
    }
    match board.log.as_ref().filter(|log| !folder.join(log).is_file()) {
        Some(log) => Err(BoardError::Invalid { path, line: 1, column: 1, text: format!("there is no log `{log}`") }),
        None => Ok(board),
    }
}

fn of_lab(folder: &Path, path: &Path) -> Result<Board, BoardError> {
    let text = read(path)?;
    let is_site = text.lines().any(|line| line.trim_start().starts_with("extends"));
    if !is_site {
        return parse(path, &text);
    }
    let site = toml::from_str::<raw::Site>(&text).map_err(|error| error::from_toml(path, &text, &error))?;
    if site.extends.get_ref().ends_with(".toml") {
        let message = "`extends` names a known board, not another file".to_owned();
        return Err(BoardError::at(path, &text, site.extends.span(), message));
    }
    let known = load(folder, site.extends.get_ref()).map_err(|error| match error {
        BoardError::Unknown { .. } => BoardError::at(path, &text, site.extends.span(), error.to_string()),
        other => other,
    })?;
    check::site(site, known).map_err(|mistake| BoardError::at(path, &text, mistake.span, mistake.text))
}

/// Reads a board from `text`; `path` is for messages.
///
/// # Errors
/// [`BoardError::Invalid`], with line and column.
pub fn parse(path: &Path, text: &str) -> Result<Board, BoardError> {
    let raw = toml::from_str::<raw::Board>(text).map_err(|error| error::from_toml(path, text, &error))?;
    check::board(raw).map_err(|mistake| BoardError::at(path, text, mistake.span, mistake.text))
}

/// Names of all boards in `folder` and in the folders of vendors there, sorted.
///
/// # Errors
/// [`BoardError::Read`].
pub fn names(folder: &Path) -> Result<Vec<String>, BoardError> {
    let mut names = Vec::new();
    for path in files(folder)? {
        if path.is_file() {
            names.extend(stem(&path));
        } else if path.is_dir() && !path.join("Cargo.toml").exists() {
            let vendor = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            names.extend(files(&path)?.iter().filter_map(|path| stem(path)).map(|stem| format!("{vendor}/{stem}")));
        }
    }
    names.sort();
    Ok(names)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, BoardError> {
    let failed = |source| BoardError::Read { path: folder.to_owned(), source };
    std::fs::read_dir(folder).map_err(failed)?.map(|entry| Ok(entry.map_err(failed)?.path())).collect()
}

fn stem(path: &Path) -> Option<String> {
    let is_board = path.extension().is_some_and(|extension| extension == "toml");
    path.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_board).map(str::to_owned)
}

fn read(path: &Path) -> Result<String, BoardError> {
    std::fs::read_to_string(path).map_err(|source| BoardError::Read { path: path.to_owned(), source })
}
