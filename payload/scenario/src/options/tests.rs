extern crate std;

use super::{ConsoleWish, NAMES, OptionProblem, RmrWish, RunOptions, Strtab, VirtualWish};
use crate::{Crash, Hands, Plant, Policy, Risks, Scenario, Which, Work};
use addr::{Bdf, PhysAddr};
use proptest::prelude::*;
use std::{
    string::{String, ToString},
    vec::Vec,
};

fn read(text: &str) -> (RunOptions, Vec<String>) {
    let (mut options, mut problems) = (RunOptions::default(), Vec::new());
    options.apply(text, |problem| problems.push(problem.to_string()));
    (options, problems)
}

fn problem(text: &str) -> String {
    let (options, problems) = read(text);
    assert_eq!(options, RunOptions::default(), "what is wrong changes nothing");
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].clone()
}

#[test]
fn every_option_is_read() {
    let text = "scenario=adopt,reset@panic cycles=100 for_s=7\nplant=leaf-canary\te2h=1 firmware-smmu=1 strtab=linear hold_us=5 watch_us=0x10 step-hold=1 lava=1\r\n\
                rmr=0000:00:02.0,0001:02:03.4:0x20000 vfs=0000:01:00.0:7,0000:02:00.1:1 deny=0000:00:05.0,8086:10d3 allow=1234:abcd console=pl011:0x9000000:16 region=0x40200000 guest=0xa0000000 guest_mib=256 watchdog=60 allow_risks=bus-error,power-cycle";
    let (options, problems) = read(text);
    assert_eq!(problems, [""; 0]);
    let wanted = RunOptions {
        scenarios: [Scenario::plain(Policy::Adopt), Scenario { crash: Crash::Panic, ..Scenario::plain(Policy::Reset) }]
            .map(Work::Crash)
            .into(),
        cycles: 100,
        for_s: 7,
        plant: Some(Plant::LeafCanary),
        e2h: true,
        firmware_smmu: true,
        strtab: Some(Strtab::Linear),
        rmrs: [
            RmrWish { bdf: Bdf::new(0, 0, 2, 0), bytes: 0x1_0000 },
            RmrWish { bdf: Bdf::new(1, 2, 3, 4), bytes: 0x2_0000 },
        ]
        .into(),
        virtuals: [
            VirtualWish { bdf: Bdf::new(0, 1, 0, 0), count: 7 },
            VirtualWish { bdf: Bdf::new(0, 2, 0, 1), count: 1 },
        ]
        .into(),
        hands: Hands {
            deny: [Which::At(Bdf::new(0, 0, 5, 0)), Which::Ids(0x8086, 0x10d3)].into(),
            allow: [Which::Ids(0x1234, 0xabcd)].into(),
        },
        hold_us: 5,
        watch_us: 16,
        step_hold: true,
        lava: true,
        console: Some(ConsoleWish { base: PhysAddr(0x900_0000), register_width: 16, stride: 0 }),
        region: Some(PhysAddr(0x4020_0000)),
        guest: Some(PhysAddr(0xA000_0000)),
        guest_mib: 256,
        watchdog_s: 60,
        allow_risks: Risks::BUS_ERROR.with(Risks::POWER_CYCLE),
    };
    assert_eq!(options, wanted);
}

#[test]
fn a_16550_has_a_width_and_a_distance() {
    let wish = |value: &str| {
        let (options, problems) = read(&std::format!("console={value}"));
        assert_eq!(problems, [""; 0]);
        options.console.map(|console| (console.base.0, console.register_width, console.stride))
    };
    assert_eq!(wish("16550:0x3f9"), Some((0x3f9, 8, 1)));
    assert_eq!(wish("16550:0x12600000:32"), Some((0x1260_0000, 32, 4)));
    assert_eq!(wish("16550:0x12600000:8:4"), Some((0x1260_0000, 8, 4)));
    assert_eq!(wish("pl011:0x9000000"), Some((0x900_0000, 32, 0)));
}

#[test]
fn a_second_text_overrides_the_first() {
    let (mut options, _) = read("scenario=all cycles=3");
    let all = Scenario::all().count();
    assert_eq!(options.scenarios.len(), all);
    assert!(!options.scenarios.contains(&Work::Census), "it is no takeover");
    options.apply("cycles=4", |problem| panic!("{problem}"));
    assert_eq!((options.cycles, options.scenarios.len()), (4, all));
}

