//! FADT: how to call PSCI (ACPI 6.5, 5.2.9).

use crate::finding::{Finding, Sink, Unreadable};
use crate::sdt::Sdt;
use crate::{read, rule};
use zerocopy::little_endian::U16;

/// Signature of the table, which is not its name.
pub const SIGNATURE: [u8; 4] = *b"FACP";
/// Up to and with the minor version; both fields read here lie before its end.
const FIXED_BYTES: usize = 132;
const ARM_BOOT_ARCH: usize = 129;
const MINOR_VERSION: usize = 131;

/// How firmware takes PSCI calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conduit {
    /// Firmware does not claim PSCI.
    #[default]
    None,
    /// By SMC.
    Smc,
    /// By HVC.
    Hvc,
}

/// The table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fadt {
    /// Major and minor revision.
    pub revision: (u8, u8),
    /// How to call PSCI.
    pub psci: Conduit,
}

impl Fadt {
    /// Reads the table.
    ///
    /// # Errors
    /// The bytes hold no FADT that is long enough to have ARM boot flags.
    pub fn parse(bytes: &[u8], sink: &mut Sink<'_>) -> Result<Self, Unreadable> {
        let finding = |rule| Finding::new(rule, SIGNATURE);
        let sdt = Sdt::parse(bytes, SIGNATURE, FIXED_BYTES, sink)?;
        // Bits 7:4 of the minor version count errata (ACPI 6.5, table 5.9).
        let minor = sdt.bytes.get(MINOR_VERSION).map_or(0, |byte| byte & 0xf);
        let revision = (sdt.revision, minor);
        if revision < (5, 1) {
            sink(finding(&rule::W_FADT_REVISION).at(8).found(sdt.revision).against(minor));
        }
        let flags = read::record::<U16>(sdt.bytes, ARM_BOOT_ARCH).map_or(0, |flags| flags.get());
        let psci = match flags & 3 {
            1 => Conduit::Smc,
            3 => Conduit::Hvc,
            _ => Conduit::None,
        };
        if psci == Conduit::None {
            sink(finding(&rule::W_PSCI_NONE).at(ARM_BOOT_ARCH).found(flags));
        }
        Ok(Self { revision, psci })
    }
}
