//! The kernel of `ci/guest` without a witness: what it does when nobody watches, and what it notices of a plan of EL2's registers
//! from which something is missing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Case;
use super::expect::{Expected, ensure};
use super::raw::E2H;
use super::session::Session;
use super::witness::{self, Entry};
use crate::{build, child, workspace};

/// A boot takes less than a second, and all rounds of a plan some.
const DEADLINE: Duration = Duration::from_secs(100);
/// Offset of CR0 (IHI 0070, 6.3.9).
const CR0: u64 = 0x20;

/// All of them.
pub fn all() -> Vec<Case> {
    vec![Case::new("guest-alone", alone), Case::new("witness-plan", plan)]
}

/// A machine that starts an image; what it says on the console.
fn boot(image: &Path, machine: &str, cpu: &str, arguments: &str, more: &[&str]) -> Result<String, String> {
    let board =
        board::load(&workspace::root().join("board-configs"), "qemu-virt-dt").map_err(|error| error.to_string())?;
    let program = board.qemu.ok_or("it is emulated")?.program;
    let machine = format!("virt,gic-version=3,iommu=smmuv3,acpi=off,{machine}");
    let image = image.to_str().ok_or("the folder's name is not text")?;
    let mut words = vec![program.as_str(), "-machine", &machine, "-cpu", cpu, "-smp", "2", "-m", "1G"];
    words.extend([
        "-nodefaults",
        "-no-reboot",
        "-display",
        "none",
        "-serial",
        "stdio",
        "-kernel",
        image,
        "-append",
        arguments,
    ]);
    words.extend(more);
    child::run(&words, &[], DEADLINE).map_err(|error| format!("{error:#}"))
}

fn built() -> Result<PathBuf, String> {
    build::guest().map_err(|error| format!("{error:#}"))
}

/// Without EL2 it resets, adopts what it has left, and moves a stream: its policies, to the order of CR0, by QEMU's trace; and each
/// kind of store does what it ought to.
fn alone(session: &Session<'_>) -> Expected {
    let image = built()?;
    let trace = session.folder.with_extension("trace");
    let file = trace.to_str().ok_or("the folder's name is not text")?;
    let trace_to = ["-trace", "smmuv3_*mmio", "-D", file];
    for (policy, control, asid) in [
        ("adopt-v7-attach", vec![0, 8, 0xC, 0xD, 1, 9, 9], "Asid(1) after Some(Asid(1))"),
        ("adopt-attach", vec![0, 8, 0xC, 0xD, 1, 9, 9], "Asid(2) after Some(Asid(1))"),
    ] {
        let arguments = format!("policy=reset-attach,{policy} do=stores,endless,cpu-on watch_us=1000");
        let said = boot(&image, "virtualization=off", "neoverse-n1", &arguments, &trace_to)?;
        for line in
            [&format!("SMMU 0: {policy} did {policy}"), asid, "stores: 38 tried", "cpu-on: answer 0x0, EL1 at 0x1"]
        {
            ensure(said.contains(line), || format!("{policy}: no `{line}` in\n{said}"))?;
        }
        ensure(!said.contains("wrong"), || said.clone())?;
        let text = std::fs::read_to_string(&trace).map_err(|error| format!("no trace of QEMU: {error}"))?;
        let entries = witness::parse(&text)?;
        let written = |entry: &Entry| matches!(entry, Entry::Write(register) if register.offset == CR0);
        let values = entries.iter().filter(|entry| written(entry)).map(|entry| match entry {
            Entry::Write(register) => register.value,
            _ => 0,
        });
        let values: Vec<_> = values.collect();
        ensure(values == control, || format!("{policy}: CR0 is written {values:x?}"))?;
    }
    let said = boot(&image, "virtualization=off", "max", "do=classes policy=nonsense", &[])?;
    ensure(said.contains("Kernel panic - not syncing: policy=nonsense: known are adopt, "), || said.clone())
}

/// What nothing at EL1 of QEMU can notice, and why.
const UNSEEN: [(&str, &str); 10] = [
    ("HACR_EL2", "the implementation's own, and QEMU has none"),
    ("HSTR_EL2", "traps of AArch32"),
    ("SMPRIMAP_EL2", "no priority has an effect"),
    ("CNTPOFF_EL2", "CNTHCTL_EL2.ECV, which is in the plan, keeps it off"),
    ("CNTHP_CTL_EL2", "interrupts stay masked"),
    ("CNTHV_CTL_EL2", "interrupts stay masked"),
    ("ICC_SRE_EL2", "QEMU has no other value"),
    ("LORC_EL1", "QEMU has no regions"),
    ("CPTR_EL2", "rows of bits that are RES1 on a CPU without vectors"),
    ("HCR_EL2 FIEN", "QEMU injects no faults"),
];

/// Every trap is armed, then all of the plan is carried out but for one register, or one row.
fn plan(session: &Session<'_>) -> Expected {
    let image = built()?;
    let with_e2h = session.folder.with_extension("e2h.img");
    let both = build::raw_behind(E2H, &image).map_err(|error| format!("{error:#}"))?;
    std::fs::write(&with_e2h, both).map_err(|error| error.to_string())?;
    let initrd = image.to_str().ok_or("the folder's name is not text")?;
    for (cpu, first, least) in
        [("max", &image, 38), ("max", &with_e2h, 38), ("neoverse-n1", &with_e2h, 15), ("cortex-a72", &image, 12)]
    {
        let said = boot(first, "virtualization=on", cpu, "do=classes", &["-initrd", initrd])?;
        rounds(&said, least).map_err(|what| format!("{cpu}, {}: {what}", first.display()))?;
    }
    Ok(())
}

fn rounds(said: &str, least: usize) -> Expected {
    let mut parts = said.split("guest: round ").skip(1).map(|part| part.split_once("\r\n").unwrap_or((part, "")));
    // The line about the end of a round is one of its own.
    let mut all: Vec<(&str, String)> = Vec::new();
    for (first, rest) in parts.by_ref() {
        match all.last_mut() {
            Some((_, text)) if first.starts_with("ends: ") => text.push_str(first),
            _ => all.push((first, rest.to_owned())),
        }
    }
    let (_, whole) = all.first().ok_or("no round")?;
    ensure(whole.ends_with("ends: off") && whole.contains("class sctlr: 0x0"), || {
        format!("with the whole plan: {whole}")
    })?;
    // ERXPFGF_EL1, which QEMU does not have.
    let failed = whole.lines().find(|line| line.contains(": exception") && !line.contains("ras-injection"));
    ensure(failed.is_none(), || format!("with the whole plan: {failed:?}"))?;
    ensure(all.len() > least, || format!("{} rounds", all.len()))?;
    let unnoticed = all[1..]
        .iter()
        .filter(|(name, text)| text == whole && !UNSEEN.iter().any(|(unseen, _)| name.starts_with(unseen)));
    let names: Vec<_> = unnoticed.map(|(name, _)| *name).collect();
    ensure(names.is_empty(), || format!("nobody notices when these are left out: {}", names.join("; ")))
}
