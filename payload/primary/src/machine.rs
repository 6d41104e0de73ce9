//! The machine in our own hands: maps, console, timer, SMMUs, configuration space.

use crate::{
    firmware::{Reserved, conduit},
    notes::Notes,
    platform::{Described, IortInForce, is_usable},
};
use addr::{Bdf, PhysAddr, StreamId};
use alloc::{format, vec, vec::Vec};
use arch::{
    bus::{Devices, Ecam, EcamWindow, SmmuFrame, Smmus},
    cpu, exceptions, gic, lost,
    mmu::{self, Kind, Region},
    power::Conduit,
    serial::At,
};
use handover::boot;
use scenario::options::RunOptions;
use smmu::access::SmmuIndex;
use smmu::spec::registers::{EVENTQ_CONS, IDR0, IDR1, Idr0, Idr1};
use tables::{Platform, iort::RmrFlags, mcfg::EcamRegion, platform::ReservedRange, spcr::Console};
use wire::{Record, record::Severity};

/// Bytes of an SMMU's two register pages.
const SMMU_BYTES: u64 = 0x2_0000;
/// Cavium CN99xx: what should be in page 1 is in page 0 (Linux, erratum 74).
const MODEL_WITHOUT_PAGE_1: u32 = 2;
/// Bytes of a UART's and of a GIC frame.
const UART_BYTES: u64 = 0x1000;
const GICD_BYTES: u64 = 0x1_0000;
/// Bytes of a watchdog's frame.
const FRAME_BYTES: u64 = 0x1000;

/// Where the console is and how wide its registers are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConsoleAt {
    pub(crate) base: PhysAddr,
    pub(crate) register_width: u32,
    /// Bytes from one register of a 16550 to the next; zero: a PL011 or SBSA UART.
    pub(crate) stride: u32,
}

impl ConsoleAt {
    /// The console of the tables, or else of the options.
    pub(crate) fn choose(tables: Option<Console>, options: &RunOptions) -> Option<Self> {
        let named = tables.map(|console| Self {
            base: console.base,
            register_width: u32::from(console.access_bytes) * 8,
            stride: console.stride.into(),
        });
        named.or(options.console.map(|wish| Self {
            base: wish.base,
            register_width: wish.register_width,
            stride: wish.stride,
        }))
    }
}

/// An SMMU that the tables name and that answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SmmuAt {
    pub(crate) base: PhysAddr,
    pub(crate) coherent_override: bool,
    /// The IORT's HTTU override.
    pub(crate) httu_override: u8,
    /// The largest StreamID that it has.
    largest_sid: u32,
    /// Its place in [`Platform::smmus`].
    named: usize,
}

/// Memory that was reserved while boot services ran.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// RAM by the firmware's map, and the image itself.
    pub(crate) ram: Vec<Region>,
    pub(crate) image: Region,
    /// SMMU structures and DMA windows.
    pub(crate) arena: Reserved,
    /// The kdump image's own.
    pub(crate) kdump: Reserved,
    /// RMR ranges that are ours to be written by DMA.
    pub(crate) rmrs: Vec<Reserved>,
    /// What firmware's runtime services take, where they are called.
    pub(crate) runtime: Vec<Region>,
}

/// The machine after boot services.
pub(crate) struct Machine {
    pub(crate) platform: Platform<'static>,
    pub(crate) iort: Option<IortInForce>,
    /// The firmware's, if any.
    pub(crate) devicetree: &'static [u8],
    pub(crate) memory: Memory,
    pub(crate) console: ConsoleAt,
    pub(crate) smmus: Vec<SmmuAt>,
    pub(crate) gic: boot::Gic,
    pub(crate) timer_interrupt: u32,
    pub(crate) conduit: Conduit,
    pub(crate) hw: Smmus,
    pub(crate) config: Ecam,
    pub(crate) bus: Devices,
    /// PCI functions whose errors are watched.
    pub(crate) watched: Vec<pci::ErrorPlaces>,
    /// What each of them reported when it was found.
    pub(crate) reported: Vec<pci::error::Reporting>,
    /// Functions that the board keeps the payload's hands off.
    pub(crate) denied: Vec<Bdf>,
    /// An SMMU that could not be disabled: it may use memory of ours that is handed out again.
    pub(crate) not_disabled: Option<SmmuIndex>,
    /// The first generic watchdog that is not secure and whose frames are mapped.
    pub(crate) watchdog: Option<boot::Watchdog>,
    devices: Vec<Region>,
    /// Backing of the map in force; a map is replaced before its tables are dropped.
    map_in_force: Vec<u8>,
}

