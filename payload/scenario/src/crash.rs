//! How the first image dies.

use crate::{Risks, policy::Documented};

/// A kind of crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Crash {
    /// A plain jump.
    #[default]
    Jump,
    /// Its panic handler.
    Panic,
    /// The handler of a data abort.
    Fault,
    /// A plain jump, while other CPUs spin and ring doorbells.
    HungCpu,
    /// A plain jump on another CPU than the one that firmware booted.
    OtherCpu,
}

/// Names, for messages.
pub(crate) const NAMES: &str = "jump, panic, fault, hung-cpu, other-cpu";

/// The last word below 2^48, from which the primary that dies by a fault loads: no RAM is there, and its map has nothing.
pub const FAULT_ADDRESS: u64 = 0xffff_ffff_fff8;

impl Crash {
    /// All of them, the plain one first.
    pub const ALL: [Self; 5] = [Self::Jump, Self::Panic, Self::Fault, Self::HungCpu, Self::OtherCpu];

    /// Name in scenarios and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jump => "jump",
            Self::Panic => "panic",
            Self::Fault => "fault",
            Self::HungCpu => "hung-cpu",
            Self::OtherCpu => "other-cpu",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|crash| crash.name() == name)
    }

    /// It takes a second CPU.
    #[must_use]
    pub const fn needs_second_cpu(self) -> bool {
        matches!(self, Self::HungCpu | Self::OtherCpu)
    }

    /// What it adds to the policy's risks.
    #[must_use]
    pub const fn risks(self) -> Risks {
        // Only firmware can turn a CPU off again.
        if self.needs_second_cpu() { Risks::POWER_CYCLE } else { Risks::NONE }
    }

    /// In words; `None` for the plain one.
    #[must_use]
    pub const fn documented(self) -> Option<Documented> {
        Some(match self {
            Self::Jump => return None,
            Self::Panic => Documented {
                expects: "the taker is called by the panic handler, with the stack of the code that panicked",
                source: "Linux, panic() and __crash_kexec()",
            },
            Self::Fault => Documented {
                expects: "the taker is called by the handler of a data abort (load from an unmapped address), in the \
                          exception's context; a fault in the crash path itself ends the image",
                source: "Linux arm64, die_kernel_fault(), crash_kexec() from die()",
            },
            Self::HungCpu => Documented {
                expects: "as with `jump`: one CPU spins with interrupts masked, and one goes on ringing an endpoint's \
                          doorbell, through takeover and watch; with two CPUs one does both",
                source: "Linux arm64, crash_smp_send_stop(): \"SMP: failed to stop secondary CPUs\", and it goes on",
            },
            Self::OtherCpu => Documented {
                expects: "as with `jump`: the taker starts on the CPU that crashed, not on the one that booted, which \
                          stays parked",
                source: "Linux arm64, machine_crash_shutdown(): the crash kernel starts on the CPU that crashed",
            },
        })
    }
}
