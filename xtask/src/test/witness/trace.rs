//! Lines of QEMU's trace (`-trace 'smmuv3_*'`), as QEMU 8 to 10 write them.

/// Distance of page 1 of the registers.
pub const PAGE_1: u64 = 0x1_0000;

/// A register access. Page 1 is folded onto page 0, as the emulated SMMU does before it traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reg {
    pub offset: u64,
    pub value: u64,
    pub bytes: u64,
}

impl Reg {
    /// Its 32-bit words with their offsets.
    pub fn words(&self) -> Vec<(u64, u32)> {
        // Truncation is meant: low word, then high word.
        let low = (self.offset, self.value as u32);
        if self.bytes == 8 { vec![low, (self.offset + 4, (self.value >> 32) as u32)] } else { vec![low] }
    }
}

/// How an access of a device left the SMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// Translated to this address.
    Translated(u64),
    /// Untranslated: bypassing stream table entry, or SMMU disabled.
    Bypassed,
    /// Not at all.
    Refused,
}

/// A line that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Read(Reg),
    Write(Reg),
    Dma { stream_id: u32, address: u64, through: Through },
}

/// Reads the trace. Lines of other events are left out; a line that is cut or not understood is an error.
pub fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let lines = text.lines().enumerate();
    let entries = lines.filter_map(|(number, line)| {
        line_entry(line).map_err(|what| format!("trace line {}: no {what} in `{line}`", number + 1)).transpose()
    });
    entries.collect()
}

fn line_entry(line: &str) -> Result<Option<Entry>, &'static str> {
    // `-msg timestamp=on` puts a time in front of the name.
    let Some(at) = line.find("smmuv3_") else { return Ok(None) };
    let (name, rest) = line[at..].split_once(' ').unwrap_or((&line[at..], ""));
    let entry = match name {
        "smmuv3_read_mmio" => Entry::Read(register(rest)?),
        "smmuv3_write_mmio" => Entry::Write(register(rest)?),
        "smmuv3_translate_success" => {
            let to = number(rest, "translated=").ok_or("address")?;
            dma(rest, "iova=", Through::Translated(to))?
        }
        "smmuv3_translate_bypass" | "smmuv3_translate_disable" => dma(rest, "iova:", Through::Bypassed)?,
        "smmuv3_translate_abort" => dma(rest, "iova:", Through::Refused)?,
        _ => return Ok(None),
    };
    Ok(Some(entry))
}

/// `addr: 0x20 val:0x8 size: 0x4(0)`
fn register(rest: &str) -> Result<Reg, &'static str> {
    let offset = number(rest, "addr:").ok_or("address")?;
    let value = number(rest, "val:").ok_or("value")?;
    let bytes = number(rest, "size:").ok_or("size")?;
    Ok(Reg { offset: offset & !PAGE_1, value, bytes })
}

fn dma(rest: &str, address: &str, through: Through) -> Result<Entry, &'static str> {
    let stream_id = number(rest, "sid=").and_then(|id| u32::try_from(id).ok()).ok_or("StreamID")?;
    let address = number(rest, address).ok_or("address")?;
    Ok(Entry::Dma { stream_id, address, through })
}

/// The hexadecimal number behind `key`.
fn number(text: &str, key: &str) -> Option<u64> {
    let rest = text.split_once(key)?.1.trim_start().strip_prefix("0x")?;
    let end = rest.find(|letter: char| !letter.is_ascii_hexdigit()).unwrap_or(rest.len());
    u64::from_str_radix(&rest[..end], 16).ok()
}