impl Machine {
    /// Takes the machine from the firmware: exceptions masked, own map, vectors, console, timer.
    ///
    /// # Safety
    /// Boot services have ended, and `memory` describes what they left.
    pub(crate) unsafe fn take(described: Described, memory: Memory, console: ConsoleAt, notes: &mut Notes) -> Self {
        let Described { platform, iort, devicetree, .. } = described;
        let conduit = conduit(platform.psci);
        cpu::mask_all();
        let mut devices = devices(&platform, console, &memory, notes);
        let watchdog = watchdog(&platform, &mut devices, &memory);
        let is_mapped = |base: PhysAddr| devices.iter().any(|device| overlaps(device, base, 1));
        let usable = |region: &&EcamRegion| is_mapped(region.base.plus(u64::from(region.first_bus) << 20));
        let windows = platform.ecam.iter().filter(usable).map(|region| EcamWindow {
            base: region.base,
            segment: region.segment,
            first_bus: region.first_bus,
            last_bus: region.last_bus,
        });
        // SAFETY: `devices` maps each window; the map goes in force below, before the first access.
        let config = unsafe { Ecam::new(windows.collect()) };
        // SAFETY: BARs are mapped before a driver is called; windows come from the arena and hold no Rust objects.
        let bus = unsafe { Devices::new(true) };
        // SAFETY: no frames yet.
        let hw = unsafe { Smmus::new(Vec::new()) };
        let mut machine = Self {
            timer_interrupt: platform.timers.map_or(0, |timers| timers.el2.gsiv),
            platform,
            iort,
            devicetree,
            memory,
            console,
            smmus: Vec::new(),
            gic: boot::Gic::default(),
            conduit,
            hw,
            config,
            bus,
            watched: Vec::new(),
            reported: Vec::new(),
            denied: Vec::new(),
            not_disabled: None,
            watchdog,
            devices,
            map_in_force: Vec::new(),
        };
        // SAFETY: the console's page is mapped by the firmware's map, and by ours, and the firmware's use of it is over.
        unsafe { arch::console::init(At::new(console.base.0, console.register_width, console.stride), 0) };
        lost::install(conduit);
        machine.put_map_in_force();
        if conduit == Conduit::None {
            let text = "the firmware names no PSCI: the machine stays on after the last record";
            notes.add(Severity::Warning, "FACP", "no-psci", text);
        }
        machine.start_timer(notes);
        machine.find_smmus(notes);
        machine
    }

    /// The identity map of memory and devices, as regions.
    pub(crate) fn regions(&self) -> Vec<Region> {
        let Memory { ram, image, arena, kdump, rmrs, runtime } = &self.memory;
        let data = |range: &Reserved| Region { start: range.start, bytes: range.bytes, kind: Kind::Data };
        let mut regions = ram.clone();
        regions.extend(runtime);
        regions.extend([data(arena), data(kdump)]);
        regions.extend(rmrs.iter().map(data));
        regions.push(*image);
        regions.extend(&self.devices);
        regions
    }

    /// Maps the registers of a function's BAR.
    pub(crate) fn map_device(&mut self, start: PhysAddr, bytes: u64) {
        self.devices.push(Region { start, bytes, kind: Kind::Device });
    }

