//! What the tables of a machine say of what a board's file holds.

use std::path::Path;

use scenario::options::RunOptions;
use serde::Serialize;
use tables::iort::{self, Iort, SmmuV3};
use tables::platform::ReservedRange;
use tables::spcr::{self, Console, Spcr, UartKind};
use tables::{Devicetree, Finding, Platform, Severity, Tables, dbg2, gtdt, mcfg};

use super::source::{digest, machine, source, source_of_all};
use crate::iort::describe::{text_of, title};
use crate::iort::dump::Table;
use crate::iort::input::{Found, tables_at};

/// A fact, and the table that says it.
#[derive(Debug, Serialize)]
pub struct Said<T> {
    pub fact: T,
    pub source: String,
}

/// An SMMU's address and what else is worth knowing of it.
#[derive(Debug, Serialize)]
pub struct Smmu {
    pub at: u64,
    pub note: String,
}

/// The SMMUs: those that are judged or, where there are none of them, the others.
#[derive(Debug, Serialize)]
pub struct Smmus {
    pub architecture: &'static str,
    pub smmus: Vec<Smmu>,
    /// Those that the list leaves out, in words.
    pub others: Vec<String>,
}

/// Frames of a watchdog.
#[derive(Debug, Serialize)]
pub struct Watchdog {
    pub refresh: u64,
    pub control: u64,
}

/// What the tables say.
#[derive(Debug, Default, Serialize)]
pub struct Facts {
    /// The vendor's words for the machine.
    pub machine: String,
    pub tables: Option<Said<&'static str>>,
    pub console: Option<Said<String>>,
    /// Why there is no console, where there is none.
    pub no_console: String,
    pub smmus: Option<Said<Smmus>>,
    pub watchdog: Option<Said<Watchdog>>,
    /// In words, for whoever reads the file.
    pub segments: Vec<String>,
    pub ranges: Vec<String>,
    pub components: Vec<String>,
    pub findings: Vec<String>,
    /// The first error in the tables, and how many there are.
    #[serde(skip)]
    pub errors: Option<(String, usize)>,
}

/// Lines of one kind that go into a file.
const SHOWN: usize = 40;

impl Facts {
    /// Reads what `path` holds.
    ///
    /// # Errors
    /// One line: what is there is neither tables nor a devicetree, or the IORT or the tree cannot be read at all.
    pub fn read(path: &Path) -> Result<Self, String> {
        let name = text_of(path.file_name().unwrap_or(path.as_os_str()).as_encoded_bytes());
        match tables_at(path)? {
            Found::Raw(bytes) if bytes.starts_with(&DEVICETREE) => Self::of_devicetree(&name, &bytes),
            Found::Raw(bytes) => match bytes.first_chunk::<4>() {
                Some(signature) if WANTED.contains(signature) => {
                    Self::of_tables(&name, &[Table { signature: *signature, bytes }])
                }
                _ => Err("neither tables nor a devicetree".to_owned()),
            },
            Found::Many(tables) => {
                let tables: Vec<_> =
                    tables.into_iter().map(|(_, table)| table).filter(|t| WANTED.contains(&t.signature)).collect();
                Self::of_tables(&name, &tables)
            }
        }
    }

    fn of_tables(name: &str, tables: &[Table]) -> Result<Self, String> {
        // A machine has one table of each kind; the first counts, as for the payload.
        let table = |signature| tables.iter().find(|table| table.signature == signature).map(|table| &table.bytes[..]);
        let source = |signature| table(signature).map(|bytes| source(signature, bytes, name)).unwrap_or_default();
        let all = Tables {
            iort: table(iort::SIGNATURE),
            mcfg: table(mcfg::SIGNATURE),
            spcr: table(spcr::SIGNATURE),
            dbg2: table(dbg2::SIGNATURE),
            gtdt: table(gtdt::SIGNATURE),
            ..Tables::default()
        };
        let Some(first) = [all.iort, all.mcfg, all.spcr, all.dbg2, all.gtdt].into_iter().flatten().next() else {
            return Err("none of the tables IORT, MCFG, SPCR, DBG2 and GTDT".to_owned());
        };
        let mut findings = Vec::new();
        let platform = Platform::from_tables(&all, &mut |finding| findings.push(finding));
        if let (Some(bytes), None) = (all.iort, platform.iort) {
            let why = Iort::parse_again(bytes).err().map(|broken| broken.to_string()).unwrap_or_default();
            return Err(why);
        }
        let mut facts = Self::of_platform(&platform);
        facts.machine = machine(first);
        facts.tables = Some(Said { fact: "acpi", source: source_of_all(tables, name) });
        let named = if is_named(all.spcr) { spcr::SIGNATURE } else { dbg2::SIGNATURE };
        facts.say_console(platform.console, source(named));
        facts.no_console = no_console(&all);
        facts.smmus = platform.iort.map(|iort| Said { fact: smmus(iort), source: source(iort::SIGNATURE) });
        facts.say_watchdog(&platform, source(gtdt::SIGNATURE));
        findings.retain(|finding| finding.id() != "W_TABLE_MISSING");
        facts.tell(&findings, |finding| finding.to_string());
        Ok(facts)
    }

