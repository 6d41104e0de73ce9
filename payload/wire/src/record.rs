//! What the payload tells the host, one record a line. Borrowed strings: nothing is allocated to write or to read one.

use serde::{Deserialize, Serialize};

/// Version of the record set; the host refuses another.
pub const VERSION: u16 = 7;

/// Verdict of a check. `Skip`: it does not apply here. `NotCovered`: it ought to have run here and could not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The rule holds.
    Pass,
    /// The rule is broken.
    Fail,
    /// The check does not apply here.
    Skip,
    /// The check ought to have run here and could not.
    NotCovered,
}

/// Outcome of a cycle, a run or a whole boot. Silence is `lost` too, but only the host can see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Every verdict is as expected and every must-run check ran.
    Pass,
    /// Something is not as expected.
    Fail,
    /// The payload gave up and says why (`Record::Lost`).
    Lost,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Wrong, but readable.
    Warning,
    /// Wrong, and something was left out because of it.
    Error,
}

/// Where the IORT in force comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IortOrigin {
    /// The firmware's own.
    Firmware,
    /// The firmware's with an RMR node added for the board's RMR wish.
    Amended,
    /// A file given with `--iort`.
    File,
    /// Written by the payload from the firmware's devicetree.
    Devicetree,
}

/// Units of one stream in one phase. `None` where the device has no attempt count that avoids the SMMU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Units that the device tried to move.
    pub attempted: Option<u64>,
    /// Units that arrived at their target.
    pub delivered: u64,
    /// attempted - delivered - mis_steered.
    pub blocked: Option<u64>,
    /// Units that arrived anywhere else.
    pub mis_steered: u64,
}

/// How a device was stopped before the takeover. Ticks are since the crash, but for `last_dma`, which is since `told`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped<'a> {
    /// By what, in words.
    pub means: &'a str,
    /// When it was told.
    pub told: u64,
    /// When what is done to stop it was done.
    pub done: u64,
    /// The last DMA that was seen to land since it was told; `None`: none was.
    pub last_dma: Option<u64>,
    /// Units that landed since it was told; `None` where the device could not be asked.
    pub landed: Option<u64>,
    /// Units that it attempted since; `None` likewise.
    pub attempted: Option<u64>,
}

