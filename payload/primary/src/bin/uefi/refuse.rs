//! Why the image does not start its work, said on the firmware's console while there is no other.

use embedded_io::{ErrorType, Write};
use primary::refusal;
use uefi::{Status, system};
use wire::Writer;

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

/// Says why, and what to return to the firmware.
pub(crate) fn refuse(id: &str, reason: &str) -> Status {
    refusal::write(&mut Writer::new(FirmwareConsole, 0), id, reason);
    Status::UNSUPPORTED
}
