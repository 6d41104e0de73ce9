//! From a position-independent ELF file to a flat image and its relocations.

use anyhow::{Context, bail, ensure};
use object::elf;
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, LittleEndian};

use super::container::{Flat, Relocation};

/// Page size of the images' memory maps.
const PAGE: u64 = 4096;
/// Far above any image; keeps a damaged header from asking for all memory.
const MOST_BYTES: u64 = 64 << 20;
/// Size of one `Elf64_Rela` and of one `Elf64_Sym`.
const ENTRY: usize = 24;

/// Reads the ELF file.
pub fn flatten(data: &[u8]) -> anyhow::Result<Flat> {
    let header = elf::FileHeader64::<Endianness>::parse(data).context("not a 64-bit ELF file")?;
    let endian = header.endian().context("unknown byte order")?;
    ensure!(endian == Endianness::Little, "big-endian ELF file, little-endian expected");
    let machine = header.e_machine(endian);
    ensure!(machine == elf::EM_AARCH64, "machine {machine:?}, EM_AARCH64 expected");
    let kind = header.e_type(endian);
    ensure!(kind == elf::ET_DYN, "ELF type {kind:?}, ET_DYN expected: it must be linked with -pie");
    let segments = header.program_headers(endian, data).context("bad program headers")?;

    let mut image = Vec::new();
    let mut memory = 0u64;
    for segment in segments {
        match segment.p_type(endian) {
            elf::PT_LOAD => memory = memory.max(load(segment, endian, data, &mut image)?),
            elf::PT_INTERP => bail!("it asks for a dynamic loader; nothing loads it but the primary"),
            elf::PT_TLS => bail!("it has thread-local storage; nothing sets that up"),
            _ => {}
        }
    }
    ensure!(memory > 0, "no PT_LOAD segment");
    let memory_bytes = u32::try_from(memory.next_multiple_of(PAGE))?;
    let entry = header.e_entry(endian);
    ensure!(entry < image.len() as u64, "entry {entry:#x} lies outside the image of {:#x} bytes", image.len());

    let mut relocations = Vec::new();
    for segment in segments {
        if let Some(dynamic) = segment.dynamic(endian, data).context("bad dynamic segment")? {
            relocations = relative(&Tags::read(dynamic, endian)?, &image, memory_bytes)?;
        }
    }
    let content = content_end(header, endian, data)?.unwrap_or(image.len());
    Ok(Flat { image, content, memory_bytes, entry: u32::try_from(entry)?, relocations })
}

/// Where code and data end and only tables of the dynamic linker follow; `None` without section headers.
fn content_end(
    header: &elf::FileHeader64<Endianness>,
    endian: Endianness,
    data: &[u8],
) -> anyhow::Result<Option<usize>> {
    let sections = header.section_headers(endian, data).context("bad section headers")?;
    let is_content = |section: &&elf::SectionHeader64<Endianness>| {
        let is_table = matches!(
            section.sh_type(endian),
            elf::SHT_RELA | elf::SHT_DYNSYM | elf::SHT_STRTAB | elf::SHT_HASH | elf::SHT_GNU_HASH | elf::SHT_DYNAMIC
        );
        let is_loaded = section.sh_flags(endian).0 & elf::SHF_ALLOC.0 != 0;
        is_loaded && !is_table && section.sh_type(endian) != elf::SHT_NOBITS
    };
    let ends = sections.iter().filter(is_content).filter_map(|section| {
        let end = section.sh_addr(endian).checked_add(section.sh_size(endian))?;
        usize::try_from(end).ok()
    });
    Ok(ends.max())
}

/// Copies one segment to its place and returns where it ends in memory.
fn load(
    segment: &elf::ProgramHeader64<Endianness>,
    endian: Endianness,
    data: &[u8],
    image: &mut Vec<u8>,
) -> anyhow::Result<u64> {
    let (start, size) = (segment.p_vaddr(endian), segment.p_memsz(endian));
    let end = start.checked_add(size).filter(|end| *end <= MOST_BYTES);
    let end =
        end.with_context(|| format!("segment at {start:#x} with {size:#x} bytes: the image begins at address 0"))?;
    let bytes = segment.data(endian, data).ok().context("a segment reaches beyond the file")?;
    let start = usize::try_from(start)?;
    ensure!(bytes.len() as u64 <= size, "segment at {start:#x} is larger in the file than in memory");
    let file_end = start + bytes.len();
    if !bytes.is_empty() {
        if image.len() < file_end {
            image.resize(file_end, 0);
        }
        image[start..file_end].copy_from_slice(bytes);
    }
    Ok(end)
}

