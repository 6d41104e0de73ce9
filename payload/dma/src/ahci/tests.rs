extern crate std;
use super::*;
use crate::fake::*;
use proptest::prelude::*;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

/// What an HBA does where it cannot fetch a command.
#[derive(Clone, Copy, PartialEq)]
enum Refused {
    /// It stops with a host bus fatal error.
    Stops,
    /// It waits until PxCI is written, as QEMU's does.
    Waits,
}

/// An HBA with a disk on port 1 that ends a read each `every_us`, and knows itself what became of the sectors.
struct Hba {
    ghc: u32,
    capabilities: u32,
    list: u64,
    command: u32,
    status: u32,
    issued: u32,
    /// CAP2, and BOHC.
    hand_off: (u32, u32),
    /// PxSERR.DIAG.X: a device has shown, and its first FIS waits until software has seen that.
    has_shown: bool,
    /// The slot whose command was fetched, and where its data goes.
    current: Option<(u32, u64)>,
    signature: u32,
    link: u32,
    task_file: u32,
    /// Words 83, 100 and 106 of IDENTIFY DEVICE.
    words: [u16; 3],
    refused: Refused,
    is_stuck: bool,
    is_mute: bool,
    every_us: u64,
    due_us: u64,
    is_still: bool,
    commands: Vec<u8>,
    truth: Truth,
    restarts: u64,
    /// Attempts that no arrival and no cleared bit show.
    cut_off: u64,
}

#[derive(Clone, Copy, Default, Debug, PartialEq)]
struct Truth {
    attempted: u64,
    delivered: u64,
    mis_steered: u64,
}

const PORT: u64 = PORTS + PORT_BYTES;

impl Hba {
    fn new() -> Self {
        Self {
            ghc: 0,
            capabilities: CAP_S64A | 31 << 8,
            list: 0,
            command: 0,
            status: 0,
            issued: 0,
            hand_off: (0, 0),
            has_shown: false,
            current: None,
            signature: SIG_DISK,
            link: 0x113,
            task_file: 0x50,
            words: [0x4400, 0x8000, 0],
            refused: Refused::Waits,
            is_stuck: false,
            is_mute: false,
            every_us: 1_000,
            due_us: 0,
            is_still: false,
            commands: Vec::new(),
            truth: Truth::default(),
            restarts: 0,
            cut_off: 0,
        }
    }

    fn is_running(&self) -> bool {
        self.command & CMD_ST != 0 && self.status & IS_STOPPED == 0
    }

    /// Fetches the first command that is issued.
    fn fetch(&mut self, fabric: &mut Fabric) {
        if self.current.is_some() || !self.is_running() || self.issued == 0 {
            return;
        }
        let slot = self.issued.trailing_zeros();
        let header: [u8; 32] = fabric.read(self.list + u64::from(slot) * HEADER_BYTES);
        let table = u64::from_le_bytes(header[8..16].try_into().unwrap());
        let command: [u8; 0x90] = fabric.read(table);
        if command[0] == 0 {
            self.cut_off += 1;
            self.status |= if self.refused == Refused::Stops { 1 << 29 } else { 0 };
            return;
        }
        assert_eq!(u32::from_le_bytes(header[..4].try_into().unwrap()), 5 | 1 << 16, "one region, no write bit");
        assert_eq!(header[4..8], [0; 4], "the byte count begins with zero");
        assert_eq!(command[..2], [0x27, 0x80]);
        assert!([IDENTIFY_DEVICE, READ_SECTORS_EXT].contains(&command[2]), "ATA command {:#x}", command[2]);
        assert_eq!((command[12], command[13]), (1, 0), "one sector");
        assert_eq!(u32::from_le_bytes(command[0x8c..].try_into().unwrap()), 511);
        self.commands.push(command[2]);
        let to = u64::from_le_bytes(command[0x80..0x88].try_into().unwrap());
        if command[2] == READ_SECTORS_EXT {
            self.current = Some((slot, to));
            return;
        }
        if self.is_mute {
            return;
        }
        let mut page = [0; 512];
        for (index, word) in [83, 100, 106].into_iter().zip(self.words) {
            page[2 * index..2 * index + 2].copy_from_slice(&word.to_le_bytes());
        }
        fabric.write(to, &page);
        self.issued &= !(1 << slot);
    }

    fn end(&mut self, fabric: &mut Fabric) {
        let Some((slot, to)) = self.current.take() else { return };
        self.issued &= !(1 << slot);
        let is_identity = (RMR.0..RMR.0 + 0x1_0000).contains(&to);
        // Half of it is like poison.
        let mut sector = [0xa5; 512];
        sector[..4].fill(0);
        let landed = fabric.write(to, &sector);
        self.truth.attempted += 1;
        match fabric.mode {
            _ if !landed => {}
            Mode::Bypass if !is_identity => self.truth.mis_steered += 1,
            _ => self.truth.delivered += 1,
        }
    }
}

