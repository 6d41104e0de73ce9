use std::path::Path;

use super::*;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn virt() -> String {
    std::fs::read_to_string(folder().join("qemu-virt.toml")).unwrap()
}

/// The error of qemu-virt's file with `from` replaced by `to`.
fn broken(from: &str, to: &str) -> String {
    let text = virt();
    assert!(text.contains(from), "{from} is in the file");
    parse(Path::new("b.toml"), &text.replacen(from, to, 1)).unwrap_err().to_string()
}

/// The line of `needle` in qemu-virt's file, as messages count.
fn line_of(needle: &str) -> usize {
    virt().lines().position(|line| line.contains(needle)).unwrap() + 1
}

#[test]
fn every_board_in_the_folder_is_valid() {
    for name in names(folder()).unwrap() {
        load(folder(), &name).unwrap();
    }
}

#[test]
fn the_emulated_board_has_three_endpoints_of_two_kinds_and_an_rmr() {
    let board = load(folder(), "qemu-virt").unwrap();
    assert_eq!(board.evidence, Evidence::Emulated);
    let drivers: Vec<_> = board.endpoints.iter().map(|e| e.driver.as_str()).collect();
    assert_eq!(drivers, ["hda", "hda", "e1000e"]);
    assert_eq!(board.rmr.unwrap().bdf, board.endpoints[1].bdf);
    assert_eq!(board.allow_risks.len(), 4);
}

#[test]
fn an_unknown_key_is_named_with_line_and_suggestion() {
    let error = broken("smp = 2", "spm = 2");
    assert!(error.starts_with(&format!("b.toml:{}:1: unknown field `spm`", line_of("smp = 2"))), "{error}");
    assert!(error.ends_with("did you mean `smp`?"), "{error}");
}

#[test]
fn an_unknown_risk_is_named_with_line_and_suggestion() {
    let error = broken("\"stray-write\"", "\"stray-writes\"");
    assert!(error.contains(&format!("b.toml:{}:", line_of("stray-write"))), "{error}");
    assert!(error.contains("`stray-writes`") && error.ends_with("did you mean `stray-write`?"), "{error}");
}

