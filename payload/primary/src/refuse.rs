//! Why the image does not start its work, said on the firmware's console while there is no other.

use embedded_io::{ErrorType, Write};
use uefi::{Status, system};
use wire::{
    Record, Writer,
    record::{Outcome, Severity, VERSION},
};

/// The firmware's console, for plain ASCII.
struct FirmwareConsole;

impl ErrorType for FirmwareConsole {
    type Error = core::convert::Infallible;
}

impl Write for FirmwareConsole {
    fn write(&mut self, text: &[u8]) -> Result<usize, Self::Error> {
        system::with_stdout(|console| {
            for byte in text {
                let unit = [u16::from(*byte), 0];
                if let Ok(character) = uefi::CStr16::from_u16_with_nul(&unit) {
                    // A console that refuses a character leaves a line that fails its CRC.
                    let _ = console.output_string(character);
                }
            }
        });
        Ok(text.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Writes the finding and the end of an empty boot, and what to return to the firmware.
pub(crate) fn refuse(id: &str, reason: &str) -> Status {
    let mut writer = Writer::new(FirmwareConsole, 0);
    let el = arch::cpu::current_el();
    let counter_hz = arch::timer::frequency();
    let version = env!("CARGO_PKG_VERSION");
    let records = [
        Record::Hello { wire: VERSION, version, image: "primary", el, e2h: false, counter_hz },
        Record::Finding { severity: Severity::Error, table: "platform", id, offset: None, text: reason },
        Record::End { outcome: Outcome::Fail, runs: 0 },
    ];
    // The firmware's console never fails here (see above).
    let _ = writer.ktap_start();
    for record in &records {
        let _ = writer.write(record);
    }
    let _ = writer.ktap_comment(0, reason);
    let _ = writer.ktap_end(Outcome::Fail);
    Status::UNSUPPORTED
}