    /// Makes the map of [`Self::regions`] the one in force.
    pub(crate) fn put_map_in_force(&mut self) {
        /// Tables of 256 ranges that begin or end inside a 2 MiB block.
        const ROOM: usize = 1 << 20;
        let mut backing = vec![0_u8; ROOM];
        let at = PhysAddr((backing.as_ptr().addr() as u64).next_multiple_of(4096));
        let skip = (at.0 - backing.as_ptr().addr() as u64) as usize;
        let map = mmu::identity_map(&self.regions(), at, cpu::is_e2h(), cpu::pa_range()).ok();
        let regime = map.and_then(|(tables, regime)| {
            backing.get_mut(skip..skip + tables.len())?.copy_from_slice(&tables);
            arch::cache::clean_invalidate(at, tables.len() as u64);
            Some(regime)
        });
        let Some(regime) = regime else {
            lost::because(format_args!("the memory map cannot be mapped: a range past 48 bits, or too many"))
        };
        // SAFETY: the tables lie at `at` in `backing`, which lives until the next map is in force; they map this image,
        // its stack and its heap to themselves.
        unsafe { arch::jump::switch_map(&regime) };
        self.map_in_force = backing;
    }

    /// Whether a register frame of the tables was mapped.
    fn is_mapped(&self, start: PhysAddr) -> bool {
        self.devices.iter().any(|device| overlaps(device, start, 1))
    }

    fn start_timer(&mut self, notes: &mut Notes) {
        let distributor = self.platform.gic.distributor.map(|distributor| distributor.base);
        let distributor = distributor.filter(|base| self.is_mapped(*base));
        let redistributor = self.redistributor_of(cpu::affinity());
        let wakes = match (distributor, redistributor) {
            (Some(distributor), Some(redistributor)) => {
                self.gic = boot::Gic { distributor, redistributor: PhysAddr(redistributor) };
                let gic = gic::Gic { distributor: distributor.0, redistributor, timer_intid: self.timer_interrupt };
                // SAFETY: both frames are mapped, and boot services, which used the GIC, have ended.
                unsafe { gic::enable_timer_wake(&gic) }
            }
            _ => false,
        };
        if !wakes {
            let text = "the EL2 timer's interrupt does not arrive: waits poll";
            notes.add(Severity::Note, "timer", "timer-does-not-wake", text);
        }
    }

    /// The redistributor of a CPU.
    pub(crate) fn redistributor_of(&self, affinity: u64) -> Option<u64> {
        let mut ranges = self.platform.gic.redistributors.iter().filter(|range| self.is_mapped(range.base));
        ranges.find_map(|range| {
            // SAFETY: the range is mapped as Device memory, and the MADT says that it holds redistributors.
            unsafe { gic::find_redistributor(range.base.0, u64::from(range.bytes), affinity) }
        })
    }

    fn find_smmus(&mut self, notes: &mut Notes) {
        if self.platform.smmus.is_empty() {
            let text = "the IORT names no SMMUv3: there is nothing to take over";
            notes.add(Severity::Error, "IORT", "no-smmu", text);
        }
        let mut frames = Vec::new();
        for (named, smmu) in self.platform.smmus.iter().enumerate() {
            if !self.is_mapped(smmu.base) {
                continue;
            }
            if smmu.model == MODEL_WITHOUT_PAGE_1 {
                let text = format!("the SMMU at {} has no register page 1 (IORT model 2); it is not used", smmu.base);
                notes.add(Severity::Error, "IORT", "smmu-without-page-1", text);
                continue;
            }
            // Page 1 must answer too: something else's registers may stand at the address.
            let page_1 = exceptions::probe_read32(smmu.base.0 + u64::from(EVENTQ_CONS));
            let idr0 = exceptions::probe_read32(smmu.base.0 + u64::from(IDR0)).filter(|_| page_1.is_some());
            let Some(idr0) = idr0.filter(|idr0| is_smmu_v3(*idr0)) else {
                let seen = if idr0.is_none() { "a read aborts" } else { "IDR0 is no SMMUv3's" };
                let text = format!("no SMMU answers at {}: {seen}", smmu.base);
                notes.add(Severity::Error, "IORT", "smmu-does-not-answer", text);
                continue;
            };
            let coherent_override = smmu.coherent_override == Some(true);
            let idr1 = exceptions::probe_read32(smmu.base.0 + u64::from(IDR1)).unwrap_or(0);
            let sid_bits = u32::from(Idr1::from(idr1).sidsize());
            let largest_sid = 1_u32.checked_shl(sid_bits).map_or(u32::MAX, |size| size - 1);
            let httu_override = smmu.httu_override;
            self.smmus.push(SmmuAt { base: smmu.base, coherent_override, httu_override, largest_sid, named });
            frames.push(SmmuFrame { base: smmu.base, coherent: coherent_override || Idr0::from(idr0).cohacc() });
        }
        // SAFETY: `devices` maps the frames of every SMMU of the tables, and these answer like one.
        self.hw = unsafe { Smmus::new(frames) };
    }