/// One thing that the payload tells the host. `run` counts scenarios in one boot from 0, `cycle` crashes in one run from 0.
#[expect(missing_docs, reason = "a variant's sentence says what its fields are")]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record<'a> {
    /// First record of an image after it starts.
    Hello { wire: u16, version: &'a str, image: &'a str, el: u8, e2h: bool, counter_hz: u64 },
    /// Something wrong with firmware tables, options or the platform. `table` is a signature or a word such as `options`.
    Finding { severity: Severity, table: &'a str, id: &'a str, offset: Option<u32>, text: &'a str },
    /// The IORT in force. Digests are SHA-256; `firmware` is absent where the firmware has none.
    Iort { origin: IortOrigin, firmware_sha256: Option<[u8; 32]>, sha256: [u8; 32], bytes: u32 },
    /// An SMMU of the platform, as found at start.
    Smmu {
        index: u8,
        base: u64,
        idr0: u32,
        idr1: u32,
        idr3: u32,
        idr5: u32,
        iidr: u32,
        aidr: u32,
        cr0: u32,
        gbpa: u32,
        coherent: bool,
    },
    /// A PCI function. `driver` is empty where none claims it; `stream_id` is `None` where it has no SMMU.
    Endpoint {
        bdf: &'a str,
        vendor: u16,
        device: u16,
        class: u32,
        smmu: Option<u8>,
        stream_id: Option<u32>,
        driver: &'a str,
        bus_master_before_exit: Option<bool>,
        bus_master: bool,
        armed: bool,
        denied: bool,
    },
    /// A reserved memory range of the IORT in force, with one of its streams.
    Rmr { base: u64, bytes: u64, smmu: Option<u8>, stream_id: u32, flags: u32 },
    /// All streams move data; the crash follows. The host may act on it (stop a sender, pull a plug).
    Armed { run: u32, cycle: u32, streams: u32 },
    /// A scenario begins. `plant` is empty where no fault is planted.
    RunBegin { run: u32, scenario: &'a str, cycles: u32, plant: &'a str },
    /// Verdict of one check in one cycle.
    Check {
        run: u32,
        cycle: u32,
        id: &'a str,
        verdict: Verdict,
        expected: Verdict,
        must_run: bool,
        reason: &'a str,
        source: &'a str,
    },
    /// One stream in one cycle. `phases` are before, blackout, after.
    Stream {
        run: u32,
        cycle: u32,
        bdf: &'a str,
        stream_id: u32,
        endpoint: &'a str,
        rmr: bool,
        unit: &'a str,
        witness: &'a str,
        phases: [Phase; 3],
        gap_ticks: Option<u64>,
    },
    /// Running totals of one stream since it was armed.
    Sample { run: u32, cycle: u32, ticks: u64, bdf: &'a str, delivered: u64, blocked: Option<u64>, mis_steered: u64 },
    /// Decoded SMMU events of one kind, stream, page and direction.
    Event {
        run: u32,
        cycle: u32,
        smmu: u8,
        id: u8,
        name: &'a str,
        stream_id: u32,
        bdf: &'a str,
        input_address: u64,
        read: bool,
        count: u64,
    },
    /// One entry of the access log of a takeover. `kind` is `smmu::log::Op` as a number; `name` a register or structure;
    /// `stride` the bytes from one word of a scan or fill to the next; `unbacked`: the load met no memory.
    Access {
        run: u32,
        cycle: u32,
        index: u32,
        ticks: u64,
        smmu: u8,
        kind: u8,
        name: &'a str,
        address: u64,
        value: u64,
        count: u32,
        stride: u32,
        unbacked: bool,
    },
    /// A takeover step begins, at entry `index` of the access log.
    Step { run: u32, cycle: u32, index: u32, name: &'a str },
    /// One register of one SMMU before the takeover and after the watch. Of a kernel that is watched it is told twice: as found,
    /// before it runs, and in the end; so are its streams.
    Register { run: u32, cycle: u32, smmu: u8, name: &'a str, before: u64, after: u64 },
    /// SError or external abort, taken at a named step.
    Abort { run: u32, cycle: u32, step: &'a str, esr: u64, elr: u64, far: u64, serror: bool, count: u32 },
    /// Ticks of one cycle. `counted`: from the crash to the end of the watch, with all that was looked at in between.
    Timing {
        run: u32,
        cycle: u32,
        crash_to_kdump: u64,
        takeover: u64,
        hold: u64,
        watch: u64,
        counted: u64,
        cycle_total: u64,
    },
    /// A cycle ends. `failed` counts checks that are not as expected.
    Cycle { run: u32, cycle: u32, outcome: Outcome, checks: u32, failed: u32 },
    /// One stream of a cycle whose checks are not sent one by one: attempted, delivered, blocked, mis-steered, thrice.
    CycleStream { run: u32, cycle: u32, bdf: &'a str, phases: [Phase; 3] },
    /// A run ends.
    RunEnd { run: u32, outcome: Outcome, cycles: u32, cycles_failed: u32 },
    /// The payload cannot go on.
    Lost { reason: &'a str },
    /// Last record of a boot.
    End { outcome: Outcome, runs: u32 },
    /// How the image died, and what its other CPUs did meanwhile. `cause` is `handover::crash_note`'s; `spins` and `rings` are
    /// counts before the takeover's first access, after its last, and after the watch.
    Crash {
        run: u32,
        cycle: u32,
        boot_cpu: u64,
        taker_cpu: u64,
        cause: u8,
        esr: u64,
        far: u64,
        spins: [u64; 3],
        rings: [u64; 3],
    },
    /// A stream that was moved to a new domain after an adoption: the domain's ASID or VMID, the other of
    /// which is 0, and what the stream moved in it.
    /// Delivered is what landed in the new pages, mis-steered what landed in the dead image's.
    Attach {
        run: u32,
        cycle: u32,
        bdf: &'a str,
        stream_id: u32,
        asid: u16,
        vmid: u16,
        attempted: u64,
        delivered: u64,
        mis_steered: u64,
    },
    /// A function at the end of the watch, and what its DMA was seen to do since the crash, or since a census began, in ticks from
    /// there: first and last time that something landed, and that it attempted anything. Without a live stream these are `None`. `requester` is
    /// whose name its requests go by.
    Requester {
        run: u32,
        cycle: u32,
        bdf: &'a str,
        requester: &'a str,
        bus_master: bool,
        answers: bool,
        first_dma: Option<u64>,
        last_dma: Option<u64>,
        first_attempt: Option<u64>,
        last_attempt: Option<u64>,
        stopped: Option<Stopped<'a>>,
    },
    /// A StreamID that did DMA in a census, and belongs to no function that is there. Ticks since it began.
    Stranger { run: u32, cycle: u32, smmu: u8, stream_id: u32, first: u64, last: u64, events: u64 },
    /// Capabilities of a PCI function and how they are set: `pci::State` as it lies in memory. `requester` is in whose name
    /// its requests reach the host bridge.
    PcieFunction { bdf: &'a str, requester: &'a str, state: &'a [u8] },
    /// What a PCI function tells anew of errors in one phase: `pci::ErrorState` as it lies in memory.
    PcieErrors { run: u32, cycle: u32, bdf: &'a str, phase: u8, state: &'a [u8] },
    /// The payload waits in this phase (1 blackout, 2 after) for what the host is to do in it.
    Hold { run: u32, cycle: u32, phase: u8 },
    /// How a census watched an SMMU. `marks`: hardware marked what was used, and nothing was refused; else all was. `how` is that
    /// in words, with the reason.
    Watched { run: u32, cycle: u32, smmu: u8, marks: bool, how: &'a str },
    /// A block of memory that a stream used in a census by marks, or of which somebody did whose StreamID has no tables
    /// of its own (`None`). `written`: `None` where hardware does not tell. Ticks since the census began; `scans` that found it.
    Mark {
        run: u32,
        cycle: u32,
        smmu: u8,
        stream_id: Option<u32>,
        bdf: &'a str,
        address: u64,
        bytes: u64,
        written: Option<bool>,
        first: u64,
        last: u64,
        scans: u32,
    },
    /// A function that a census by marks does not tell apart: its StreamID shares tables with those that nobody knows.
    Pooled { run: u32, cycle: u32, bdf: &'a str },
    /// What the boot before this one was doing when it died, as it kept it. `scenario` is empty before the first; `phase` is
    /// `handover::last_words`'; `steps` began in it. `memory`: words in memory survived, and not only a variable's; `watchdog_s`: a
    /// watchdog was armed for so long. `next`: with which scenario this boot goes on; `None`: it does not, it died too often.
    Died {
        run: u32,
        cycle: u32,
        scenario: &'a str,
        phase: u8,
        steps: u32,
        step: &'a str,
        memory: bool,
        watchdog_s: u32,
        next: Option<u32>,
    },
    /// Who made the firmware that started the image, and which of its versions it is, as its system table says (UEFI 2.11, 4.3).
    Firmware { vendor: &'a str, revision: u32 },
    /// A kernel is started to be watched. Ranges in bytes; `efi`: it finds UEFI and its tables, and else a devicetree. `cpu` is
    /// MIDR_EL1.
    Kernel {
        run: u32,
        cycle: u32,
        entry: u64,
        memory_bytes: u64,
        usable: u64,
        usable_bytes: u64,
        efi: bool,
        e2h: bool,
        cpu: u64,
    },
    /// What a witness knows beside of the `Access` with the same run, cycle and index. `pc` is the kernel's own address of the
    /// instruction; `old` what a stored word held before; `how`: 0 the access itself trapped, 1 a command read when it was announced, 2 a
    /// table read when something began to point to it. `cost`: ticks that the trap took. `cpu` made it: affinity fields of MPIDR_EL1.
    Foreign { run: u32, cycle: u32, index: u32, pc: u64, old: Option<u64>, how: u8, cost: u32, cpu: u64 },
    /// How the kernel ended. `ended`: 0 SYSTEM_OFF, 1 SYSTEM_RESET, 2 the witness could not go on (`reason`). `pc`: at its last trap;
    /// `first_call`: of its first call of firmware. `traps`: all, `visits`: of them WFI and WFE; `forwarded`: calls that firmware
    /// answered. `cost`: ticks in all traps. `partial`: not all tables were watched; `overflowed`: not all accesses were kept.
    /// `cpu` made that trap.
    Witnessed {
        run: u32,
        cycle: u32,
        ended: u8,
        reason: &'a str,
        pc: u64,
        first_call: u64,
        ticks: u64,
        cost: u64,
        traps: u32,
        visits: u32,
        forwarded: u32,
        partial: bool,
        overflowed: bool,
        cpu: u64,
    },
    /// A kernel that is watched lives: what it did so far, told now and then; `pc` on `cpu`, `first_call` as in `Witnessed`.
    Watching { run: u32, cycle: u32, ticks: u64, pc: u64, traps: u32, accesses: u32, cpu: u64, first_call: u64 },
}
