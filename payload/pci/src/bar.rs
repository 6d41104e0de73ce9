//! Base address registers, as the firmware programmed them.

use crate::{Command, Function, HeaderType, PciError, sriov};
use addr::PhysAddr;

const BAR0: u16 = 0x10;

/// A memory BAR (PCI Express Base 6.0, 7.5.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Number of its first register.
    pub index: u8,
    /// Where the firmware put it, as seen on the bus; 0 where it did not.
    pub address: PhysAddr,
    /// It takes two registers.
    pub is_64_bit: bool,
    /// Reads have no side effects.
    pub is_prefetchable: bool,
}

impl Function<'_> {
    /// Reads the BAR that begins at register `index`. `None`: an I/O BAR, or a register that the header does not have.
    ///
    /// # Errors
    /// A reserved type, or a 64-bit BAR in the last register.
    pub fn memory_bar(&mut self, index: u8) -> Result<Option<Bar>, PciError> {
        match self.last_bar() {
            Some(last) => self.memory_bar_at(BAR0, index, last),
            None => Ok(None),
        }
    }

    /// Number of its last BAR, by its kind of header.
    fn last_bar(&mut self) -> Option<u8> {
        match self.header_type().layout() {
            HeaderType::ENDPOINT => Some(5),
            HeaderType::BRIDGE => Some(1),
            _ => None,
        }
    }

    /// Tells where the registers behind each memory BAR begin: its own, and those of its virtual functions, where it has any, one
    /// behind the other (9.3.3.14; their own BARs read as zero, 9.3.4.1). Nothing is written.
    pub fn each_register_block(&mut self, tell: &mut dyn FnMut(PhysAddr)) {
        if let Some(last) = self.last_bar() {
            self.each_address(BAR0, last, tell);
        }
        if let Ok(Some(sriov)) = self.sriov()
            && sriov.count != 0
        {
            self.each_address(sriov.bars(), sriov::LAST_BAR, tell);
        }
    }

    fn each_address(&mut self, first: u16, last: u8, tell: &mut dyn FnMut(PhysAddr)) {
        let mut index = 0;
        while index <= last {
            if let Ok(Some(bar)) = self.memory_bar_at(first, index, last) {
                tell(bar.address);
                index += u8::from(bar.is_64_bit);
            }
            index += 1;
        }
    }

    /// The same in another list of BARs, which begins at `first`.
    pub(crate) fn memory_bar_at(&mut self, first: u16, index: u8, last: u8) -> Result<Option<Bar>, PciError> {
        if index > last {
            return Ok(None);
        }
        let at = first + 4 * u16::from(index);
        let low = self.read32(at);
        if low & 1 != 0 {
            return Ok(None);
        }
        let is_64_bit = match low >> 1 & 3 {
            0 => false,
            2 if index < last => true,
            _ => return Err(PciError::BarType { function: self.bdf(), index, value: low }),
        };
        let high = if is_64_bit { u64::from(self.read32(at + 4)) << 32 } else { 0 };
        let address = PhysAddr(high | u64::from(low & !0xf));
        Ok(Some(Bar { index, address, is_64_bit, is_prefetchable: low & 8 != 0 }))
    }

    /// Finds out how many bytes the BAR takes; 0 where it is not implemented. Decoding is off while it is asked, so the
    /// function must not be in use.
    pub fn memory_bar_bytes(&mut self, bar: &Bar) -> u64 {
        let before = self.command();
        self.change_command(Command::empty(), Command::MEMORY_SPACE | Command::IO_SPACE);
        let bytes = self.bar_bytes_at(BAR0 + 4 * u16::from(bar.index), bar.is_64_bit);
        self.change_command(before, Command::empty());
        bytes
    }

    /// The same of the BAR at an offset, which decodes nothing meanwhile.
    pub(crate) fn bar_bytes_at(&mut self, at: u16, is_64_bit: bool) -> u64 {
        let mut mask = u64::from(self.ask_size(at) & !0xf);
        if is_64_bit {
            mask |= u64::from(self.ask_size(at + 4)) << 32;
        } else if mask != 0 {
            mask |= 0xffff_ffff << 32;
        }
        mask.wrapping_neg()
    }

    fn ask_size(&mut self, at: u16) -> u32 {
        let before = self.read32(at);
        self.write32(at, u32::MAX);
        let mask = self.read32(at);
        self.write32(at, before);
        mask
    }
}
