//! What any crash kernel is given: its own memory, the firmware's tables in force, console, options, way back.

use crate::seal::{HandoverError, Header, Kind, crc};
use addr::PhysAddr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Version of [`Boot`]'s layout.
pub const VERSION: u32 = 5;
/// SMMUs that one block holds.
pub const MAX_SMMUS: usize = 16;
/// Windows of configuration space that one block holds.
pub const MAX_ECAM: usize = 8;
/// Ranges of memory that are hidden from a kernel.
pub const MAX_HIDDEN: usize = 4;

const KIND: Kind = Kind { block: "boot", magic: u64::from_le_bytes(*b"inflboot"), version: VERSION };

/// A range of memory; 0 bytes: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Region {
    /// First address.
    pub base: PhysAddr,
    /// Length.
    pub bytes: u64,
}

/// The kdump image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Image {
    /// First address.
    pub base: PhysAddr,
    /// Length, without its zero-initialised data.
    pub bytes: u64,
    /// Digest of these bytes as relocated, before the first instruction runs.
    pub digest: u64,
    /// First instruction.
    pub entry: PhysAddr,
}

/// First page tables and the registers that go with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Translation {
    /// TTBR0_EL2.
    pub ttbr: u64,
    /// TCR_EL2, in the layout that `Boot::e2h` selects.
    pub tcr: u64,
    /// MAIR_EL2.
    pub mair: u64,
    /// SCTLR_EL2 with the MMU on.
    pub sctlr: u64,
}

/// `Console::kind`: no console.
pub const CONSOLE_NONE: u32 = 0;
/// `Console::kind`: a PL011 or SBSA generic UART; only data and flag registers are used.
pub const CONSOLE_PL011: u32 = 1;
/// `Console::kind`: a 16550; only transmitter holding and line status registers are used.
pub const CONSOLE_16550: u32 = 2;

/// The console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Console {
    /// First register.
    pub base: PhysAddr,
    /// `CONSOLE_*`.
    pub kind: u32,
    /// Width of a register access in bits.
    pub register_width: u16,
    /// Bytes from one register of a 16550 to the next, else 0.
    pub stride: u16,
}

/// Firmware tables in force; a table that the firmware lacks has 0 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Tables {
    /// I/O remapping table, with what was added to it.
    pub iort: Region,
    /// PCI Express configuration space.
    pub mcfg: Region,
    /// Interrupt controllers.
    pub madt: Region,
    /// Timers.
    pub gtdt: Region,
    /// Console.
    pub spcr: Region,
    /// Debug ports.
    pub dbg2: Region,
    /// Fixed description.
    pub fadt: Region,
    /// Devicetree.
    pub devicetree: Region,
}

/// Interrupt controller, as far as the CPU that takes over needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Gic {
    /// Distributor.
    pub distributor: PhysAddr,
    /// Redistributor of the CPU that crashes; 0 for a GICv2.
    pub redistributor: PhysAddr,
}

/// The way back into the image that crashed; `entry` 0: power off at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct WayBack {
    /// Where to jump to.
    pub entry: PhysAddr,
    /// What it is given in x0.
    pub context: u64,
    /// Where the kdump image leaves its [`crate::report::Report`].
    pub report: PhysAddr,
}

/// `Smmu::flags`: the IORT overrides IDR0.COHACC to 1 (IORT SMMUv3 node, flags bit 0).
pub const SMMU_COHERENT_OVERRIDE: u32 = 1 << 0;

/// An SMMU that the firmware names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Smmu {
    /// Page 0.
    pub base: PhysAddr,
    /// `SMMU_*` bits.
    pub flags: u32,
    /// Not used, 0.
    pub reserved: u32,
}

/// A window of PCI Express configuration space (MCFG allocation) that is mapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ecam {
    /// Where bus 0 of the segment would be.
    pub base: PhysAddr,
    /// Segment group.
    pub segment: u16,
    /// First bus.
    pub first_bus: u8,
    /// Last bus.
    pub last_bus: u8,
    /// Not used, 0.
    pub reserved: u32,
}

/// Frames of a generic watchdog that is armed; 0: none is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Watchdog {
    /// Refresh frame.
    pub refresh: PhysAddr,
    /// Control frame.
    pub control: PhysAddr,
}

/// How UEFI is reached after ExitBootServices (UEFI 2.11, 4.3, 7.2); `system_table` 0: there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Efi {
    /// The system table.
    pub system_table: PhysAddr,
    /// The memory map that ExitBootServices() ended with.
    pub map: Region,
    /// Bytes of one of its descriptors.
    pub descriptor_bytes: u32,
    /// Their version.
    pub descriptor_version: u32,
    /// Secure Boot is on: 1 or 0.
    pub secure_boot: u32,
    /// Not used, 0.
    pub reserved: u32,
}

