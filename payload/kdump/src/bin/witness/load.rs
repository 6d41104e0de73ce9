//! The kernel out of its bundle, in the memory that it may use, with all that it is given.

use crate::attention::Attention;
use addr::PhysAddr;
use alloc::{format, string::String, vec::Vec};
use arch::cache;
use core::ops::Range;
use handover::{
    boot::{self, Boot},
    bundle::{Bundle, Part, WATCH_READS},
    crc64_of,
};
use kdump::given;
use witness::guest::{
    efi, elfcore,
    image::{self, Kind},
    place::{self, Placement, Wanted},
    tree::{self, Given},
};

/// What is done between two looks at the streams.
const STRETCH: usize = 256 << 10;
/// The memory map begins at a multiple of this, behind the core header.
const KEPT_ALIGNMENT: usize = 4096;
/// What a kernel needs beside its image to come up at all.
const LEAST_FREE: u64 = 32 << 20;

/// What is in the bundle, with digests that are right.
pub(crate) struct Parts {
    kernel: &'static [u8],
    initrd: &'static [u8],
    arguments: &'static str,
    /// Loads from tables are watched, too.
    pub(crate) watch_reads: bool,
    pub(crate) attention: Attention,
}

/// A kernel that can be started.
pub(crate) struct Loaded {
    /// Its first instruction.
    pub(crate) entry: PhysAddr,
    /// Its devicetree.
    pub(crate) tree: PhysAddr,
    /// All of it in memory.
    pub(crate) bytes: u64,
    /// It finds UEFI.
    pub(crate) efi: bool,
}

/// Finds the bundle, and checks what is to be used of it. `damage`: as if a byte of the kernel were another (a planted fault).
pub(crate) fn parts(boot: &Boot, damage: bool, meanwhile: &mut dyn FnMut()) -> Result<Parts, String> {
    let file = given::bytes(boot.guest.bundle);
    let bundle = Bundle::find(file).map_err(|error| format!("{error}"))?;
    let mut part = |name: &str, part: Part| {
        // `find` has seen that it lies inside.
        let bytes =
            file.get(part.offset as usize..).and_then(|rest| rest.get(..part.bytes as usize)).unwrap_or_default();
        let found = crc64_of(bytes.chunks(STRETCH).inspect(|_| meanwhile())) ^ u64::from(damage && name == "kernel");
        let right = part.digest;
        if found == right { Ok(bytes) } else { Err(format!("the {name}'s CRC-64 is {found:#x}, not {right:#x}")) }
    };
    let (kernel, initrd) = (part("kernel", bundle.kernel)?, part("initrd", bundle.initrd)?);
    let arguments = core::str::from_utf8(part("command line", bundle.arguments)?);
    let arguments = arguments.map_err(|error| format!("the command line is no UTF-8: {error}"))?;
    let (watch_reads, attention) = (bundle.flags & WATCH_READS != 0, Attention::of(bundle.flags));
    Ok(Parts { kernel, initrd, arguments, watch_reads, attention })
}