#[test]
fn only_a_leading_word_is_a_finding() {
    let mut found = Vec::new();
    let mut options = RunOptions::default();
    options.apply("fs0:\\inflight.efi cycles=2 stray", |problem| found.push(problem));
    assert_eq!(options.cycles, 2);
    assert_eq!(found, [OptionProblem::LeadingWord("fs0:\\inflight.efi"), OptionProblem::NotKeyValue("stray")]);
    assert_eq!((found[0].is_error(), found[1].is_error()), (false, true));
}

#[test]
fn every_wrong_option_says_what_would_be_right() {
    assert_eq!(
        problem("cycle=3"),
        "there is no option `cycle`; known: scenario, cycles, for_s, plant, e2h, firmware-smmu, strtab, rmr, vfs, deny, allow, hold_us, watch_us, \
         step-hold, lava, console, region, guest, guest_mib, watchdog, allow_risks"
    );
    assert_eq!(problem("guest=0x1000"), "guest=0x1000: not an address, a multiple of 0x200000");
    for value in ["63", "65", "65538"] {
        assert_eq!(
            problem(&std::format!("guest_mib={value}")),
            std::format!("guest_mib={value}: not an even number from 64 to 65536")
        );
    }
    for value in ["0", "-1", "+1", "1000001", "many", "", "0x", "99999999999999999999"] {
        let text = std::format!("cycles={value}");
        assert_eq!(problem(&text), std::format!("cycles={value}: not a number from 1 to 1000000"));
    }
    assert!(problem("plant=leaf").starts_with("plant=leaf: not leaf-unmapped, leaf-canary,"));
    assert_eq!(problem("step-hold=on"), "step-hold=on: not 0 or 1");
    assert_eq!(problem("e2h=yes"), "e2h=yes: not 0 or 1");
    assert_eq!(problem("strtab=3lvl"), "strtab=3lvl: not linear or 2lvl");
    assert!(problem("scenario=adopt,adapt").starts_with("scenario=adapt: there is no policy `adapt`; known: adopt, "));
    for value in ["2.0", "0000:00:02.0:4096", "0000:00:02.0:0", "0000:00:02.0,", "0000:00:02.0:x"] {
        assert!(problem(&std::format!("rmr={value}")).contains("not ssss:bb:dd.f"));
    }
    for value in ["0x9000000", "pl011:0", "pl011:0x9000001", "pl011:0x9000000:12", "uart:0x9000000", "pl011:4:32:4"] {
        assert!(problem(&std::format!("console={value}")).contains("not pl011:ADDRESS"));
    }
    for value in
        ["16550:0", "16550:0x3f9:16", "16550:0x3f8:8:3", "16550:0x3f8:32:2", "16550:0x3f8:8:16", "16550:0x3f8:8:1:1"]
    {
        assert!(problem(&std::format!("console={value}")).contains("16550:ADDRESS"));
    }
    for value in ["0", "0x80100000", "2097151", "-1", "0x10000000000000000", "high"] {
        assert!(problem(&std::format!("region={value}")).contains("a multiple of 0x200000"), "{value}");
    }
    assert_eq!(read("region=0x80200000").0.region, Some(PhysAddr(0x8020_0000)));
    for value in ["1", "5", "3601", "-1", "on"] {
        assert!(
            problem(&std::format!("watchdog={value}"))
                .ends_with("not a number of seconds from 6 to 3600, or 0 for none")
        );
    }
    assert_eq!((read("watchdog=0").0.watchdog_s, read("watchdog=6").0.watchdog_s), (0, 6));
    assert_eq!(read("hold_us=2000000 watch_us=7000000").0.longest_wait_us(), 12_000_000);
    assert!(problem("allow_risks=fire").contains("bus-error"));
    assert!(problem("hold_us=0").contains("microseconds"));
    let many = std::format!("scenario=adopt{}", ",adopt".repeat(256));
    assert!(problem(&many).ends_with("not 256 scenarios or less"));
    let (options, problems) = read("cycles=2 cycles=3");
    assert_eq!((options.cycles, &problems[..]), (2, &["option `cycles` comes twice; give it once".into()][..]));
}

proptest! {
    #[test]
    fn any_text_is_read_or_reported(text in "[ -~\\n]{0,200}", word in "\\PC{0,40}") {
        read(&text);
        for name in NAMES {
            let text = std::format!("{name}={word}");
            read(&text);
        }
        // A word without `=` after the first is never swallowed.
        let text = std::format!("cycles=1 {}x", word.replace('=', ""));
        prop_assert!(!read(&text).1.is_empty());
    }
}

#[test]
fn what_the_loader_of_an_initrd_appends_is_passed_over() {
    let mut options = RunOptions::default();
    let mut problems = 0;
    options.apply("cycles=3 initrd=initrd", |_| problems += 1);
    assert_eq!((options.cycles, problems), (3, 0));
}
