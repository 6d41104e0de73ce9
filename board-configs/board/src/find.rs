//! Finds boards: by name in the folder of all, or by path where a lab keeps its own.

use std::path::{Path, PathBuf};

use crate::check::Mistake;
use crate::read::read;
use crate::{Board, BoardError, check, raw, waivers};

/// A board, or all that is wrong with its file, in the order of its lines; never an empty list.
type Found = Result<Board, Vec<BoardError>>;

/// Reads a board: one of `folder` by its name, such as `qemu-virt` or `ampere/altra`, or the file of a lab by its path, which ends
/// in `.toml`. Such a file is a whole board, or says with `extends` which known one it is about.
///
/// # Errors
/// [`BoardError`]: no such board, an unreadable file, or the first mistake in it with its line.
pub fn load(folder: &Path, name: &str) -> Result<Board, BoardError> {
    find(folder, name).map_err(first)
}

/// All that is wrong with a board's file; nothing where [`load`] reads it.
#[must_use]
pub fn mistakes(folder: &Path, name: &str) -> Vec<BoardError> {
    // The file of a known board has to have its name, by whatever path it is found.
    let known = known_by(folder, Path::new(name));
    let mut all = find(folder, known.as_deref().unwrap_or(name)).err().unwrap_or_default();
    // Of what cannot be read a cause comes before what follows of it, which is what `load` tells.
    all.sort_by_key(BoardError::place);
    all
}

/// Reads a board from `text`; `path` is for messages.
///
/// # Errors
/// [`BoardError::Invalid`], with line and column.
pub fn parse(path: &Path, text: &str) -> Result<Board, BoardError> {
    whole(path, text).map_err(first)
}

fn first(mut errors: Vec<BoardError>) -> BoardError {
    errors.swap_remove(0)
}

fn find(folder: &Path, name: &str) -> Found {
    if name.ends_with(".toml") {
        return of_lab(folder, Path::new(name));
    }
    let path = folder.join(format!("{name}.toml"));
    // A name is a file's stem, after the folder of its vendor: never a way out of all boards.
    let names = names(folder).map_err(alone)?;
    if !names.iter().any(|known| known == name) {
        return Err(vec![BoardError::unknown(name, &names)]);
    }
    let board = whole(&path, &text_of(&path).map_err(alone)?)?;
    if board.name != name {
        let text = format!("name is `{}`, in a file for `{name}`", board.name);
        return Err(vec![BoardError::Invalid { path, line: 1, column: 1, text }]);
    }
    match board.log.as_ref().filter(|log| !folder.join(log).is_file()) {
        Some(log) => {
            Err(vec![BoardError::Invalid { path, line: 1, column: 1, text: format!("there is no log `{log}`") }])
        }
        None => Ok(board),
    }
}

fn of_lab(folder: &Path, path: &Path) -> Found {
    let text = text_of(path).map_err(alone)?;
    let is_site = text.lines().any(|line| line.trim_start().starts_with("extends"));
    if !is_site {
        return whole(path, &text);
    }
    let (site, mut errors) = read::<raw::Site>(path, &text);
    let Some(site) = site else { return Err(errors) };
    let at = site.extends.span();
    if site.extends.get_ref().ends_with(".toml") {
        let message = "`extends` names a known board, not another file".to_owned();
        errors.push(BoardError::at(path, &text, at, message));
        return Err(errors);
    }
    let known = find(folder, site.extends.get_ref()).map_err(|found| {
        let name_it = |error| match error {
            BoardError::Unknown { .. } => BoardError::at(path, &text, at.clone(), error.to_string()),
            other => other,
        };
        found.into_iter().map(name_it).collect::<Vec<_>>()
    })?;
    all_of(path, &text, errors, check::site(site, known))
}

fn whole(path: &Path, text: &str) -> Found {
    match read::<raw::Board>(path, text) {
        (Some(raw), errors) => all_of(path, text, errors, check::board(raw)),
        (None, errors) => Err(errors),
    }
}

/// Mistakes of grammar and those that the rules found.
fn all_of(path: &Path, text: &str, mut errors: Vec<BoardError>, ruled: Result<Board, Vec<Mistake>>) -> Found {
    let at = |mistake: Mistake| BoardError::at(path, text, mistake.span, mistake.text);
    match ruled {
        Ok(board) if errors.is_empty() => return Ok(board),
        Ok(_) => {}
        Err(mistakes) => errors.extend(mistakes.into_iter().map(at)),
    }
    errors.sort_by_key(BoardError::place);
    Err(errors)
}

fn alone(error: BoardError) -> Vec<BoardError> {
    vec![error]
}

/// Name of the known board whose file this is.
fn known_by(folder: &Path, path: &Path) -> Option<String> {
    let inside = path.canonicalize().ok()?;
    let name = inside.strip_prefix(folder.canonicalize().ok()?).ok()?.to_str()?.strip_suffix(".toml")?;
    Some(name.to_owned())
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
    let is_board = path.extension().is_some_and(|extension| extension == "toml")
        && path.file_name().is_none_or(|name| name != waivers::FILE);
    path.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_board).map(str::to_owned)
}

fn text_of(path: &Path) -> Result<String, BoardError> {
    std::fs::read_to_string(path).map_err(|source| BoardError::Read { path: path.to_owned(), source })
}