/// Places everything. `old` is memory of the crashed image that the kernel may read; `mmfr0` is ID_AA64MMFR0_EL1.
pub(crate) fn load(
    boot: &Boot,
    parts: &Parts,
    old: &[Range<PhysAddr>],
    mmfr0: u64,
    meanwhile: &mut dyn FnMut(),
) -> Result<Loaded, String> {
    let image = match image::recognise(parts.kernel) {
        Ok(Kind::Image(image)) => image,
        Ok(Kind::Packed(packed)) => return Err(format!("the kernel is still packed ({})", packed.container)),
        Err(unfit) => return Err(format!("{unfit}")),
    };
    image.fits(mmfr0).map_err(|unfit| format!("{unfit}"))?;
    let map = memory_map(boot)?;
    let header_bytes = elfcore::bytes(old.len());
    let map_offset = header_bytes.next_multiple_of(KEPT_ALIGNMENT);

    let usable = boot.guest.usable.base..boot.guest.usable.base.plus(boot.guest.usable.bytes);
    // A tree with other addresses is as long.
    let somewhere = usable.start..usable.start;
    let draft = Placement {
        entry: usable.start,
        kernel: somewhere.clone(),
        initrd: (!parts.initrd.is_empty()).then(|| somewhere.clone()),
        tree: somewhere.clone(),
        kept: somewhere,
    };
    let described = |placed: &Placement| describe(boot, parts, placed, (header_bytes, map_offset, map.len()));
    let wanted = Wanted {
        image,
        initrd: parts.initrd.len() as u64,
        tree: described(&draft)?.len() as u64,
        kept: (map_offset + map.len()) as u64,
        least_free: LEAST_FREE,
    };
    let placed = place::place(usable, &wanted).map_err(|error| format!("{error}"))?;
    let tree = described(&placed)?;

    let core_header = elfcore::write(placed.kept.start, old, &[0; 34]);
    let initrd = placed.initrd.as_ref().map_or(placed.tree.start, |initrd| initrd.start);
    for (at, bytes) in [
        (placed.entry, parts.kernel),
        (initrd, parts.initrd),
        (placed.tree.start, &tree),
        (placed.kept.start, &core_header),
        (placed.kept.start.plus(map_offset as u64), &map),
    ] {
        for (offset, stretch) in (0..).step_by(STRETCH).zip(bytes.chunks(STRETCH)) {
            write(at.plus(offset), stretch);
            meanwhile();
        }
    }
    let bytes = placed.kernel.end.0 - placed.kernel.start.0;
    // What is not in the file, too: the kernel begins to write there with its caches off, and the one before it may have left lines
    // behind that are dirty.
    cache::clean_invalidate(placed.kernel.start, bytes);
    cache::invalidate_instructions();
    Ok(Loaded { entry: placed.entry, tree: placed.tree.start, bytes, efi: !map.is_empty() })
}

/// UEFI's memory map with runtime services where they are; empty where a devicetree describes the machine.
fn memory_map(boot: &Boot) -> Result<Vec<u8>, String> {
    let efi = &boot.guest.efi;
    if boot.tables.devicetree.bytes != 0 || efi.system_table.0 == 0 {
        return Ok(Vec::new());
    }
    let mut map = given::bytes(efi.map).to_vec();
    efi::map_to_identity(&mut map, efi.descriptor_bytes as usize).map_err(|error| format!("{error}"))?;
    Ok(map)
}

/// The devicetree: firmware's, edited, or one that leads to UEFI.
fn describe(
    boot: &Boot,
    parts: &Parts,
    placed: &Placement,
    (header_bytes, map_offset, map_bytes): (usize, usize, usize),
) -> Result<Vec<u8>, String> {
    let kept = placed.kept.start;
    let usable = boot.guest.usable.base..boot.guest.usable.base.plus(boot.guest.usable.bytes);
    let given = Given {
        arguments: parts.arguments,
        initrd: placed.initrd.clone(),
        core_header: kept..kept.plus(header_bytes as u64),
        usable,
        is_alone: boot.psci == boot::PSCI_NONE,
    };
    let efi = &boot.guest.efi;
    let tree = if boot.tables.devicetree.bytes != 0 {
        tree::edit(given::bytes(boot.tables.devicetree), &given, &given::own_memory(boot))
    } else if map_bytes != 0 {
        let efi = tree::Efi {
            system_table: efi.system_table,
            map: kept.plus(map_offset as u64),
            map_bytes: map_bytes as u32,
            descriptor_bytes: efi.descriptor_bytes,
            descriptor_version: efi.descriptor_version,
            is_secure: efi.secure_boot != 0,
        };
        tree::for_acpi(&given, &efi)
    } else {
        return Err("neither a devicetree nor UEFI describes the machine to the kernel".into());
    };
    tree.map_err(|error| format!("{error}"))
}

/// Writes where the kernel will read with its caches off.
fn write(at: PhysAddr, bytes: &[u8]) {
    let to = core::ptr::with_exposed_provenance_mut::<u8>(at.0 as usize);
    // SAFETY: inside the memory that is set apart for the kernel, which does not run yet; nobody else goes there.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) }
    cache::clean_invalidate(at, bytes.len() as u64);
}