    fn of_devicetree(name: &str, bytes: &[u8]) -> Result<Self, String> {
        let mut findings = Vec::new();
        let tree = Devicetree::read(bytes, &mut |finding| findings.push(finding)).map_err(|why| why.to_string())?;
        let iort = tree.to_iort(&mut |finding| findings.push(finding));
        let platform = Platform::from_devicetree(&tree, &iort, &mut |finding| findings.push(finding));
        let source = format!("devicetree {name} ({} bytes, SHA-256 {})", tree.bytes().len(), digest(tree.bytes()));
        let mut facts = Self::of_platform(&platform);
        facts.tables = Some(Said { fact: "devicetree", source: source.clone() });
        facts.say_console(platform.console, source.clone());
        facts.no_console = "The tree's stdout-path names no UART that the payload drives.".to_owned();
        let others = findings.iter().any(|finding| finding.id() == "W_DTB_IOMMU_KIND");
        // IOMMUs of another kind are in no IORT: whether there are any, only what they are named by tells.
        if let Some(iort) = platform.iort.filter(|iort| iort.smmus().next().is_some() || !others) {
            facts.smmus = Some(Said { fact: smmus(iort), source: source.clone() });
        }
        facts.say_watchdog(&platform, source);
        facts.tell(&findings, |finding| match tree.path_of(finding) {
            Some(path) => format!("{finding} ({})", text_of(path.as_bytes())),
            None => finding.to_string(),
        });
        Ok(facts)
    }

    /// What is a fact of either description.
    fn of_platform(platform: &Platform<'_>) -> Self {
        let segments = platform.ecam.iter().map(|ecam| {
            let (base, bytes) = ecam.extent();
            let (segment, first, last) = (ecam.segment, ecam.first_bus, ecam.last_bus);
            format!("segment {segment:#x}, buses {first:#04x} to {last:#04x}: configuration space at {base}, {bytes:#x} bytes")
        });
        let components = platform.iort.iter().flat_map(Iort::named_components).map(|component| {
            let ids = component.node.mappings().len();
            format!("{} ({ids} ID mapping{})", text_of(component.name), if ids == 1 { "" } else { "s" })
        });
        Self {
            segments: cut(segments),
            ranges: cut(platform.rmrs.iter().map(|range| reserved(platform, range))),
            components: cut(components),
            ..Self::default()
        }
    }

    fn say_console(&mut self, console: Option<Console>, source: String) {
        // One at an address that no UART has is none.
        let is_possible = |option: &String| {
            let mut problems = 0;
            RunOptions::default().apply(&format!("console={option}"), |_| problems += 1);
            problems == 0
        };
        self.console = console.map(|console| option(&console)).filter(is_possible).map(|fact| Said { fact, source });
    }

    /// The first watchdog that is not the secure world's own.
    fn say_watchdog(&mut self, platform: &Platform<'_>, source: String) {
        let is_ours = |watchdog: &&gtdt::Watchdog| !watchdog.is_secure();
        self.watchdog = platform.watchdogs.iter().find(is_ours).and_then(|watchdog| {
            let [refresh, control] = [watchdog.refresh.0, watchdog.control.0];
            let is_good = [refresh, control]
                .iter()
                .all(|frame| *frame != 0 && frame.is_multiple_of(0x1000) && is_writable(*frame));
            (is_good && refresh != control).then_some(Said { fact: Watchdog { refresh, control }, source })
        });
    }

    fn tell(&mut self, findings: &[Finding], words: impl Fn(&Finding) -> String) {
        let mut errors = findings.iter().filter(|finding| finding.severity() == Severity::Error);
        self.errors = errors.next().map(|first| (words(first), errors.count() + 1));
        self.findings = cut(findings.iter().filter(|finding| finding.severity() > Severity::Note).map(words));
    }
}