impl Device for Hba {
    fn read(&mut self, _fabric: &mut Fabric, offset: u64, _bytes: u8) -> u32 {
        match offset {
            CAP => self.capabilities,
            GHC => self.ghc,
            PI => 0x3,
            CAP2 => self.hand_off.0,
            BOHC => self.hand_off.1,
            _ if offset < PORT => {
                if offset == PORTS + TFD {
                    0x7f
                } else {
                    0
                }
            }
            _ => match offset - PORT {
                CMD => self.command,
                PORT_IS => self.status,
                TFD => {
                    if self.has_shown {
                        0x7f | TFD_BUSY
                    } else {
                        self.task_file
                    }
                }
                SIG => self.signature,
                SSTS => self.link,
                CI => self.issued,
                _ => panic!("read of {offset:#x}"),
            },
        }
    }

    fn write(&mut self, fabric: &mut Fabric, offset: u64, _bytes: u8, value: u32) {
        match offset {
            GHC => {
                assert_eq!(value & 2, 0, "no interrupts");
                assert!(value & GHC_HR == 0 || self.hand_off.1 & BOHC_BOS == 0, "it is firmware's");
                self.ghc = if self.is_stuck { value } else { value & !GHC_HR };
                if value & GHC_HR != 0 {
                    (self.command, self.status, self.issued, self.current) = (0, 0, 0, None);
                }
            }
            BOHC => {
                assert_eq!(value & BOHC_OOC, 0, "left to whom it concerns");
                self.hand_off.1 = value & !if value & BOHC_OOS != 0 { BOHC_BOS } else { 0 };
            }
            _ if offset < PORT => {}
            _ => match offset - PORT {
                CLB => self.list = self.list & !0xffff_ffff | u64::from(value),
                0x04 => self.list = self.list & 0xffff_ffff | u64::from(value) << 32,
                PORT_IE => assert_eq!(value, 0),
                PORT_IS => self.status &= !value,
                CMD => {
                    let had = self.command & CMD_ST != 0;
                    assert!(!had || value & CMD_FRE != 0, "FRE is cleared only after ST (3.3.7)");
                    self.has_shown |= !self.command & value & CMD_UP != 0;
                    self.command = value & !CMD_CR;
                    if had && value & CMD_ST == 0 {
                        assert!(self.current.is_none(), "QEMU does not survive that");
                        (self.issued, self.restarts) = (0, self.restarts + 1);
                    }
                }
                CI => {
                    assert!(self.command & CMD_ST != 0);
                    self.issued |= value;
                    self.fetch(fabric);
                }
                SERR => self.has_shown &= value & 1 << 26 == 0,
                FB | 0x0c => {}
                _ => panic!("write of {offset:#x}"),
            },
        }
    }

    fn advance(&mut self, fabric: &mut Fabric, now_us: u64) {
        if self.is_still || self.current.is_none() {
            self.due_us = now_us + self.every_us;
            return;
        }
        while self.due_us <= now_us {
            self.due_us += self.every_us;
            self.end(fabric);
            self.fetch(fabric);
        }
    }
}

fn config() -> Config {
    Config::new(0x8086, 0x2922, 0x01_0601)
}

fn armed_with(hba: Hba, rmr: bool) -> (Config, Board<Hba>, Stream) {
    let mut config = config();
    let mut stream = stream(rmr);
    let mut board = Board::new(hba, &stream, Rc::clone(&config.bus_master));
    Ahci.arm(&mut config, &mut board, &mut stream).unwrap();
    (config, board, stream)
}

/// No sector while the CPU looks, so that the device's own count and the totals are of one instant.
fn sample_still(board: &mut Board<Hba>, stream: &mut Stream) -> Truth {
    board.device.is_still = true;
    Ahci.sample(board, stream);
    board.device.is_still = false;
    board.device.truth
}

fn totals(stream: &Stream) -> Truth {
    let totals = stream.totals;
    Truth { attempted: totals.attempted, delivered: totals.delivered, mis_steered: totals.mis_steered }
}

#[test]
fn a_translated_stream_delivers_every_sector() {
    for rmr in [false, true] {
        let (config, mut board, mut stream) = armed_with(Hba::new(), rmr);
        assert!(config.bus_master.get());
        for _ in 0..40 {
            board.pass(20_500);
            assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
        }
        assert!(stream.totals.delivered > 700, "{:?}", stream.totals);
        assert_eq!(stream.totals.attempted, stream.totals.delivered);
        assert_eq!(Ahci.dry_samples(&stream), 0);
    }
}