    /// Says what an SMMU is, as it was found.
    pub(crate) fn describe_smmus(&mut self) {
        use smmu::observe::Registers;
        for (index, at) in (0_u8..).zip(&self.smmus) {
            let registers = Registers::read(&mut self.hw, SmmuIndex(index));
            arch::console::record(&Record::Smmu {
                index,
                base: at.base.0,
                idr0: registers.idr0.into(),
                idr1: registers.idr1.into(),
                idr3: registers.idr3,
                idr5: registers.idr5.into(),
                iidr: registers.iidr,
                aidr: registers.aidr,
                cr0: registers.cr0.into(),
                gbpa: registers.gbpa.into(),
                coherent: at.coherent_override || registers.idr0.cohacc(),
            });
        }
    }

    /// Index of the SMMU and StreamID of a function, by the IORT in force.
    pub(crate) fn stream_of(&self, function: Bdf) -> Option<(usize, StreamId)> {
        let stream = self.platform.resolve(function).smmu?;
        let named = self.platform.smmu_of(&stream)?;
        Some((self.smmus.iter().position(|smmu| smmu.named == named)?, stream.stream))
    }

    /// RMR ranges that name a stream: first address and length.
    pub(crate) fn rmrs_of(&self, smmu: usize, stream_id: StreamId) -> impl Iterator<Item = (PhysAddr, u64)> + '_ {
        self.rmrs_covering(smmu, stream_id).map(|range| (range.base, range.bytes))
    }

    /// What RMR nodes that name a stream say of their ranges.
    pub(crate) fn rmr_flags(&self, smmu: usize, stream_id: StreamId) -> impl Iterator<Item = RmrFlags> + '_ {
        self.rmrs_covering(smmu, stream_id).map(|range| range.flags)
    }

    fn rmrs_covering(&self, smmu: usize, stream_id: StreamId) -> impl Iterator<Item = &ReservedRange> + '_ {
        let named = self.smmus.get(smmu).map(|smmu| smmu.named);
        let covering = move |range: &&ReservedRange| named.is_some_and(|named| range.covers(named, stream_id));
        self.platform.rmrs.iter().filter(covering)
    }

    /// The RMR range of a stream that is ours and has at least `bytes`.
    pub(crate) fn rmr_of(&self, smmu: usize, stream_id: StreamId, bytes: u64) -> Option<(PhysAddr, u64)> {
        self.rmrs_of(smmu, stream_id)
            .find(|(base, length)| *length >= bytes && is_usable(&self.memory.rmrs, *base, *length))
    }

    /// StreamIDs that RMR nodes name on an SMMU, each once, at most `most`.
    pub(crate) fn rmr_streams(&self, smmu: usize, most: usize) -> Vec<StreamId> {
        let Some(at) = self.smmus.get(smmu) else { return Vec::new() };
        let mut streams = Vec::new();
        for range in self.platform.rmrs.iter().filter(|range| range.smmu == at.named) {
            let last = range.last.0.min(at.largest_sid);
            for stream_id in (range.first.0..=last).map(StreamId).take(most) {
                if streams.len() < most && !streams.contains(&stream_id) {
                    streams.push(stream_id);
                }
            }
        }
        streams
    }

    /// The largest StreamID that RMR nodes name on an SMMU, of those that it has.
    pub(crate) fn largest_rmr_stream(&self, smmu: usize) -> Option<StreamId> {
        let at = self.smmus.get(smmu)?;
        let ranges = self.platform.rmrs.iter().filter(|range| range.smmu == at.named);
        ranges.map(|range| StreamId(range.last.0.min(at.largest_sid))).max()
    }

    /// Whether a function's accesses snoop the CPU's caches: CCA of the root complexes of its segment.
    pub(crate) fn is_coherent(&self, function: Bdf) -> bool {
        let complexes = self.platform.iort.iter().flat_map(|iort| iort.root_complexes());
        let mut of_segment = complexes.filter(|complex| complex.segment == u32::from(function.segment));
        of_segment.all(|complex| complex.is_coherent)
    }

    /// Drivers reach DMA memory past the CPU's caches where some device does not snoop them.
    pub(crate) fn set_dma_coherent(&mut self, is_coherent: bool) {
        // SAFETY: as in `take`.
        self.bus = unsafe { Devices::new(is_coherent) };
    }
}