/// What a devicetree begins with.
const DEVICETREE: [u8; 4] = [0xd0, 0x0d, 0xfe, 0xed];
/// Tables that say something that a board's file holds.
const WANTED: [[u8; 4]; 5] = [iort::SIGNATURE, mcfg::SIGNATURE, spcr::SIGNATURE, dbg2::SIGNATURE, gtdt::SIGNATURE];
/// TOML's numbers have 63 bits.
fn is_writable(number: u64) -> bool {
    i64::try_from(number).is_ok()
}

/// Some of the lines, and how many more there are.
fn cut(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines = lines.peekable();
    let mut shown: Vec<String> = lines.by_ref().take(SHOWN).collect();
    if lines.peek().is_some() {
        shown.push(format!("… and {} more", lines.count()));
    }
    shown
}

fn smmus(iort: Iort<'_>) -> Smmus {
    let (mut good, mut others) = (Vec::new(), Vec::new());
    let v3 = iort.smmus().map(|smmu| (smmu.base.0, smmu.node, note(&smmu)));
    let v2 = iort.smmus_v1_v2().map(|smmu| (smmu.base.0, smmu.node, title(iort, &smmu.node)));
    let has_v3 = iort.smmus().any(|smmu| smmu.base.0 != 0);
    for (is_v3, (at, node, note)) in v3.map(|smmu| (true, smmu)).chain(v2.map(|smmu| (false, smmu))) {
        let is_twice = good.iter().any(|smmu: &Smmu| smmu.at == at);
        let is_address = at != 0 && at.is_multiple_of(0x1_0000) && is_writable(at);
        match is_v3 == has_v3 && is_address && !is_twice && good.len() < SHOWN {
            true => good.push(Smmu { at, note }),
            false => others.push(title(iort, &node)),
        }
    }
    let architecture = match (has_v3, good.is_empty()) {
        (true, _) => "SMMUv3",
        (false, false) => "SMMUv2",
        (false, true) => "none",
    };
    Smmus { architecture, smmus: good, others: cut(others.into_iter()) }
}

/// What a run may have to know of an SMMU beside its address.
fn note(smmu: &SmmuV3<'_>) -> String {
    let coherent = if smmu.is_coherent_override() { "coherent whatever IDR0 says" } else { "coherency by IDR0" };
    let names = ["events", "PRI", "errors", "sync"];
    let wired: Vec<String> = names
        .iter()
        .zip(smmu.gsivs)
        .filter(|(_, gsiv)| *gsiv != 0)
        .map(|(name, gsiv)| format!("{name} {gsiv}"))
        .collect();
    let wired =
        if wired.is_empty() { "no wired interrupt".to_owned() } else { format!("interrupts: {}", wired.join(", ")) };
    let model = if smmu.model == 0 { String::new() } else { format!(", model {}", smmu.model) };
    format!("{coherent}; {wired}{model}")
}

fn reserved(platform: &Platform<'_>, range: &ReservedRange) -> String {
    let smmu = platform.smmus.get(range.smmu).map(|smmu| smmu.base.to_string()).unwrap_or_default();
    let remap = if range.flags.is_remap_permitted() { "may be remapped" } else { "fixed" };
    let ReservedRange { base, bytes, first, last, .. } = range;
    let streams = if first == last { format!("StreamID {first}") } else { format!("StreamIDs {first} to {last}") };
    format!("{base}, {bytes:#x} bytes, {remap}: {streams} of the SMMU at {smmu}")
}

/// A UART as the key `console` has it.
fn option(console: &Console) -> String {
    let Console { base, access_bytes, stride, .. } = console;
    let width = access_bytes * 8;
    match console.kind {
        // Both have their registers at the same offsets.
        UartKind::Pl011 | UartKind::Sbsa => format!("pl011:{base}:{width}"),
        UartKind::Ns16550 => format!("16550:{base}:{width}:{stride}"),
    }
}

/// Whether the SPCR is what names the console.
fn is_named(spcr: Option<&[u8]>) -> bool {
    spcr.and_then(|bytes| Spcr::parse(bytes, &mut |_| {}).ok()).is_some_and(|spcr| spcr.console.is_some())
}

fn no_console(tables: &Tables<'_>) -> String {
    match tables.spcr.and_then(|bytes| Spcr::parse(bytes, &mut |_| {}).ok()) {
        Some(spcr) => format!(
            "SPCR names a UART of type {:#04x} at {}, which the payload does not drive; DBG2 names none that it does.",
            spcr.interface, spcr.address.address
        ),
        None => "Neither SPCR nor DBG2 names a UART that the payload drives.".to_owned(),
    }
}
