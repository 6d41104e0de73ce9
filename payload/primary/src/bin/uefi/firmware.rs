//! All that is taken from UEFI before boot services end: options, files, tables, memory.

use crate::{acpi_tables, bus_masters};
use addr::{Bdf, PhysAddr};
use alloc::{boxed::Box, format, string::String, vec::Vec};
use arch::{
    mmu::{Kind, Region},
    ranges::Ranges,
};
use core::slice;
use handover::boot::Efi;
use primary::firmware::{Description, Firmware, Given, Left, Purpose, Reserved};
use tables::{devicetree::Devicetree, iort::rmr_place::MemoryRange};
use uefi::{
    CStr16, Guid, Status,
    boot::{self, AllocateType, MemoryType},
    cstr16, guid,
    mem::memory_map::{MemoryAttribute, MemoryDescriptor, MemoryMap, MemoryMapMeta, MemoryMapOwned},
    proto::{
        device_path::DevicePath,
        loaded_image::LoadedImage,
        media::{
            file::{File, FileAttribute, FileInfo, FileMode, RegularFile},
            fs::SimpleFileSystem,
            load_file::LoadFile2,
        },
    },
    runtime::{self, VariableAttributes, VariableVendor},
    system,
    table::{self, cfg::ConfigTableEntry},
};

/// LINUX_EFI_INITRD_MEDIA_GUID: the vendor media path under which a loader offers an initrd, and QEMU its `-initrd`.
const INITRD_MEDIA: Guid = guid!("5568e427-68fc-4f3d-ac74-ca555231cc68");
/// EFI_DTB_TABLE_GUID (EBBR 2.1, 2.3.1).
const DEVICETREE: Guid = guid!("b1b621d5-f19c-41a5-830b-d9152c69aae0");
/// Options beside the image, where its device has a file system; they overrule the load options.
const OPTIONS_FILE: &CStr16 = cstr16!("inflight.txt");
/// A replaced IORT beside the image.
const IORT_FILE: &CStr16 = cstr16!("iort.aml");
/// The bundle of a kernel, beside the image; it is read in pieces.
const BUNDLE_FILE: &CStr16 = cstr16!("guest.bin");
const PIECE: usize = 16 << 20;
/// LINUX_EFI_MEMRESERVE_TABLE_GUID: what kernels leave for the next one.
const MEMRESERVE: Guid = guid!("888eb0c6-8ede-4ff5-a8f0-9aee5cb977c2");
/// An option file or IORT longer than this is not read.
const LONGEST_FILE: u64 = 4 << 20;

/// Reads everything that needs boot services and no memory of a certain kind.
pub(crate) fn collect(heap: Reserved) -> Result<Given, String> {
    let image = boot::open_protocol_exclusive::<LoadedImage>(boot::image_handle())
        .map_err(|error| format!("no LoadedImage protocol: {}", code(error.status())))?;
    let (base, bytes) = image.info();
    let load_options = image.load_options_as_bytes().map_or(Some(String::new()), text_of);
    Ok(Given {
        load_options,
        option_file: file_beside_image(&image, OPTIONS_FILE).and_then(|file| String::from_utf8(file.into()).ok()),
        iort_file: initrd().or_else(|| file_beside_image(&image, IORT_FILE)),
        description: description(),
        image: Region { start: PhysAddr(base.addr() as u64), bytes, kind: Kind::Image },
        heap,
        made_by: text_of(system::firmware_vendor().as_bytes()).map(|vendor| (vendor, system::firmware_revision())),
    })
}