#[test]
fn both_windows_are_used_only_by_slots_of_both() {
    let (_config, mut board, mut stream) = armed_with(Hba { every_us: 10_000, ..Hba::new() }, true);
    let is_used = |since: &Stream, now: &Stream| Ahci.tried(since, now) >= Ahci.round();
    let mut since = stream;
    // Slot 0 ends, and is issued again while slot 1 is under way.
    board.pass(12_000);
    Ahci.sample(&mut board, &mut stream);
    assert_eq!((stream.totals.attempted, is_used(&since, &stream)), (1, false));
    board.pass(10_000);
    Ahci.sample(&mut board, &mut stream);
    assert!(is_used(&since, &stream));
    // Only even ones end: as many as they are, they are one window's.
    since = stream;
    stream.totals.attempted += 5;
    stream.state[STATE_EVEN] += 5;
    assert!(!is_used(&since, &stream));
}

#[test]
fn firmware_is_asked_for_the_hba_before_it_is_reset() {
    let hand_off = (CAP2_BOH, BOHC_BOS | BOHC_OOC);
    let (_config, mut board, mut stream) = armed_with(Hba { hand_off, ..Hba::new() }, false);
    assert_eq!(board.device.hand_off.1 & (BOHC_BOS | BOHC_OOS), BOHC_OOS);
    board.pass(10_000);
    Ahci.sample(&mut board, &mut stream);
    assert!(stream.totals.delivered > 0);
    // Without the hand-off the register means nothing.
    let hand_off = (0, 0x40);
    assert_eq!(armed_with(Hba { hand_off, ..Hba::new() }, false).1.device.hand_off.1, 0x40);
}

#[test]
fn refused_and_bypassed_sectors_are_told_apart() {
    for rmr in [false, true] {
        let (_config, mut board, mut stream) = armed_with(Hba::new(), rmr);
        for mode in [Mode::Translate, Mode::Bypass, Mode::Translate, Mode::Bypass] {
            sample_still(&mut board, &mut stream);
            board.fabric.mode = mode;
            let before = totals(&stream);
            board.pass(20_000);
            assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
            let now = totals(&stream);
            let (attempted, delivered) = (now.attempted - before.attempted, now.delivered - before.delivered);
            assert!(attempted >= 19);
            match mode {
                Mode::Translate => assert_eq!(delivered, attempted),
                _ if rmr => assert!(delivered.abs_diff(attempted / 2) <= 1, "half lies in the RMR"),
                _ => assert_eq!(delivered, 0),
            }
        }
    }
}

#[test]
fn an_hba_that_cannot_fetch_goes_on_being_counted_and_comes_back() {
    for refused in [Refused::Stops, Refused::Waits] {
        let (_config, mut board, mut stream) = armed_with(Hba { refused, ..Hba::new() }, false);
        board.pass(10_000);
        sample_still(&mut board, &mut stream);
        board.fabric.mode = Mode::Block;
        board.pass(20_000);
        let before = stream.totals;
        for _ in 0..4 {
            board.pass(90_000);
            Ahci.sample(&mut board, &mut stream);
        }
        let attempted = stream.totals.attempted - before.attempted;
        assert!((4..=6).contains(&attempted), "{attempted}");
        assert_eq!(stream.totals.delivered, before.delivered);
        assert_eq!(board.device.restarts > 0, refused == Refused::Stops);
        board.fabric.mode = Mode::Translate;
        Ahci.sample(&mut board, &mut stream);
        board.pass(20_000);
        Ahci.sample(&mut board, &mut stream);
        assert!(stream.totals.delivered >= before.delivered + 15, "{refused:?}", refused = stream.totals);
    }
}

#[test]
fn a_used_up_list_is_a_dry_sample_and_it_goes_on() {
    let (_config, mut board, mut stream) = armed_with(Hba::new(), true);
    board.pass(100_000);
    assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
    assert_eq!((stream.totals.delivered, Ahci.dry_samples(&stream)), (32, 1));
    board.pass(10_000);
    sample_still(&mut board, &mut stream);
    assert!(stream.totals.delivered >= 40);
}

#[test]
fn another_image_goes_on_from_the_state_alone() {
    let (_config, mut board, mut stream) = armed_with(Hba { capabilities: CAP_S64A | 3 << 8, ..Hba::new() }, true);
    board.pass(2_500);
    Ahci.sample(&mut board, &mut stream);
    let mut copy = stream;
    board.pass(2_500);
    crate::by_id(Ahci.id()).unwrap().sample(&mut board, &mut copy);
    assert!(copy.totals.delivered >= stream.totals.delivered + 2);
    assert_eq!(copy.totals.attempted, copy.totals.delivered);
}

