//! DBG2: debug ports, where a UART may be named that SPCR does not name (Microsoft Debug Port Table 2).

use crate::finding::{Finding, Sink, Unreadable};
use crate::gas::RawGas;
use crate::sdt::Sdt;
use crate::spcr::Console;
use crate::{read, rule};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Signature of the table.
pub const SIGNATURE: [u8; 4] = *b"DBG2";
const FIXED_BYTES: usize = 44;
/// Port type of serial ports.
const SERIAL: u16 = 0x8000;

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Fields {
    offset: U32,
    count: U32,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Device {
    revision: u8,
    length: U16,
    registers: u8,
    name_length: U16,
    name_offset: U16,
    oem_length: U16,
    oem_offset: U16,
    port_type: U16,
    port_subtype: U16,
    reserved: U16,
    base_offset: U16,
    size_offset: U16,
}
const _: () = assert!(size_of::<Device>() == 22);

/// The table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dbg2 {
    /// First serial port that the payload can drive.
    pub console: Option<Console>,
}

impl Dbg2 {
    /// Reads the table.
    ///
    /// # Errors
    /// The bytes hold no DBG2.
    pub fn parse(bytes: &[u8], sink: &mut Sink<'_>) -> Result<Self, Unreadable> {
        let sdt = Sdt::parse(bytes, SIGNATURE, FIXED_BYTES, sink)?;
        let table = sdt.bytes;
        let mut console = None;
        if let Some(fields) = read::record::<Fields>(table, 36) {
            let mut at = fields.offset.get() as usize;
            for _ in 0..fields.count.get() {
                let Some((device, bytes)) = device(table, at, sink) else { break };
                if device.port_type.get() == SERIAL && console.is_none() {
                    console = serial(&device, bytes, at, sink);
                }
                at = at.saturating_add(bytes.len());
            }
        }
        if console.is_none() {
            sink(finding(&rule::W_DBG2_NO_SERIAL));
        }
        Ok(Self { console })
    }
}

/// The device record at `at`, and its bytes; `None`, with a finding, where no walk can go on.
fn device<'a>(table: &'a [u8], at: usize, sink: &mut Sink<'_>) -> Option<(Device, &'a [u8])> {
    let Some(device) = read::record::<Device>(table, at) else {
        sink(finding(&rule::E_RECORD_OOB).at(at).against(table.len() as u64));
        return None;
    };
    let length = usize::from(device.length.get());
    if length < size_of::<Device>() {
        let rule = if length == 0 { &rule::E_RECORD_LEN_ZERO } else { &rule::E_RECORD_SHORT };
        sink(finding(rule).at(at + 1).found(length as u64).against(size_of::<Device>() as u64));
        return None;
    }
    let bytes = at.checked_add(length).and_then(|end| table.get(at..end));
    if bytes.is_none() {
        sink(finding(&rule::E_RECORD_OOB).at(at + 1).found(length as u64).against(table.len() as u64));
    }
    Some((device, bytes?))
}

fn serial(device: &Device, bytes: &[u8], at: usize, sink: &mut Sink<'_>) -> Option<Console> {
    let offset = usize::from(device.base_offset.get());
    let is_named = device.registers > 0 && offset >= size_of::<Device>();
    let Some(gas) = is_named.then(|| read::record::<RawGas>(bytes, offset)).flatten() else {
        sink(finding(&rule::E_RECORD_OOB).at(at + 18).found(offset as u64).against(bytes.len() as u64));
        return None;
    };
    Console::new(device.port_subtype.get(), gas.into(), finding(&rule::W_CONSOLE_TYPE).at(at + 14), sink)
}

fn finding(rule: &'static rule::Rule) -> Finding {
    Finding::new(rule, SIGNATURE)
}
