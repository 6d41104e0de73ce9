//! Tables in files: raw, in a dump's text, or beside each other in a folder.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use super::dump;

/// Largest file that is read. A table of 4 GiB is possible by its Length and by nothing else; the largest known one has
/// 0.1 MB, and a dump's text four times the bytes of all tables.
const LARGEST: u64 = 64 << 20;
/// A pipe that nobody writes to, or a file system that is gone, ends here.
const READ_LIMIT: Duration = Duration::from_secs(20);
/// Files of a folder that are looked at.
const MOST_FILES: usize = 4096;

/// One table to answer for, or why there is none.
#[derive(Debug)]
pub struct Input {
    /// The file, and in a dump or folder of several the place in it.
    pub name: String,
    /// Bytes of the table.
    pub bytes: Result<Vec<u8>, String>,
    /// Tables that were found with it.
    pub beside: Vec<dump::Table>,
}

/// Everything that `path` holds: at least one input.
pub fn read(path: &Path) -> Vec<Input> {
    let name = path.display().to_string();
    match tables_at(path) {
        Ok(Found::Raw(bytes)) => vec![Input { name, bytes: Ok(bytes), beside: Vec::new() }],
        Ok(Found::Many(tables)) => among(name, tables),
        Err(why) => vec![Input { name, bytes: Err(why), beside: Vec::new() }],
    }
}

/// What a path holds.
pub enum Found {
    /// A file that is no dump: a table, a devicetree, or something else.
    Raw(Vec<u8>),
    /// Tables and where each is from, if that is a file of its own.
    Many(Vec<(Option<String>, dump::Table)>),
}

/// All that `path` holds, whatever is asked about it.
///
/// # Errors
/// One line: it cannot be read, it is too large, or a dump was cut.
pub fn tables_at(path: &Path) -> Result<Found, String> {
    if path.is_dir() {
        return folder(path).map(Found::Many);
    }
    let bytes = read_file(path)?;
    if !bytes.starts_with(b"IORT\0") && dump::is_dump(&bytes) {
        return Ok(Found::Many(dump::tables(&bytes)?.into_iter().map(|table| (None, table)).collect()));
    }
    Ok(Found::Raw(bytes))
}

/// The IORTs among tables; the others stand beside each.
fn among(name: String, tables: Vec<(Option<String>, dump::Table)>) -> Vec<Input> {
    let (iorts, others): (Vec<_>, Vec<_>) = tables.into_iter().partition(|(_, table)| &table.signature == b"IORT");
    if iorts.is_empty() {
        let seen: Vec<String> = others.iter().map(|(_, table)| table.signature.escape_ascii().to_string()).collect();
        let seen = if seen.is_empty() { "nor any other table".to_owned() } else { format!("only {}", seen.join(", ")) };
        return vec![Input { name, bytes: Err(format!("no IORT here, {seen}")), beside: Vec::new() }];
    }
    let is_one = iorts.len() == 1;
    let beside = |tables: &[(Option<String>, dump::Table)]| -> Vec<dump::Table> {
        tables.iter().map(|(_, table)| dump::Table { signature: table.signature, bytes: table.bytes.clone() }).collect()
    };
    let input = |(number, (file, table)): (usize, (Option<String>, dump::Table))| Input {
        name: match file {
            Some(file) => file,
            None if is_one => name.clone(),
            None => format!("{name}#{}", number + 1),
        },
        bytes: Ok(table.bytes),
        beside: beside(&others),
    };
    iorts.into_iter().enumerate().map(input).collect()
}

/// Tables of a folder by their own signatures: `acpidump -b` and the kernel name files differently.
fn folder(path: &Path) -> Result<Vec<(Option<String>, dump::Table)>, String> {
    let entries = std::fs::read_dir(path).map_err(|error| format!("cannot list the folder: {error}"))?;
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| path.is_file()).collect();
    files.sort();
    let mut tables = Vec::new();
    for file in files.iter().take(MOST_FILES) {
        let is_iort = file.file_name().is_some_and(|name| name.to_string_lossy().to_uppercase().starts_with("IORT"));
        match read_file(file) {
            Ok(bytes) => match bytes.first_chunk::<4>() {
                Some(signature) if WANTED.contains(&signature) => {
                    tables.push((Some(file.display().to_string()), dump::Table { signature: *signature, bytes }));
                }
                _ => {}
            },
            Err(why) if is_iort => return Err(format!("{}: {why}", file.display())),
            Err(_) => {}
        }
    }
    Ok(tables)
}

/// Tables that are read here: the rest of a machine's, AML above all, has no part in this.
const WANTED: [&[u8; 4]; 7] = [b"IORT", b"MCFG", b"APIC", b"SPCR", b"DBG2", b"GTDT", b"FACP"];

/// All bytes of a file, within a time and a size.
fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let (sender, receiver) = mpsc::channel();
    let owned = path.to_owned();
    std::thread::spawn(move || {
        let read = || {
            let mut bytes = Vec::new();
            File::open(&owned)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let _ = sender.send(read().map_err(|error: std::io::Error| format!("cannot read the file: {error}")));
    });
    let limit = READ_LIMIT.as_secs();
    let bytes =
        receiver.recv_timeout(READ_LIMIT).unwrap_or_else(|_| Err(format!("no end of file within {limit} s")))?;
    match bytes.len() as u64 > LARGEST {
        true => Err(format!("more than {} MiB, which no table has", LARGEST >> 20)),
        false => Ok(bytes),
    }
}
