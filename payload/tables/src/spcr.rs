//! SPCR: the UART that firmware's console is on (Microsoft Serial Port Console Redirection table, revisions 2 to 4).

use crate::finding::{Finding, Sink, Unreadable};
use crate::gas::{GenericAddress, RawGas};
use crate::sdt::Sdt;
use crate::{read, rule};
use addr::PhysAddr;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Signature of the table.
pub const SIGNATURE: [u8; 4] = *b"SPCR";
/// Up to and with the namespace string of revision 2.
const FIXED_BYTES: usize = 80;
/// Interrupt type bit: the GSIV is a GIC interrupt.
const GIC_INTERRUPT: u8 = 1 << 3;

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Fields {
    interface: u8,
    reserved: [u8; 3],
    address: RawGas,
    interrupt_type: u8,
    irq: u8,
    gsiv: U32,
}
const _: () = assert!(size_of::<Fields>() == 22);

/// Kinds of UART that the payload drives, by data and flag registers alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UartKind {
    /// Arm PL011 (type 0x03).
    Pl011,
    /// Arm SBSA generic UART (types 0x0d, 32-bit accesses only, and 0x0e).
    Sbsa,
    /// 16550, or a part of one (types 0x00, 0x01 and 0x12).
    Ns16550,
}

impl UartKind {
    /// Kind of an interface type (Debug Port Table 2, table 3; the SPCR has the same numbers).
    #[must_use]
    pub const fn from_raw(interface: u16) -> Option<Self> {
        match interface {
            0x03 => Some(Self::Pl011),
            0x0d | 0x0e => Some(Self::Sbsa),
            0x00 | 0x01 | 0x12 => Some(Self::Ns16550),
            _ => None,
        }
    }
}

/// A UART that can be driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Console {
    /// Kind.
    pub kind: UartKind,
    /// Base of its registers.
    pub base: PhysAddr,
    /// Bytes of one register access: 1, 2 or 4.
    pub access_bytes: u8,
    /// Bytes from one register of a 16550 to the next: 1, 2, 4 or 8; zero for the other kinds, which have fixed offsets.
    pub stride: u8,
    /// Its interrupt, where the table names one.
    pub gsiv: Option<u32>,
}

impl Console {
    /// Judges what SPCR and DBG2 both say about a UART; what cannot be driven is a finding.
    pub(crate) fn new(interface: u16, address: GenericAddress, place: Finding, sink: &mut Sink<'_>) -> Option<Self> {
        let Some(kind) = UartKind::from_raw(interface) else {
            sink(Finding { rule: &rule::W_CONSOLE_TYPE, ..place }.found(interface));
            return None;
        };
        if !address.is_memory() || address.address.0 == 0 {
            let wrong = Finding { rule: &rule::E_CONSOLE_ADDRESS, ..place };
            sink(wrong.found(address.address.0).against(address.space));
            return None;
        }
        let usual = if kind == UartKind::Ns16550 { 1 } else { 4 };
        let access_bytes = match address.access_bytes() {
            // Type 0x0d takes no other access, whatever the address structure says.
            _ if interface == 0x0d => 4,
            Some(bytes @ (1 | 2 | 4)) => bytes,
            // x86 firmware leaves both fields of a byte-wide port empty.
            None if kind == UartKind::Ns16550 && (address.access_size, address.bit_width) == (0, 0) => usual,
            _ => {
                let wrong = Finding { rule: &rule::W_CONSOLE_ACCESS, ..place };
                sink(wrong.found(address.access_size).against(address.bit_width));
                usual
            }
        };
        let stride = if kind == UartKind::Ns16550 { stride(address, access_bytes, place, sink) } else { 0 };
        Some(Self { kind, base: address.address, access_bytes, stride, gsiv: None })
    }
}

/// Distance of a 16550's registers: the address structure's register width, which is at least the width of an access
/// (Debug Port Table 2, type 0x12). For the older types Linux takes the width of an access; firmware gives both alike.
fn stride(address: GenericAddress, access_bytes: u8, place: Finding, sink: &mut Sink<'_>) -> u8 {
    match address.bit_width {
        0 => access_bytes,
        width @ (8 | 16 | 32 | 64) if width / 8 >= access_bytes => width / 8,
        width => {
            let wrong = Finding { rule: &rule::W_CONSOLE_STRIDE, ..place };
            sink(wrong.found(width).against(access_bytes * 8));
            access_bytes
        }
    }
}

/// The table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spcr {
    /// Raw interface type.
    pub interface: u8,
    /// Where the UART is.
    pub address: GenericAddress,
    /// The UART, if the payload can drive it.
    pub console: Option<Console>,
}

impl Spcr {
    /// Reads the table.
    ///
    /// # Errors
    /// The bytes hold no SPCR.
    pub fn parse(bytes: &[u8], sink: &mut Sink<'_>) -> Result<Self, Unreadable> {
        let sdt = Sdt::parse(bytes, SIGNATURE, FIXED_BYTES, sink)?;
        let Some(fields) = read::record::<Fields>(sdt.bytes, 36) else {
            let short = Finding::new(&rule::E_SHORT, SIGNATURE).found(sdt.bytes.len() as u64);
            return Err(crate::finding::refuse(short, sink));
        };
        let address = fields.address.into();
        let place = Finding::new(&rule::W_CONSOLE_TYPE, SIGNATURE).at(36);
        let gsiv = (fields.interrupt_type & GIC_INTERRUPT != 0).then(|| fields.gsiv.get());
        let console = Console::new(fields.interface.into(), address, place, sink);
        Ok(Self { interface: fields.interface, address, console: console.map(|uart| Console { gsiv, ..uart }) })
    }
}