/// What the dynamic segment says about relocations. Addresses are offsets, the image being linked at 0.
#[derive(Debug, Default)]
struct Tags {
    rela: u64,
    rela_bytes: u64,
    symbols: u64,
    strings: u64,
}

impl Tags {
    fn read(dynamic: &[elf::Dyn64<Endianness>], endian: Endianness) -> anyhow::Result<Self> {
        let mut tags = Self::default();
        for entry in dynamic {
            let value = entry.d_val(endian);
            match entry.d_tag(endian) {
                elf::DT_NULL => break,
                elf::DT_RELA => tags.rela = value,
                elf::DT_RELASZ => tags.rela_bytes = value,
                elf::DT_SYMTAB => tags.symbols = value,
                elf::DT_STRTAB => tags.strings = value,
                elf::DT_NEEDED => bail!("it needs a shared library"),
                elf::DT_REL | elf::DT_RELR => bail!("relocations in REL or RELR form; only RELA is applied"),
                elf::DT_PLTRELSZ if value != 0 => bail!("it calls through a procedure linkage table"),
                _ => {}
            }
        }
        Ok(tags)
    }
}

/// Reads the relocation table out of the loaded image. Nothing but `R_AARCH64_RELATIVE` is accepted.
fn relative(tags: &Tags, image: &[u8], memory_bytes: u32) -> anyhow::Result<Vec<Relocation>> {
    let start = usize::try_from(tags.rela)?;
    let table = start.checked_add(usize::try_from(tags.rela_bytes)?).and_then(|end| image.get(start..end));
    let table = table.context("the relocation table lies outside the image")?;
    ensure!(table.len() % ENTRY == 0, "the relocation table has {} bytes, not a multiple of {ENTRY}", table.len());
    let (entries, _) = object::pod::slice_from_bytes::<elf::Rela64<LittleEndian>>(table, table.len() / ENTRY)
        .ok()
        .context("the relocation table is not aligned")?;
    entries.iter().map(|entry| one(entry, tags, image, memory_bytes)).collect()
}

fn one(entry: &elf::Rela64<LittleEndian>, tags: &Tags, image: &[u8], memory_bytes: u32) -> anyhow::Result<Relocation> {
    let (kind, symbol) = (entry.r_type(LittleEndian, false), entry.r_sym(LittleEndian, false));
    let (offset, addend) = (entry.r_offset.get(LittleEndian), entry.r_addend.get(LittleEndian).cast_unsigned());
    if kind != elf::R_AARCH64_RELATIVE || symbol != 0 {
        let name = symbol_name(tags, image, symbol).unwrap_or_else(|| format!("number {symbol}"));
        bail!("relocation of type {kind:?} at {offset:#x} against symbol {name}; only R_AARCH64_RELATIVE is applied");
    }
    let end = offset.checked_add(8).filter(|end| *end <= u64::from(memory_bytes));
    ensure!(end.is_some() && offset % 8 == 0, "relocation at {offset:#x}: not an aligned word of the image");
    ensure!(addend <= u64::from(memory_bytes), "relocation at {offset:#x} points to {addend:#x}, outside the image");
    Ok(Relocation { offset: u32::try_from(offset)?, addend })
}

/// Name of a dynamic symbol, for the error message.
fn symbol_name(tags: &Tags, image: &[u8], symbol: u32) -> Option<String> {
    let at = usize::try_from(tags.symbols).ok()?.checked_add(ENTRY.checked_mul(symbol as usize)?)?;
    let name = u32::from_le_bytes(image.get(at..at.checked_add(4)?)?.try_into().ok()?);
    let text = image.get(usize::try_from(tags.strings).ok()?.checked_add(name as usize)?..)?;
    let text = text.split(|byte| *byte == 0).next()?;
    Some(format!("`{}`", String::from_utf8_lossy(text)))
}