/// UCS-2 load options as text, without the terminator; `None` where they hold anything but printable characters.
fn text_of(bytes: &[u8]) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    let text: Option<String> = units
        .iter()
        .map(|unit| u16::from_le_bytes(*unit))
        .take_while(|unit| *unit != 0)
        .map(|unit| u8::try_from(unit).ok().filter(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r')))
        .map(|byte| byte.map(char::from))
        .collect();
    text.filter(|_| rest.is_empty())
}

/// ACPI tables, or the devicetree where there are none: firmware that has both describes more by ACPI.
fn description() -> Description {
    if let Some(rsdp) = config_table(ConfigTableEntry::ACPI2_GUID) {
        // SAFETY: the address is the firmware's configuration table's; boot services run, so their identity map is in force.
        return Description::Acpi(unsafe { acpi_tables::copy_all(rsdp) });
    }
    let blob = config_table(DEVICETREE).and_then(devicetree);
    let none =
        || Description::Acpi(Err("the firmware has neither an ACPI 2.0 nor a devicetree configuration table".into()));
    blob.map_or_else(none, Description::Devicetree)
}

/// Where a table of the firmware's configuration is.
fn config_table(guid: Guid) -> Option<PhysAddr> {
    system::with_config_table(|entries| {
        entries.iter().find(|entry| entry.guid == guid).map(|entry| PhysAddr(entry.address.addr() as u64))
    })
}

/// A copy of the blob at `at`, if there is one.
fn devicetree(at: PhysAddr) -> Option<Vec<u8>> {
    let pointer = core::ptr::with_exposed_provenance::<u8>(at.0 as usize);
    // SAFETY: the firmware's configuration table says that a devicetree is there; it begins with its length.
    let start = unsafe { slice::from_raw_parts(pointer, 8) };
    let length = start.first_chunk().and_then(|start| Devicetree::length(*start))?;
    // SAFETY: as above, and this is the length.
    Some(unsafe { slice::from_raw_parts(pointer, length) }.to_vec())
}

/// The file that the loader offers as an initrd; nothing where it offers none.
fn initrd() -> Option<Box<[u8]>> {
    // A device path by hand: one vendor media node (type 4, subtype 3), then the end node.
    let mut path = [0_u8; 24];
    path[..4].copy_from_slice(&[4, 3, 20, 0]);
    path[4..20].copy_from_slice(&INITRD_MEDIA.to_bytes());
    path[20..].copy_from_slice(&[0x7f, 0xff, 4, 0]);
    let mut path = <&DevicePath>::try_from(&path[..]).ok()?;
    let handle = boot::locate_device_path::<LoadFile2>(&mut path).ok()?;
    let mut loader = boot::open_protocol_exclusive::<LoadFile2>(handle).ok()?;
    loader.load_file(path).ok()
}

fn file_beside_image(image: &LoadedImage, name: &CStr16) -> Option<Box<[u8]>> {
    let (mut file, size) = open_beside_image(image, name)?;
    let mut bytes = alloc::vec![0; usize::try_from(size).ok().filter(|_| size <= LONGEST_FILE)?];
    let read = file.read(&mut bytes).ok()?;
    bytes.truncate(read);
    Some(bytes.into_boxed_slice())
}

/// The file, and its length.
fn open_beside_image(image: &LoadedImage, name: &CStr16) -> Option<(RegularFile, u64)> {
    let mut volume = boot::open_protocol_exclusive::<SimpleFileSystem>(image.device()?).ok()?;
    let mut root = volume.open_volume().ok()?;
    let mut file = root.open(name, FileMode::Read, FileAttribute::empty()).ok()?.into_regular_file()?;
    let size = file.get_boxed_info::<FileInfo>().ok()?.file_size();
    Some((file, size))
}

/// What a kernel that is started later has to know of UEFI. It gets a table in which to leave word for the next one, or each of its
/// allocations for the GIC's LPIs would complain; who has left one before was no kernel that still runs.
fn for_a_kernel() -> uefi::Result<Efi> {
    // `struct linux_efi_memreserve` without entries: size, count and next are 0.
    const BYTES: usize = 16;
    let table = boot::allocate_pool(MemoryType::LOADER_DATA, BYTES)?.as_ptr();
    // SAFETY: allocated for this just now, with this length.
    unsafe { table.write_bytes(0, BYTES) };
    // SAFETY: what was written there is the table of this GUID.
    unsafe { boot::install_configuration_table(&MEMRESERVE, table.cast()) }?;
    let mut is_secure = [0];
    let secure_boot = runtime::get_variable(cstr16!("SecureBoot"), &VariableVendor::GLOBAL_VARIABLE, &mut is_secure);
    let secure_boot = u32::from(secure_boot.is_ok() && is_secure == [1]);
    let system_table = table::system_table_raw().map_or(0, |table| table.addr().get() as u64);
    Ok(Efi { system_table: PhysAddr(system_table), secure_boot, ..Efi::default() })
}

/// UEFI's services.
#[derive(Default)]
pub(crate) struct Uefi {
    /// Variables can be set no more.
    is_mute: bool,
    /// [`for_a_kernel`], where that was asked.
    efi: Efi,
}

/// Name and namespace of the variable with the last words.
const LAST_WORDS: &CStr16 = cstr16!("InflightLastWords");
const VENDOR: VariableVendor = VariableVendor(guid!("5d6c3c1e-9f0e-4c55-8d0b-6a1f7e2b90c4"));
/// What the firmware's watchdog logs: a code that is ours to choose (UEFI 2.11, 7.5: above FFFFh).
const WATCHDOG_CODE: u64 = 0x1_0000;
/// EFI_RT_PROPERTIES_TABLE, and its flag for SetVariable() (UEFI 2.11, 4.6.2); without one all services work.
const RT_PROPERTIES: Guid = guid!("eb66918a-7eef-402a-842e-931d21c38ae9");
const RT_SUPPORTED_SET_VARIABLE: u32 = 1 << 6;

/// Whether variables can be set when boot services have ended.
fn sets_variables_later() -> bool {
    let Some(at) = config_table(RT_PROPERTIES) else { return true };
    // SAFETY: the firmware's configuration table says that one is there: version, length, and flags at offset 4.
    let flags = unsafe { arch::mmio::read32(at.0 + 4) };
    flags & RT_SUPPORTED_SET_VARIABLE != 0
}

impl Firmware for Uefi {
    fn reserve(
        &mut self,
        what: &str,
        bytes: u64,
        alignment: u64,
        limit: u64,
        purpose: Purpose,
    ) -> Result<Reserved, String> {
        let kind = match purpose {
            Purpose::Own => MemoryType::LOADER_DATA,
            Purpose::Kept => MemoryType::RESERVED,
        };
        let whole = bytes + alignment - 4096;
        let pages = whole.div_ceil(4096) as usize;
        let start = boot::allocate_pages(AllocateType::MaxAddress(limit), kind, pages).map_err(|error| {
            let free = largest_free(limit) >> 10;
            let wanted = whole >> 10;
            if error.status() == Status::OUT_OF_RESOURCES || error.status() == Status::NOT_FOUND {
                format!("too little memory for {what}: {wanted} KiB below {limit:#x} needed, the largest free range has {free} KiB")
            } else {
                format!("cannot reserve {wanted} KiB for {what}: {}", code(error.status()))
            }
        })?;
        let start = (start.addr().get() as u64).next_multiple_of(alignment);
        Ok(Reserved { start: PhysAddr(start), bytes })
    }

    fn reserve_at(&mut self, start: PhysAddr, bytes: u64) -> Result<Reserved, String> {
        if !start.is_aligned(4096) {
            return Err(code(Status::INVALID_PARAMETER));
        }
        boot::allocate_pages(AllocateType::Address(start.0), MemoryType::RESERVED, bytes.div_ceil(4096) as usize)
            .map(|_| Reserved { start, bytes })
            .map_err(|error| code(error.status()))
    }

    fn bundle(&mut self, _: Option<PhysAddr>) -> Result<Reserved, String> {
        let image = boot::open_protocol_exclusive::<LoadedImage>(boot::image_handle()).ok();
        let file = image.and_then(|image| open_beside_image(&image, BUNDLE_FILE));
        let (mut file, bytes) = file.ok_or("no kernel: there is no guest.bin beside the image")?;
        let mut read = || -> uefi::Result<Reserved> {
            self.efi = for_a_kernel()?;
            let pages = bytes.div_ceil(4096) as usize;
            let start = boot::allocate_pages(AllocateType::AnyPages, MemoryType::RESERVED, pages)?;
            // SAFETY: allocated just now, for this.
            let memory = unsafe { slice::from_raw_parts_mut(start.as_ptr(), bytes as usize) };
            for piece in memory.chunks_mut(PIECE) {
                if file.read(piece)? != piece.len() {
                    return Err(Status::END_OF_FILE.into());
                }
            }
            Ok(Reserved { start: PhysAddr(start.addr().get() as u64), bytes })
        };
        read().map_err(|error| format!("guest.bin cannot be read: {}", code(error.status())))
    }

    fn memory_map(&self) -> Vec<MemoryRange> {
        boot::memory_map(MemoryType::LOADER_DATA).map_or(Vec::new(), |map| map.entries().map(range).collect())
    }

    fn bus_masters(&mut self) -> Option<Vec<Bdf>> {
        bus_masters::all()
    }

    fn watch(&mut self, seconds: u32) {
        // Firmware without a watchdog has the host's deadline.
        let _ = boot::set_watchdog_timer(seconds as usize, WATCHDOG_CODE, None);
    }

    fn kept(&mut self) -> Option<Vec<u8>> {
        self.is_mute = !sets_variables_later();
        let mut bytes = alloc::vec![0; 1024];
        let length = runtime::get_variable(LAST_WORDS, &VENDOR, &mut bytes).ok()?.0.len();
        bytes.truncate(length);
        Some(bytes)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.is_mute {
            return Ok(());
        }
        let attributes = VariableAttributes::NON_VOLATILE
            | VariableAttributes::BOOTSERVICE_ACCESS
            | VariableAttributes::RUNTIME_ACCESS;
        let done = runtime::set_variable(LAST_WORDS, &VENDOR, attributes, bytes);
        self.is_mute = done.is_err() && !bytes.is_empty();
        done.map_err(|error| code(error.status()))
    }

    fn leave(&mut self) -> Left {
        // SAFETY: `collect` keeps copies only: no protocol or pool memory of boot services is referenced any more.
        let map = unsafe { boot::exit_boot_services(None) };
        let mut left = Left { ram: ram(&map), runtime: of_runtime(&map), ..Left::default() };
        if self.efi.system_table.0 != 0 {
            let MemoryMapMeta { map_size, desc_size, desc_version, .. } = map.meta();
            let base = PhysAddr(map.buffer().as_ptr().addr() as u64);
            left.efi = Efi {
                map: handover::boot::Region { base, bytes: map_size as u64 },
                descriptor_bytes: desc_size as u32,
                descriptor_version: desc_version,
                ..self.efi
            };
            // It is the kernel's from here on.
            core::mem::forget(map);
        }
        left
    }
}

fn range(entry: &MemoryDescriptor) -> MemoryRange {
    let bytes = entry.page_count.saturating_mul(4096);
    MemoryRange { base: PhysAddr(entry.phys_start), bytes, kind: entry.ty.0 }
}

/// A status as its number: the names of all of them would take kilobytes of the image.
fn code(status: Status) -> String {
    format!("EFI status {:#x}", status.0)
}

fn largest_free(limit: u64) -> u64 {
    let Ok(map) = boot::memory_map(MemoryType::LOADER_DATA) else { return 0 };
    let free = map.entries().filter(|entry| entry.ty == MemoryType::CONVENTIONAL && entry.phys_start < limit);
    free.map(|entry| entry.page_count * 4096).max().unwrap_or(0)
}

/// What runtime services take, which go on at physical addresses, as SetVirtualAddressMap() is never called: their code is
/// executed, and their devices are devices (UEFI 2.11, 2.3.6).
fn of_runtime(map: &MemoryMapOwned) -> Vec<Region> {
    let kept = map.entries().filter(|entry| entry.att.contains(MemoryAttribute::RUNTIME));
    let region = |entry: &MemoryDescriptor| {
        let kind = match entry.ty {
            MemoryType::RUNTIME_SERVICES_CODE => Kind::Image,
            MemoryType::MMIO => Kind::Device,
            _ => return None,
        };
        Some(Region { start: PhysAddr(entry.phys_start), bytes: entry.page_count.saturating_mul(4096), kind })
    };
    kept.filter_map(region).collect()
}

/// RAM that the firmware says may be mapped write-back. What we reserved ourselves the caller adds.
fn ram(map: &MemoryMapOwned) -> Vec<Region> {
    let mut ram = Ranges::default();
    for entry in map.entries().filter(|entry| entry.att.contains(MemoryAttribute::WRITE_BACK)) {
        let range = range(entry);
        if range.is_ram() {
            ram.add(range.base, range.bytes);
        }
    }
    ram.iter().map(|(start, bytes)| Region { start, bytes, kind: Kind::Data }).collect()
}