/// SMMU_IDR0 of an SMMUv3 has a stage of translation, a table format and no reserved bits (IHI 0070, 6.3.1).
fn is_smmu_v3(idr0: u32) -> bool {
    let fields = Idr0::from(idr0);
    idr0 != u32::MAX && (fields.s1p() || fields.s2p()) && fields.ttf() != 0 && fields.st_level() <= 1
}

fn overlaps(region: &Region, start: PhysAddr, bytes: u64) -> bool {
    start.0 < region.start.0.saturating_add(region.bytes) && region.start.0 < start.0.saturating_add(bytes)
}

/// Register frames that the tables name. One that lies in memory of ours, or past what EL2 can map, is a finding and
/// not mapped: a wrong table must not turn memory into device registers.
fn devices(platform: &Platform<'_>, console: ConsoleAt, memory: &Memory, notes: &mut Notes) -> Vec<Region> {
    let mut devices = vec![Region { start: console.base, bytes: UART_BYTES, kind: Kind::Device }];
    let mut add = |what: &str, start: PhysAddr, bytes: u64, kind| {
        let is_ours = memory.ram.iter().chain([&memory.image]).any(|ram| overlaps(ram, start, bytes));
        if is_ours || start.checked_add(bytes).is_none_or(|end| end.0 > 1 << 48) {
            let seen = if is_ours { "lies in RAM" } else { "ends past 48 bits" };
            let text = format!("{what} of {bytes:#x} bytes at {start} {seen}; it is not used");
            notes.add(Severity::Error, "platform", "frame-not-usable", text);
        } else {
            devices.push(Region { start, bytes, kind });
        }
    };
    if let Some(distributor) = platform.gic.distributor {
        add("the GIC distributor", distributor.base, GICD_BYTES, Kind::Device);
    }
    for range in &platform.gic.redistributors {
        add("a GIC redistributor range", range.base, u64::from(range.bytes), Kind::Device);
    }
    for smmu in &platform.smmus {
        add("an SMMU's register frame", smmu.base, SMMU_BYTES, Kind::Device);
    }
    for region in &platform.ecam {
        let (first, last) = (u64::from(region.first_bus), u64::from(region.last_bus));
        let bytes = (last - first.min(last) + 1) << 20;
        add("an ECAM window", region.base.plus(first << 20), bytes, Kind::Configuration);
    }
    devices
}

/// Maps the frames of the first watchdog that is not secure. A table that puts them over anything else of ours does not get it
/// written to.
fn watchdog(platform: &Platform<'_>, devices: &mut Vec<Region>, memory: &Memory) -> Option<boot::Watchdog> {
    let named = platform.watchdogs.iter().find(|watchdog| !watchdog.is_secure())?;
    let frames = [named.refresh, named.control];
    let taken = |frame: PhysAddr| {
        let mut known = memory.ram.iter().chain([&memory.image]).chain(&*devices);
        let is_possible = frame.is_aligned(FRAME_BYTES) && frame.0 >> 48 == 0;
        !is_possible || known.any(|region| overlaps(region, frame, FRAME_BYTES))
    };
    if frames.iter().any(|frame| taken(*frame)) || named.refresh == named.control {
        return None;
    }
    devices.extend(frames.map(|start| Region { start, bytes: FRAME_BYTES, kind: Kind::Device }));
    Some(boot::Watchdog { refresh: named.refresh, control: named.control })
}
