//! Whether all of an `Image` is there: what it takes in memory says nothing of the file, but an EFI stub's PE header does.

use object::LittleEndian as LE;
use object::pe::ImageNtHeaders64;
use object::read::pe::ImageNtHeaders;

/// Where the offset of the PE header is: res5 of an arm64 `Image` (Documentation/arch/arm64/booting.rst); 0 without an EFI stub.
const PE: std::ops::Range<usize> = 60..64;

/// What is missing of it.
///
/// # Errors
/// One line, where the file ends before its last section does.
pub fn check(image: &[u8]) -> Result<(), String> {
    let at = image.get(PE).and_then(|at| at.try_into().ok()).map_or(0, u32::from_le_bytes);
    if at == 0 {
        return Ok(());
    }
    let length = image.len();
    let cut = |wanted: String| format!("cut off: {length} bytes of {wanted}, by its PE header");
    let end = end(image, at.into()).map_err(|_| cut("more".into()))?;
    if (length as u64) < end { Err(cut(end.to_string())) } else { Ok(()) }
}

/// Where the last section ends in the file.
fn end(image: &[u8], mut at: u64) -> object::Result<u64> {
    let (header, _) = ImageNtHeaders64::parse(image, &mut at)?;
    let sections = header.sections(image, at)?;
    let ends = sections
        .iter()
        .map(|section| u64::from(section.pointer_to_raw_data.get(LE)) + u64::from(section.size_of_raw_data.get(LE)));
    Ok(ends.max().unwrap_or(0))
}