#[test]
fn values_that_cannot_be_meant_are_refused_in_their_line() {
    let cases = [
        ("bytes = 0x1_0000", "bytes = 0x1000", "multiple of 65536"),
        ("bdf = \"0000:00:03.0\"", "bdf = \"0000:00:09.0\"", "none of the board's endpoints"),
        ("bdf = \"0000:00:02.0\"", "bdf = \"00:02.0\"", "no PCI function"),
        ("boot-seconds = 120", "boot-seconds = 0", "between 1 and 86400"),
        ("memory = \"1G\"", "memory = \"1\"", "`512M`"),
        ("minimum-version = \"8.1\"", "minimum-version = \"8\"", "`8.1`"),
        ("netdev = \"net0\"", "netdev = \"net1\"", "no device and no netdev has `netdev=net1`"),
        ("frames-per-second = 1500", "frames-per-second = 0", "between 1 and 1000000"),
        ("name = \"qemu-virt\"", "name = \"Qemu Virt\"", "lower-case"),
    ];
    for (from, to, wanted) in cases {
        let error = broken(from, to);
        assert!(error.starts_with(&format!("b.toml:{}:", line_of(from))), "{error}");
        assert!(error.contains(wanted), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

/// The error of qemu-virt's file with a line before its first table.
fn with(line: &str) -> String {
    broken("[limits]", &format!("{line}\n\n[limits]"))
}

#[test]
fn denied_functions_are_read_and_no_endpoints() {
    let text = virt().replacen("[limits]", "deny = [\"0000:00:05.0\", \"1b36:0010\"]\n\n[limits]", 1);
    let board = parse(Path::new("b.toml"), &text).unwrap();
    assert_eq!(board.hands.deny, [Which::At(Bdf::new(0, 0, 5, 0)), Which::Ids(0x1b36, 0x10)]);
    let line = line_of("[limits]");
    let error = with("deny = [\"0000:00:04.0\"]");
    assert!(error.starts_with(&format!("b.toml:{line}:9: 0000:00:04.0 is an endpoint of the board")), "{error}");
    let error = with("allow = [\"0000:00:04.0\"]");
    assert!(error.contains("0000:00:02.0 is an endpoint of the board, and not in `allow`"), "{error}");
    let error = with("deny = [\"00:04.0\"]");
    assert!(error.starts_with(&format!("b.toml:{line}:")) && error.contains("`0000:00:05.0`"), "{error}");
    let error = with("watch-us = 0");
    assert!(error.starts_with(&format!("b.toml:{line}:")) && error.contains("between 1 and 600000000"), "{error}");
    let error = with("denny = []");
    assert!(error.contains("unknown field `denny`") && error.ends_with("did you mean `deny`?"), "{error}");
}

/// The text of qemu-virt's file with frames from an interface instead of over loopback.
fn on_interface(section: &str) -> String {
    let text = virt();
    let (kept, _) = text.split_once("[qemu.sender]").unwrap();
    format!("{kept}{section}")
}

#[test]
fn a_sender_names_an_interface_of_the_host() {
    let text = on_interface("[sender]\ninterface = \"eth1\"\nframes-per-second = 700\n");
    let board = parse(Path::new("b.toml"), &text).unwrap();
    assert_eq!(board.sender, Some(Sender { interface: "eth1".into(), frames_per_second: 700 }));
    assert_eq!(board.qemu.unwrap().sender, None);
}

#[test]
fn mistakes_of_a_sender_are_named_with_their_line() {
    let too_long = format!("interface = \"{}\"\nframes-per-second = 1", "e".repeat(16));
    let cases = [
        ("interfaces = \"eth1\"\nframes-per-second = 1", 1, "unknown field `interfaces`", "did you mean `interface`?"),
        (
            "interface = \"eth1\"\nframes-per-seconds = 1",
            2,
            "unknown field `frames-per-seconds`",
            "`frames-per-second`?",
        ),
        ("interface = \"eth1\"\nframes-per-second = 0", 2, "0 is not between 1 and 1000000", "frames per second"),
        ("interface = \"\"\nframes-per-second = 1", 1, "`` is no network interface", "in 1 to 15 bytes"),
        ("interface = \"..\"\nframes-per-second = 1", 1, "`..` is no network interface", "bytes"),
        ("interface = \"eth1:0\"\nframes-per-second = 1", 1, "`eth1:0` is no network interface", "bytes"),
        (&*too_long, 1, "is no network interface", "in 1 to 15 bytes"),
        ("interface = \"eth1\"", 0, "missing field `frames-per-second`", ""),
    ];
    for (lines, line, wanted, end) in cases {
        let text = on_interface(&format!("[sender]\n{lines}\n"));
        let section = text.lines().position(|line| line == "[sender]").unwrap() + 1;
        let error = parse(Path::new("b.toml"), &text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("b.toml:{}:", section + line)), "{error}");
        assert!(error.contains(wanted) && error.ends_with(end) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn frames_come_from_one_place() {
    let error = with("[sender]\ninterface = \"eth1\"\nframes-per-second = 1");
    let line = line_of("[limits]") + 1;
    assert!(
        error.starts_with(&format!("b.toml:{line}:13: the frames come from here or from `qemu.sender`")),
        "{error}"
    );
}

#[test]
fn virtual_functions_are_endpoints_after_their_own() {
    let from = "driver = \"e1000e\"";
    let to = "driver = \"igb\"\nvirtual-functions = [\"0000:00:14.0\", \"0000:00:14.2\"]";
    let board = parse(Path::new("b.toml"), &virt().replacen(from, to, 1)).unwrap();
    let last: Vec<_> =
        board.endpoints[2..].iter().map(|e| (e.bdf.to_string(), &*e.driver, e.virtual_functions)).collect();
    let wanted = [("0000:00:04.0", "igb", 2), ("0000:00:14.0", "igbvf", 0), ("0000:00:14.2", "igbvf", 0)];
    assert_eq!(last, wanted.map(|(bdf, driver, count)| (bdf.to_owned(), driver, count)));
    let twice = to.replace("00:14.0", "00:02.0");
    assert!(broken(from, &twice).contains("endpoint 0000:00:02.0 is there twice"));
}

#[test]
fn a_drive_belongs_to_a_device() {
    let error = |drive: &str| broken("audiodevs =", &format!("drives = [\"{drive}\"]\naudiodevs ="));
    for drive in ["id=disk0,driver=null-co", "if=virtio,id=disk0", "if=none,driver=null-co"] {
        assert!(error(drive).contains("a drive has `if=none` and an `id=`"), "{drive}");
    }
    assert!(error("if=none,id=disk0,driver=null-co").contains("no device has `drive=disk0`"));
}

#[test]
fn a_missing_key_and_broken_syntax_stay_on_one_line() {
    let error = broken("evidence = \"emulated\"\n", "");
    assert!(error.contains("missing field `evidence`") && !error.contains('\n'), "{error}");
    let error = broken("smp = 2", "smp = ");
    assert!(error.starts_with(&format!("b.toml:{}:", line_of("smp = 2"))) && !error.contains('\n'), "{error}");
}

#[test]
fn an_unknown_board_brings_the_nearest_name_or_all() {
    let error = load(folder(), "qemu-vrit").unwrap_err().to_string();
    assert_eq!(error, "no board `qemu-vrit`; did you mean `qemu-virt`?");
    let error = load(folder(), "zzz").unwrap_err().to_string();
    assert!(error.contains("there are: ") && error.contains(", qemu-virt,"), "{error}");
    assert!(load(folder(), "../board-configs/qemu-virt").is_err());
}

#[test]
fn nothing_near_is_suggested_for_a_word_far_away() {
    assert_eq!(nearest("adpot", ["reset", "adopt"]), Some("adopt"));
    assert_eq!(nearest("xyzzy", ["reset", "adopt"]), None);
}

/// A board that nothing ran on.
const DOCUMENTED: &str = r#"
name = "some/board"
description = "A board"
evidence = "documented"
console = "pl011:0x2a400000"

[limits]
boot-seconds = 600
silence-seconds = 120

[smmus]
architecture = "SMMUv3"
at = [0x4f40_0000]

[[expect]]
check = "dma.no-blocked"
scenario = "adopt"
verdict = "fail"
reason = "a reason"
link = "a link"

[sources]
console = "the UART's manual"
smmus = "the IORT"
"#;

fn documented(from: &str, to: &str) -> Result<Board, String> {
    assert!(DOCUMENTED.contains(from), "{from}");
    parse(Path::new("b.toml"), &DOCUMENTED.replacen(from, to, 1)).map_err(|error| error.to_string())
}

#[test]
fn each_fact_of_a_machine_has_its_source() {
    assert_eq!(documented("", "").unwrap().sources.len(), 2);
    let error = documented("smmus = \"the IORT\"", "").unwrap_err();
    assert!(error.contains("`smmus` has no source; add `smmus = \"…\"` under [sources]"), "{error}");
    let error = documented("smmus = \"the IORT\"", "smmu = \"x\"\nsmmus = \"y\"").unwrap_err();
    assert!(error.contains("`smmu` is no fact that this file states; did you mean `smmus`?"), "{error}");
    let error = documented("\"the IORT\"", "\" \"").unwrap_err();
    assert!(error.contains("the source of `smmus` is empty"), "{error}");
}

#[test]
fn silicon_is_claimed_with_a_log_only() {
    let error = documented("\"documented\"", "\"silicon\"").unwrap_err();
    assert!(error.contains("evidence `silicon` needs `log`"), "{error}");
    let error = documented("\"documented\"", "\"documented\"\nlog = \"a.log\"").unwrap_err();
    assert!(error.contains("a log goes with evidence `silicon`, not `documented`"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("some")).unwrap();
    let text = DOCUMENTED.replace("\"documented\"", "\"silicon\"\nlog = \"some/board.log\"");
    std::fs::write(folder.path().join("some/board.toml"), text).unwrap();
    assert!(load(folder.path(), "some/board").unwrap_err().to_string().contains("there is no log `some/board.log`"));
    std::fs::write(folder.path().join("some/board.log"), "").unwrap();
    assert_eq!(load(folder.path(), "some/board").unwrap().evidence, Evidence::Silicon);
}

#[test]
fn what_is_known_of_a_machine_is_checked() {
    let cases = [
        ("at = [0x4f40_0000]", "at = [0x4f40_1000]", "0x4f401000 is not aligned to 64 KiB"),
        ("at = [0x4f40_0000]", "at = [0x4f40_0000, 0x4f40_0000]", "0x4f400000 is there twice"),
        ("dma.no-blocked", "dma.no-block", "did you mean `dma.no-blocked`?"),
        ("dma.no-blocked", "protocol.no-violations", "did you mean `protocol.no-violation`?"),
        ("scenario = \"adopt\"", "scenario = \"adpot\"", "there is no scenario `adpot`; did you mean `adopt`?"),
        ("reason = \"a reason\"", "reason = \"\"", "the reason is empty"),
        ("\"SMMUv3\"", "\"smmuv3\"", "did you mean `SMMUv3`?"),
        ("verdict = \"fail\"", "verdict = \"failed\"", "did you mean `fail`?"),
    ];
    for (from, to, wanted) in cases {
        let error = documented(from, to).unwrap_err();
        assert!(error.contains(wanted) && error.starts_with("b.toml:") && !error.contains('\n'), "{error}");
    }
}

#[test]
fn one_mistake_hides_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.toml");
    let told = |text: &str| -> Vec<String> {
        std::fs::write(&path, text).unwrap();
        let all = mistakes(self::folder(), path.to_str().unwrap());
        all.iter().map(|error| error.to_string().rsplit_once(".toml:").unwrap().1.to_owned()).collect()
    };
    let line = |text: &str, needle: &str| text.lines().position(|line| line.contains(needle)).unwrap() + 1;
    let of = |pairs: &[(&str, &str)]| {
        pairs.iter().fold(DOCUMENTED.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        })
    };
    assert!(told(DOCUMENTED).is_empty());
    // Unknown keys beside what only the rules see.
    let text = of(&[
        ("description =", "descripton = \"x\"\ndescription ="),
        ("at = [0x4f40_0000]", "at = [0x4f40_1000]\nproducts = \"MMU-600\""),
        ("boot-seconds = 600", "boot-seconds = 0"),
        ("reason = \"a reason\"", "reason = \"\""),
    ]);
    let wanted = [
        ("descripton", "did you mean `description`?"),
        ("boot-seconds", "between 1 and 86400"),
        ("[smmus]", "not aligned to 64 KiB"),
        ("products", "did you mean `product`?"),
        ("[[expect]]", "the reason is empty"),
    ];
    let found = told(&text);
    assert_eq!(found.len(), wanted.len(), "{found:?}");
    for (found, (needle, words)) in found.iter().zip(wanted) {
        assert!(found.starts_with(&format!("{}:", line(&text, needle))) && found.contains(words), "{found}");
    }
    // A value that cannot be read makes a guess of what the rules would say, not of the other values.
    let text = of(&[("\"documented\"", "\"documentd\""), ("\"SMMUv3\"", "\"SMMU3\""), ("= 600", "= 0")]);
    let found = told(&text);
    assert!(found.len() == 2 && found[0].contains("documented`?") && found[1].contains("SMMUv3`?"), "{found:?}");
    // Nor of other sections.
    let text = of(&[("[limits]", "[flash]\nway = \"epp\"\n\n[limits]"), ("\"SMMUv3\"", "\"SMMU3\"")]);
    let found = told(&text);
    assert!(found.len() == 2 && found[0].contains("esp`?") && found[1].contains("SMMUv3`?"), "{found:?}");
    // In the order of lines, whatever is read first.
    let found = told(&of(&[("[limits]", "[serial]\n[power]\n[limits]")]));
    assert!(found.len() == 2 && found[0].contains("`serial`") && found[1].contains("`power`"), "{found:?}");
    // In one list, two.
    let text = of(&[("evidence", "allow-risks = [\"bus-eror\", \"stray-write\", \"reset\"]\nevidence")]);
    let found = told(&text);
    assert!(found.len() == 2 && found[0].contains("bus-error`?") && found[1].contains("`reset`"), "{found:?}");
    // Of broken grammar, only that.
    let text = of(&[("boot-seconds = 600", "boot-seconds = "), ("\"SMMUv3\"", "\"SMMUv3"), ("reason", "resaon")]);
    let found = told(&text);
    assert!(found.len() >= 2 && found.iter().all(|found| !found.contains("resaon")), "{found:?}");
    assert!(told("").iter().all(|found| found.contains("missing field")), "an empty file has no board");
    // The file of a known board has its name, by whatever path it is named.
    assert!(mistakes(self::folder(), self::folder().join("qemu-virt.toml").to_str().unwrap()).is_empty());
    let copy = folder.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    std::fs::write(copy.join("other.toml"), virt()).unwrap();
    let found = mistakes(&copy, copy.join("other.toml").to_str().unwrap());
    assert!(found.len() == 1 && found[0].to_string().contains("in a file for `other`"), "{found:?}");
    assert_eq!(mistakes(self::folder(), "no-such-board").len(), 1);
}

#[test]
fn facts_about_a_machine_have_their_rules() {
    let with = |section: &str, key: &str| {
        let text = DOCUMENTED.replacen("[sources]", &format!("{section}\n\n[sources]\n{key} = \"x\""), 1);
        parse(Path::new("b.toml"), &text).map_err(|error| error.to_string())
    };
    let reach = with("[reach]\nserial = []\nboot = [\"esp\", \"redfish\"]\npower = [\"relay\"]", "reach").unwrap();
    assert_eq!(reach.reach.unwrap().serial, Some(Vec::new()));
    let told = "name = \"n\"\nreason = \"r\"\nlink = \"l\"";
    let text = DOCUMENTED.replacen("[sources]", &format!("[[erratum]]\n{told}\n[[quirk]]\n{told}\n[sources]"), 1);
    let board = parse(Path::new("b.toml"), &text).unwrap();
    assert_eq!((board.errata.len(), board.quirks.len()), (1, 1));
    for (section, key, wanted) in [
        ("[reach]\nserial = [\"heder\"]", "reach", "did you mean `header`?"),
        ("[reach]\nboot = [\"pxe\"]", "reach", "expected one of"),
        ("[reach]\nbaud = 4", "reach", "4 baud; between 300 and 4000000"),
        ("[reach]\nspeed = 4", "reach", "unknown field `speed`"),
        ("[watchdog]\nrefresh = 0x1000\ncontrol = 0x1000", "watchdog", "both frames of the watchdog are at 0x1000"),
        ("[watchdog]\nrefresh = 0x1000\ncontrol = 0x2004", "watchdog", "0x2004 is not aligned to 4 KiB"),
        ("[watchdog]\nrefresh = 0\ncontrol = 0x2000", "watchdog", "0x0 is not aligned"),
        (
            "[watchdog]\nrefresh = 0x1000\ncontrol = 0x2000\nseconds = 5",
            "watchdog",
            "watchdog=5: not a number of seconds",
        ),
        ("[watchdog]\nrefresh = 0x1000\ncontrol = 0x2000\nseconds = 0", "watchdog", "leave the section out"),
        (
            "[watchdog]\nrefresh = 0x1000\ncontrol = 0x2000\nseconds = 3600",
            "watchdog",
            "resets a board that limits.silence-seconds (120) has given up",
        ),
    ] {
        let error = with(section, key).unwrap_err();
        assert!(error.contains(wanted) && error.starts_with("b.toml:") && !error.contains('\n'), "{error}");
    }
    for (key, empty) in [("reason", "reason = \"r\""), ("link", "link = \"l\""), ("name", "name = \"n\"")] {
        for list in ["erratum", "quirk"] {
            let told = told.replace(empty, &format!("{key} = \"\""));
            let text = DOCUMENTED.replacen("[sources]", &format!("[[{list}]]\n{told}\n[sources]"), 1);
            let error = parse(Path::new("b.toml"), &text).unwrap_err().to_string();
            assert!(error.contains(&format!("the {key} is empty")), "{error}");
        }
    }
    for (from, to, wanted) in [
        ("pl011:0x2a400000", "pl012:0x2a400000", "not pl011:ADDRESS"),
        ("pl011:0x2a400000", "pl011:0x2a400000:12", "not pl011:ADDRESS"),
        ("pl011:0x2a400000", "pl011:0x2a400000 allow_risks=all", "it holds a blank"),
        ("\"SMMUv3\"", "\"none\"", "no SMMU has an address"),
        ("[limits]", "crash-region = 0x8020_0000\n[limits]", "`crash-region` has no source"),
    ] {
        let error = documented(from, to).unwrap_err();
        assert!(error.contains(wanted) && error.starts_with("b.toml:"), "{error}");
    }
}

#[test]
fn memory_of_the_second_image_begins_at_a_block() {
    let at = |at: &str| {
        let text = DOCUMENTED.replacen("[limits]", &format!("crash-region = {at}\n[limits]"), 1);
        parse(Path::new("b.toml"), &format!("{text}crash-region = \"x\"\n")).map_err(|error| error.to_string())
    };
    assert_eq!(at("0x8020_0000").unwrap().crash_region, Some(0x8020_0000));
    for (wrong, wanted) in
        [("0x8010_0000", "0x80100000 is no multiple of 0x200000 (2 MiB)"), ("0", "0x0 is no multiple")]
    {
        assert!(at(wrong).unwrap_err().contains(wanted), "{wrong}");
    }
}

#[test]
fn a_port_has_the_speed_of_the_boards_console() {
    let known = tempfile::tempdir().unwrap();
    let reach = "[reach]\nbaud = 1500000\n\n[sources]\nreach = \"manual\"";
    std::fs::create_dir(known.path().join("some")).unwrap();
    std::fs::write(known.path().join("some/board.toml"), DOCUMENTED.replacen("[sources]", reach, 1)).unwrap();
    let lab = known.path().join("lab.toml");
    for (written, baud) in [("", 1_500_000), ("baud = 9600", 9600)] {
        let text =
            format!("extends = \"some/board\"\nname = \"lab\"\n[serial.tty]\ndevice = \"/dev/ttyUSB0\"\n{written}\n");
        std::fs::write(&lab, text).unwrap();
        let board = load(known.path(), lab.to_str().unwrap()).unwrap();
        assert_eq!(board.serial, Some(Serial::Tty { device: "/dev/ttyUSB0".into(), baud }));
    }
}

#[test]
fn how_a_lab_reaches_a_board_is_checked() {
    let with = |section: &str, key: &str| {
        let text = DOCUMENTED.replacen("[sources]", &format!("{section}\n\n[sources]\n{key} = \"lab\""), 1);
        parse(Path::new("b.toml"), &text).map_err(|error| error.to_string())
    };
    let board = with("[serial.tty]\ndevice = \"/dev/ttyUSB0\"", "serial").unwrap();
    assert_eq!(board.serial, Some(Serial::Tty { device: "/dev/ttyUSB0".into(), baud: 115_200 }));
    let cases = [
        ("[serial.tty]\ndevice = \"x\"\nbaud = 1", "serial", "1 baud; between 300"),
        ("[serial.tty]\ndevice = \"x\"\nbaud = 0", "serial", "0 baud; between 300"),
        ("[serial]", "serial", "`serial` is exactly one of `tty`, `tcp`, `telnet`, `command`; none is here"),
        ("[serial]\ntcp = \"h:1\"\ntelnet = \"h:1\"", "serial", "`telnet`, `command`; several are here"),
        ("[power]", "power", "`power` is exactly one of `redfish`, `ipmi`, `command`, `qmp`; none is here"),
        ("[power.qmp]\n[power.command]", "power", "`power` is exactly one of"),
        (
            "[power.ipmi]\nhost = \"a\"\n[power.ipmi.credentials]",
            "power",
            "`credentials` is exactly one of `environment` or `file`; none is here",
        ),
        ("[serial]\ntcp = \"host\"", "serial", "`host` is no HOST:PORT"),
        ("[serial]\ntelnet = \"host:0\"", "serial", "`host:0` is no HOST:PORT"),
        ("[serial]\ncommand = []", "serial", "the command is empty"),
        ("[serial]\ntpc = \"h:1\"", "serial", "did you mean `tcp`?"),
        ("[power.redfish]\nurl = \"bmc\"", "power", "write it as `https://HOST`"),
        ("[power.redfish]\nurl = \"http://bmc\"", "power", "write it as `https://HOST`"),
        ("[power.redfish]\nurl = \"https://root:secret@bmc\"", "power", "a BMC's url holds no login"),
        ("[power.redfish]\nurl = \"https://bmc\"\npin = \"ab\"", "power", "64 hexadecimal digits"),
        ("[power.redfish]\nurl = \"https://bmc\"\npassword = \"x\"", "power", "unknown field `password`"),
        ("[power.command]\non = [\"a\"]\noff = []", "power", "a command is empty"),
        ("[flash]\nway = \"redfish\"", "flash", "needs `bmc`"),
        ("[flash]\nway = \"command\"", "flash", "needs `command = "),
        ("[flash]\nway = \"uboot\"\nto = \"bootx\"", "flash", "to = \"bootx\": the way uboot takes `bootefi`"),
        ("[flash]\nway = \"uboot\"\nto = \"booti@\"", "flash", "`` is no address"),
        ("[flash]\nway = \"netboot\"\nto = \"ftp\"", "flash", "to = \"ftp\": the way netboot takes `http` or `pxe`"),
        ("[flash]\nway = \"ssh\"\nto = \"foo\"", "flash", "[USER@]HOST:/FOLDER"),
        ("[flash]\nway = \"esp\"\nto = \"\"", "flash", "takes a folder"),
        (
            "[power.redfish]\nurl = \"https://a\"\n[flash]\nway = \"redfish\"\nto = \"x\"",
            "power = \"lab\"\nflash",
            "the way redfish takes none",
        ),
        ("[flash]\nway = \"esb\"", "flash", "did you mean `esp`?"),
        ("[flash]\nway = \"netboot\"\nserve = \"0.0.0.0\"", "flash", "name the one at which"),
        ("[flash]\nway = \"netboot\"\nserve = \"host:80\"", "flash", "want IP or IP:PORT"),
    ];
    for (section, key, wanted) in cases {
        let error = with(section, key).unwrap_err();
        assert!(error.contains(wanted) && error.starts_with("b.toml:") && !error.contains('\n'), "{error}");
    }
    for line in ["serial = {}", "power = { ipmi = { host = \"power\", credentials = {} } }", "power = {}"] {
        let error = documented("description", &format!("{line}\ndescription")).unwrap_err();
        assert!(error.contains(" is exactly one of `") && error.ends_with("; none is here"), "{line}: {error}");
    }
    for (way, to) in [("uboot", "booti@0x40400000"), ("netboot", "pxe"), ("ssh", "root@lab-7:/boot/efi"), ("esp", "x")]
    {
        let section = format!("[flash]\nway = \"{way}\"\nto = \"{to}\"");
        assert_eq!(with(&section, "flash").unwrap().flash.unwrap().to.as_deref(), Some(to));
    }
}

#[test]
fn an_address_to_serve_at_is_one_that_a_board_can_reach() {
    let of = |text: &str| text.parse::<Serve>().map(|serve| serve.0.to_string());
    assert_eq!(of("192.0.2.7"), Ok("192.0.2.7:0".into()));
    assert_eq!(of("[2001:db8::7]:8080"), Ok("[2001:db8::7]:8080".into()));
    assert_eq!(of("2001:db8::7"), Ok("[2001:db8::7]:0".into()));
    assert!(of("0.0.0.0").unwrap_err().contains("the one at which"));
    assert!(of("host").unwrap_err().contains("want IP"));
}

#[test]
fn a_lab_says_how_it_reaches_a_known_board() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rack-7.toml");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    let read = || load(self::folder(), path.to_str().unwrap()).map_err(|error| error.to_string());
    write("extends = \"qemu-virt\"\nname = \"rack-7\"\ndeny = [\"0000:00:06.0\"]\n[serial]\ntcp = \"server:7001\"\n");
    let board = read().unwrap();
    assert_eq!((board.name.as_str(), board.serial), ("rack-7", Some(Serial::Tcp("server:7001".into()))));
    assert_eq!((board.endpoints.len(), board.hands.deny.len()), (3, 1));
    for (text, wanted) in [
        (
            "extends = \"qemu-vrit\"\nname = \"rack-7\"\n",
            "rack-7.toml:1:11: no board `qemu-vrit`; did you mean `qemu-virt`?",
        ),
        ("extends = \"other.toml\"\nname = \"rack-7\"\n", "`extends` names a known board"),
        ("extends = \"qemu-virt\"\nname = \"rack-7\"\ndeny = [\"0000:00:04.0\"]\n", "is an endpoint of the board"),
        ("extends = \"qemu-virt\"\nname = \"rack-7\"\nevidence = \"silicon\"\n", "unknown field `evidence`"),
    ] {
        write(text);
        let error = read().unwrap_err();
        assert!(error.contains(wanted) && !error.contains('\n'), "{error}");
    }
    // A whole board may lie elsewhere, too.
    write(DOCUMENTED);
    assert_eq!(read().unwrap().name, "some/board");
    assert!(load(self::folder(), "nowhere.toml").is_err());
}
