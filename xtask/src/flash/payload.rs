//! What a board needs, whatever way brings it there.

use std::path::Path;

use anyhow::Context;
use board::{Board, Image};

use super::Piece;
use crate::cli::PayloadArgs;
use crate::exit::usage;
use crate::run::{self, Options};
use crate::{build, run::options};

/// Where firmware looks for a system on a drive that names none (UEFI 2.11, 3.5.1.1, table 3.2). The file holds both
/// images: the kdump image travels inside of the primary.
pub const BOOT_FILE: &str = "EFI/BOOT/BOOTAA64.EFI";
/// Names that the primary looks for in the root of the volume that it comes from.
pub const OPTIONS_FILE: &str = "inflight.txt";
/// The table that replaces the firmware's IORT.
pub const IORT_FILE: &str = "iort.aml";
/// The kernel that takes over, and the witness that watches it.
pub const BUNDLE_FILE: &str = "guest.bin";

/// What the payload will be told, checked before anything is built.
#[derive(Debug)]
pub struct Told {
    options: Options,
    iort: Option<Vec<u8>>,
    image: Option<Vec<u8>>,
}

impl Told {
    /// Reads the command line as `run` does.
    pub fn of(args: &PayloadArgs, board: &Board) -> anyhow::Result<Self> {
        let options = options::of(args, &[], board)?;
        let iort = args.iort.as_deref().map(read_iort).transpose()?;
        Ok(Self { options, iort, image: None })
    }

    /// By this application instead of the one that is built.
    pub fn by(self, image: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Self { image: image.map(read_image).transpose()?, ..self })
    }
}

/// A UEFI application for arm64 (PE format, 3.3: its machine's number stands behind the signature that word 0x3c points to).
fn read_image(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::read(path).map_err(|error| usage(format!("--image {}: {error}", path.display())))?;
    let at = bytes.get(0x3c..0x40).and_then(|word| Some(u32::from_le_bytes(word.try_into().ok()?) as usize));
    if bytes.starts_with(b"MZ") && at.is_some_and(|at| bytes.get(at..at + 6) == Some(b"PE\0\0\x64\xaa")) {
        return Ok(bytes);
    }
    Err(usage(format!(
        "--image {}: is no UEFI application for arm64; sign inflight-plain.efi of `dist`",
        path.display()
    )))
}

/// Builds the images as one file that needs no others beside it.
///
/// # Errors
/// The images do not build.
pub fn whole(told: &Told, board: &Board) -> anyhow::Result<Vec<u8>> {
    let file = build::told::image(&board.name, &told.options.text, told.iort.as_deref())?;
    std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))
}

fn read_iort(path: &Path) -> anyhow::Result<Vec<u8>> {
    run::check_iort(path)?;
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Builds the images and returns the files that UEFI firmware starts them from, that of the firmware first.
///
/// # Errors
/// The board starts without UEFI firmware, or the images do not build.
pub fn files(told: &Told) -> anyhow::Result<Vec<Piece>> {
    let read = |file: &Path| std::fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    if let (Some(image), None) = (&told.image, &told.options.guest) {
        return Ok(beside(image.clone(), told, None));
    }
    let built = build::images()?;
    let bundle = told.options.guest.as_ref().map(|guest| Ok::<_, anyhow::Error>(guest.bundle(&read(&built.witness)?)));
    let image = told.image.clone().map_or_else(|| read(&built.file), Ok)?;
    Ok(beside(image, told, bundle.transpose()?))
}

/// The files beside each other. A table that nobody asked for must not lie there: the payload would take it. An old kernel would take
/// room.
fn beside(image: Vec<u8>, told: &Told, bundle: Option<Vec<u8>>) -> Vec<Piece> {
    vec![
        Piece { at: BOOT_FILE.into(), bytes: Some(image) },
        Piece { at: OPTIONS_FILE.into(), bytes: Some(one_a_line(&told.options.text).into_bytes()) },
        Piece { at: IORT_FILE.into(), bytes: told.iort.clone() },
        Piece { at: BUNDLE_FILE.into(), bytes: bundle },
    ]
}

/// A word a line: whoever has the drive in hand can read and change it.
pub fn one_a_line(options: &str) -> String {
    options.replace(' ', "\n") + "\n"
}

/// Refuses a board whose machine starts the raw image: it has no firmware that would look for a file.
pub fn needs_uefi(board: &Board) -> anyhow::Result<()> {
    match &board.qemu {
        Some(machine) if machine.image == Image::Raw => Err(usage(format!(
            "board {} starts the raw image, without UEFI firmware that would look for {BOOT_FILE}",
            board.name
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_lies_beside_the_image_and_one_of_an_earlier_time_goes() {
        let options = Options { text: "scenario=witness cycles=1".into(), ..Options::default() };
        let told = Told { options, iort: None, image: None };
        let piece = |at: &str, bytes: Option<&[u8]>| Piece { at: at.into(), bytes: bytes.map(<[u8]>::to_vec) };
        let with = |bundle: Option<&[u8]>| {
            vec![
                piece(BOOT_FILE, Some(b"image")),
                piece(OPTIONS_FILE, Some(b"scenario=witness\ncycles=1\n")),
                piece(IORT_FILE, None),
                piece(BUNDLE_FILE, bundle),
            ]
        };
        assert_eq!(beside(b"image".to_vec(), &told, Some(b"kernel".to_vec())), with(Some(b"kernel")));
        assert_eq!(beside(b"image".to_vec(), &told, None), with(None));
    }

    #[test]
    fn where_one_file_gets_to_the_board_no_kernel_does() {
        use clap::Parser;
        let flash = |words: &str| match crate::cli::Cli::try_parse_from(words.split(' ')).unwrap().command {
            crate::cli::Command::Flash(args) => args,
            other => panic!("{other:?}"),
        };
        let asked = |words: &str| super::super::without_kernel(&flash(words).payload, "netboot");
        let error = crate::exit::one_line(&asked("xtask flash --board qemu-virt --kernel vmlinuz").unwrap_err());
        assert!(
            error.contains("--kernel vmlinuz: netboot brings one file") && error.contains("esp, redfish"),
            "{error}"
        );
        assert!(asked("xtask flash --board qemu-virt").is_ok());
    }
}
