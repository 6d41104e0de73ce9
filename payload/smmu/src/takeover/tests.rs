//! The policies on the host fake, access by access.

mod adopt;
mod deferred;
mod identifiers;
mod plant;
mod refusals;
mod reset;
mod review;
mod variants;

use super::*;
use crate::fake::crashed::{CDS, L1, L2, STRTAB_BASE, crashed, ste};
use crate::fake::{self, Fake, FakeFrames};
use crate::log::{Log, Logged, Op};
use crate::spec::registers as reg;
use addr::PhysAddr;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const SMMU: SmmuIndex = SmmuIndex(0);
/// The crash kernel's own memory; frames come from it.
const OWN: Range<PhysAddr> = PhysAddr(0x5000_0000)..PhysAddr(0x5800_0000);

struct Options {
    coherent: Option<bool>,
    cpu_is_vhe: bool,
    rmr: &'static [StreamId],
    attach: &'static [Attach],
}

const PLAIN: Options = Options { coherent: None, cpu_is_vhe: false, rmr: &[], attach: &[] };

/// The SMMU of the tests, with the crash kernel's memory as they have it.
fn site(frames: &mut dyn Frames) -> Site<'_> {
    fake::site(SMMU, OWN, frames)
}

/// One access in words: `R` and `W` registers, `L` and `S` structure words, `F` a fill, `B` a barrier.
fn words(entry: &crate::log::Entry) -> Option<String> {
    let (name, value, count) = (entry.name(), entry.value, entry.count);
    let many = if count > 1 { format!(" x{count}") } else { String::new() };
    Some(match entry.op {
        Op::RegRead32 => format!("R {name} {value:#x}{many}"),
        Op::RegRead64 => format!("R64 {name} {value:#x}{many}"),
        Op::RegWrite32 => format!("W {name} {value:#x}"),
        Op::RegWrite64 => format!("W64 {name} {value:#x}"),
        Op::Load => format!("L {name} {:#x}{many}", entry.address),
        Op::Store => format!("S {name} {:#x} {value:#x}", entry.address),
        Op::Fill => format!("F {name} {:#x} {value:#x}{many}", entry.address),
        Op::Barrier => format!("B {name}"),
        Op::Step => return None,
    })
}

fn take(policy: Policy, fake: &mut Fake, options: &Options) -> (Result<Taken, TakeoverError>, Vec<String>) {
    let mut log = Log::with_capacity(4096);
    let mut frames = FakeFrames::default();
    let site = Site {
        coherent: options.coherent,
        cpu_is_vhe: options.cpu_is_vhe,
        rmr_streams: options.rmr,
        attach: options.attach,
        ..site(&mut frames)
    };
    let taken = take_over(policy, &mut Logged::new(fake, &mut log), site);
    assert!(!log.overflowed());
    assert_eq!(fake.stray_stores, []);
    (taken, log.entries().iter().filter_map(words).collect())
}

fn writes(trace: &[String]) -> Vec<&str> {
    trace.iter().map(String::as_str).filter(|row| row.starts_with('W')).collect()
}

/// Values written to one register.
fn written<'a>(trace: &'a [String], register: &str) -> Vec<&'a str> {
    writes(trace).into_iter().filter_map(|row| row.strip_prefix(&format!("W {register} "))).collect()
}

/// `expected`, one access a line; blank lines and what follows `;` are for the reader.
#[track_caller]
fn assert_trace(trace: &[String], expected: &str) {
    let expected = expected.lines().map(|line| line.split(';').next().unwrap_or("").trim()).filter(|l| !l.is_empty());
    let expected: Vec<_> = expected.collect();
    for (index, (seen, wanted)) in trace.iter().zip(&expected).enumerate() {
        assert_eq!(seen, wanted, "access {index} of {trace:#?}");
    }
    assert_eq!(trace.len(), expected.len(), "{trace:#?}");
}

/// ID registers as a probe reads them.
const PROBE: &str = "
    R IDR0 0xd44101b
    R IDR1 0x2730010
    R IDR3 0x1414
    R IDR5 0x74
    R IIDR 0x0
";

/// A command queue in use: one command and CMD_SYNC by one doorbell, at entries `index` and `index`+1.
fn command(index: u64, words: [u64; 2]) -> String {
    let at = 0x5000_0000 + index * 16;
    let prod = index + 2;
    format!(
        "S CMD {at:#x} {:#x}
         S CMD {:#x} {:#x}
         S CMD {:#x} 0xfc02046
         S CMD {:#x} 0x0
         B before-doorbell
         W CMDQ_PROD {prod:#x}
         R CMDQ_CONS {prod:#x}\n",
        words[0],
        at + 8,
        words[1],
        at + 16,
        at + 24,
    )
}

const CFGI_ALL: [u64; 2] = [4, 31];
const TLBI_EL2_ALL: [u64; 2] = [0x20, 0];
const TLBI_NSNH_ALL: [u64; 2] = [0x30, 0];

#[test]
fn policies_read_what_they_print() {
    for policy in Policy::ALL {
        assert_eq!(format!("{policy}").parse(), Ok(policy));
    }
    assert_eq!("adopt-v99".parse::<Policy>(), Err(UnknownPolicy));
}

#[test]
fn only_the_named_smmu_is_touched() {
    for policy in Policy::ALL {
        let mut fake = crashed();
        let other = fake.unit(SMMU).clone();
        fake.units.push(other);
        let before = fake.units[1].registers.clone();
        let (taken, _) = take(policy, &mut fake, &PLAIN);
        assert!(taken.is_ok());
        assert_eq!(fake.units[1].registers, before);
        assert!(fake.units[1].commands.is_empty());
    }
}

#[test]
fn no_memory_is_told() {
    let mut fake = crashed();
    let mut frames = FakeFrames { free: 0x5000_0000..0x5000_3FFF };
    let site = site(&mut frames);
    let error = take_over(Policy::Reset, &mut fake, site).map(|_| ());
    assert!(matches!(error, Err(TakeoverError::Queue(_))), "{error:?}");
    assert_eq!(fake.unit(SMMU).get(reg::CR0), 0xD);
}
