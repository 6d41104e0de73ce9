//! What is written where the image does not start its work.

use embedded_io::Write;
use wire::{
    Record, Writer,
    record::{Outcome, Severity, VERSION},
};

/// Writes the finding and the end of an empty boot. A console that loses a part leaves lines that fail their CRC.
pub fn write(writer: &mut Writer<impl Write>, id: &str, reason: &str) {
    let el = arch::cpu::current_el();
    let counter_hz = arch::timer::frequency();
    let version = env!("CARGO_PKG_VERSION");
    let records = [
        Record::Hello { wire: VERSION, version, image: "primary", el, e2h: false, counter_hz },
        Record::Finding { severity: Severity::Error, table: "platform", id, offset: None, text: reason },
        Record::End { outcome: Outcome::Fail, runs: 0 },
    ];
    // Nobody is left to tell that the console fails.
    let _ = writer.ktap_start();
    for record in &records {
        let _ = writer.write(record);
    }
    let _ = writer.ktap_comment(0, reason);
    let _ = writer.ktap_end(Outcome::Fail);
}