/// A kernel that is to be started and watched; `bundle` of 0 bytes: none is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Guest {
    /// The file that holds it: a [`crate::bundle::Bundle`] and its parts.
    pub bundle: Region,
    /// Memory that the kernel may use, and nobody else does: a multiple of 2 MiB at a multiple of 2 MiB.
    pub usable: Region,
    /// How it reaches UEFI.
    pub efi: Efi,
    /// Memory of the crashed image that the kernel has no business in, beside the region of the taker. Of 0 bytes: none.
    pub hidden: [Region; MAX_HIDDEN],
}

/// `Boot::psci`: no PSCI.
pub const PSCI_NONE: u32 = 0;
/// `Boot::psci`: by SMC.
pub const PSCI_SMC: u32 = 1;
/// `Boot::psci`: by HVC.
pub const PSCI_HVC: u32 = 2;

/// The block itself. All that is known here a crash kernel could know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Boot {
    /// Magic, version, length, CRC.
    pub header: Header,
    /// Scenario of this boot, from 0.
    pub run: u32,
    /// Crash of this run, from 0.
    pub cycle: u32,
    /// Memory that belongs to the kdump image: image, stack, heap.
    pub region: Region,
    /// The image.
    pub image: Image,
    /// First stack pointer.
    pub stack_top: PhysAddr,
    /// Memory for its allocator.
    pub heap: Region,
    /// Page tables that the primary left for it.
    pub translation: Translation,
    /// HCR_EL2.E2H is set: 1 or 0.
    pub e2h: u32,
    /// `PSCI_*`.
    pub psci: u32,
    /// Console.
    pub console: Console,
    /// Firmware tables.
    pub tables: Tables,
    /// Option text, `key=value`, UTF-8.
    pub options: Region,
    /// Interrupt controller.
    pub gic: Gic,
    /// Interrupt of the EL2 physical timer (GTDT), or of the virtual one under E2H.
    pub timer_interrupt: u32,
    /// Sequence number of the next console record.
    pub next_sequence: u32,
    /// Counter at the crash.
    pub crash_tick: u64,
    /// Way back.
    pub way_back: WayBack,
    /// Where the oracle is; only observer and judge go there.
    pub oracle: Region,
    /// Entries of `smmus` in use.
    pub smmu_count: u32,
    /// Entries of `ecam` in use.
    pub ecam_count: u32,
    /// SMMUs that the firmware names, in its order.
    pub smmus: [Smmu; MAX_SMMUS],
    /// Configuration space: windows that are mapped, in the order of the MCFG.
    pub ecam: [Ecam; MAX_ECAM],
    /// Affinity of the CPU that the firmware booted, as in MPIDR_EL1.
    pub boot_cpu: u64,
    /// Where the [`crate::crash_note::CrashNote`] is.
    pub crash_note: PhysAddr,
    /// The watchdog that this image goes on refreshing, as its observer does.
    pub watchdog: Watchdog,
    /// Where the [`crate::last_words::LastWords`] are; 0: none are kept.
    pub last_words: PhysAddr,
    /// The kernel that is to be watched.
    pub guest: Guest,
}

impl Boot {
    /// Writes magic, version, length and CRC; to be called last.
    pub fn seal(&mut self) {
        self.header = KIND.header(size_of::<Self>() as u32);
        self.header.crc = crc(self.as_bytes());
    }

    /// Checks that this is a boot block and unchanged since it was sealed.
    ///
    /// # Errors
    /// The first that is wrong of magic, version, length, CRC and the numbers of SMMUs and windows.
    pub fn verify(&self) -> Result<(), HandoverError> {
        KIND.check_whole(self.as_bytes(), self.header.bytes)?;
        for (found, most) in [(self.smmu_count, MAX_SMMUS), (self.ecam_count, MAX_ECAM)] {
            if found as usize > most {
                return Err(HandoverError::Count { block: KIND.block, found, expected: most as u32 });
            }
        }
        Ok(())
    }

    /// Finds and verifies the block at the start of `memory`.
    ///
    /// # Errors
    /// As [`Self::verify`]; also where `memory` is too short or begins at no multiple of 8.
    pub fn find(memory: &[u8]) -> Result<&Self, HandoverError> {
        let short = KIND.length(memory.len(), size_of::<Self>());
        let bytes = memory.get(..size_of::<Self>()).ok_or(short)?;
        let boot = Self::ref_from_bytes(bytes).map_err(|_| HandoverError::Misaligned { block: KIND.block })?;
        boot.verify().map(|()| boot)
    }

    /// The SMMUs in use.
    #[must_use]
    pub fn smmus(&self) -> &[Smmu] {
        self.smmus.get(..self.smmu_count as usize).unwrap_or(&self.smmus)
    }

    /// The windows in use.
    #[must_use]
    pub fn ecam(&self) -> &[Ecam] {
        self.ecam.get(..self.ecam_count as usize).unwrap_or(&self.ecam)
    }
}
