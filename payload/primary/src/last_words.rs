//! What the boot before this one left unfinished, and a watchdog so that a hang of this one ends, too.

use crate::{
    firmware::{Firmware, Given},
    machine::Machine,
    notes::Notes,
    region::Places,
};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use arch::{alive, exceptions, lost, watchdog::Register};
use handover::{
    crc64,
    last_words::{LastWords, MOST_DEATHS, Next},
};
use scenario::options::RunOptions;
use wire::{Record, record::Severity};
use zerocopy::IntoBytes;

/// Whose work it is: a boot with other options has other work.
pub(crate) fn whose(given: &Given) -> u64 {
    let texts = [&given.load_options, &given.option_file].map(|text| text.as_deref().unwrap_or_default());
    crc64(texts.join("\n").as_bytes())
}

/// Tells what the words of the boot before say, arms the watchdog, and says the first words of this boot. Returns the scenario to
/// begin with. `variable` is what firmware kept, `options_of` is [`whose`].
pub(crate) fn begin(
    firmware: &mut dyn Firmware,
    machine: &Machine,
    places: &Places,
    options: &RunOptions,
    variable: Option<Vec<u8>>,
    options_of: u64,
    notes: &mut Notes,
) -> u32 {
    let in_memory = places.words_found().map(|words| (words, true));
    let in_variable = || Some((LastWords::find(&variable?).ok()?, false));
    let next = match in_memory.or_else(in_variable) {
        Some((words, is_warm)) => tell(&words, is_warm, words.next(options_of, is_warm)),
        None => Some(Next { run: 0, deaths: 0 }),
    };
    // SAFETY: a place of its own in the region, which is mapped; the other image has it only while this one does not run.
    unsafe { alive::keep(places.words()) };
    let Some(next) = next else {
        // Nothing that could fail is left to do.
        let _ = firmware.keep(&[]);
        lost::because(format_args!("the board died {MOST_DEATHS} times in a row; the next start begins anew"));
    };
    let mut words = LastWords::new(options_of, next);
    words.watchdog_s = arm(machine, options, notes);
    words.step("start");
    alive::say(&words);
    next.run
}

fn tell(words: &LastWords, memory: bool, next: Option<Next>) -> Option<Next> {
    arch::console::record(&Record::Died {
        run: words.run,
        cycle: words.cycle,
        scenario: words.scenario(),
        phase: words.phase as u8,
        steps: words.steps,
        step: words.step_name(),
        memory,
        watchdog_s: words.watchdog_s,
        next: next.map(|next| next.run),
    });
    next
}

/// A scenario begins.
pub(crate) fn begin_run(firmware: &mut dyn Firmware, run: u32, scenario: &str) {
    let mut kept = None;
    alive::change(|words| {
        words.begin(run, scenario);
        kept = Some(*words);
    });
    let refused = kept.and_then(|words| firmware.keep(words.as_bytes()).err());
    if let Some(why) = refused {
        let text = &*format!("last words are kept in memory only, and not in a variable: {why}");
        let (severity, table, id, offset) = (Severity::Note, "UEFI", "variable-not-kept", None);
        arch::console::record(&Record::Finding { severity, table, id, offset, text });
    }
}

/// Arms the first watchdog that is the payload's. Returns its seconds; 0, and a finding, where there is none.
fn arm(machine: &Machine, options: &RunOptions, notes: &mut Notes) -> u32 {
    // One that bites while all is well is none.
    let least_us = options.longest_wait_us();
    let wanted_us = least_us.max(u64::from(options.watchdog_s) * 1_000_000);
    match try_arm(machine, wanted_us, least_us) {
        // What it counts is told where the board dies.
        Ok(seconds) => seconds as u32,
        Err(why) => {
            let text = format!("none is armed, so that a hang lasts until somebody ends it: {why}");
            notes.add(Severity::Warning, "watchdog", "no-watchdog", text);
            0
        }
    }
}

fn try_arm(machine: &Machine, wanted_us: u64, least_us: u64) -> Result<u64, String> {
    let frames = machine.watchdog.ok_or("the tables name no generic watchdog (SBSA) outside of the secure world")?;
    exceptions::probe_read32(frames.control.0 + Register::Identity.offset()).ok_or("a read of its registers aborts")?;
    // SAFETY: `Machine` maps both frames, which are nobody else's, and firmware's use of them ended with its work.
    unsafe { alive::arm(frames, wanted_us, least_us) }.map_err(|refused| refused.to_string())
}