#[test]
fn nothing_lands_after_quiesce_and_a_running_port_is_armed_anew() {
    let (mut config, mut board, mut stream) = armed_with(Hba::new(), false);
    board.pass(10_500);
    Ahci.quiesce(&mut config, &mut board, &stream).unwrap();
    assert!(!config.bus_master.get());
    let (landed, before) = (board.fabric.landed, stream.totals);
    config.bus_master.set(true);
    for _ in 0..3 {
        board.pass(100_000);
        Ahci.sample(&mut board, &mut stream);
    }
    assert_eq!((board.fabric.landed, stream.totals), (landed, before));
    for _ in 0..2 {
        board.device.is_still = true;
        board.device.truth = Truth::default();
        Ahci.arm(&mut config, &mut board, &mut stream).unwrap();
        board.device.is_still = false;
        board.pass(20_500);
        assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
        assert!(stream.totals.delivered >= 19);
    }
}

#[test]
fn a_failed_arm_says_why_and_leaves_the_function_stopped() {
    let new = Hba::new;
    let cases = [
        (Hba { link: 0, ..new() }, "no port has a disk"),
        (Hba { task_file: 0x80, ..new() }, "no port has a disk"),
        (Hba { signature: 0xeb14_0101, ..new() }, "no port has a disk"),
        (Hba { words: [0x4000, 0x8000, 0], ..new() }, "48-bit"),
        (Hba { words: [0x4400, 0, 0], ..new() }, "no port has a disk"),
        (Hba { words: [0x4400, 1, 0x5000], ..new() }, "512-byte sectors"),
        (Hba { is_mute: true, ..new() }, "no port has a disk"),
        (Hba { is_stuck: true, ..new() }, "AHCI GHC.HR"),
        (Hba { ghc: u32::MAX, ..new() }, "all ones"),
    ];
    for (hba, wanted) in cases {
        let (mut config, mut stream) = (config(), stream(true));
        let mut board = Board::new(hba, &stream, Rc::clone(&config.bus_master));
        let error = Ahci.arm(&mut config, &mut board, &mut stream).unwrap_err();
        assert!(std::format!("{error}").contains(wanted), "{error}, not {wanted}");
        assert!(!config.bus_master.get());
        let landed = board.fabric.landed;
        board.pass(10_000);
        assert_eq!(board.fabric.landed, landed);
        Ahci.sample(&mut board, &mut stream);
        assert_eq!(totals(&stream), Truth::default());
    }
}

#[test]
fn a_port_that_is_gone_counts_nothing() {
    let (_config, mut board, mut stream) = armed_with(Hba::new(), false);
    (board.device.command, board.device.issued, board.device.status) = (u32::MAX, u32::MAX, u32::MAX);
    board.device.is_still = true;
    board.pass(300_000);
    Ahci.sample(&mut board, &mut stream);
    assert_eq!(totals(&stream), Truth::default());
    stream.state[STATE_PORT] = u64::MAX;
    Ahci.sample(&mut board, &mut stream);
    assert_eq!(totals(&stream), Truth::default());
}

#[test]
fn what_the_hba_fetches_untranslated_is_harmless() {
    let (_config, mut board, stream) = armed_with(Hba::new(), false);
    for (at, bytes) in [(LIST_AT, 0x400), (TABLES_AT, 32 * TABLE_BYTES as usize)] {
        let (mut target, mut canary) = (vec![0; bytes], vec![1; bytes]);
        board.copy_from(stream.window.target.plus(at), &mut target);
        board.copy_from(stream.window.canary.plus(at), &mut canary);
        assert_eq!(target, canary);
    }
    assert_eq!(board.device.commands[0], IDENTIFY_DEVICE);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_interleaving_loses_or_doubles_a_sector(
        rmr: bool,
        every_us in 3u64..2_000,
        access_us in 0u64..3,
        steps in prop::collection::vec((0u64..40_000, any::<bool>()), 1..40),
    ) {
        let (_config, mut board, mut stream) = armed_with(Hba { every_us, ..Hba::new() }, rmr);
        board.access_us = access_us;
        for (us, is_bypassed) in steps {
            // Sectors arrive while the CPU looks, and the mode changes between any two samples.
            Ahci.sample(&mut board, &mut stream);
            board.fabric.mode = if is_bypassed { Mode::Bypass } else { Mode::Translate };
            board.pass(us);
        }
        board.device.is_still = true;
        Ahci.sample(&mut board, &mut stream);
        prop_assert_eq!(totals(&stream), board.device.truth);
    }
}
