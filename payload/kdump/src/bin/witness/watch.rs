//! The kernel runs, and traps: each one is carried out, counted and told, until the kernel ends.

use crate::{
    counting::Counting,
    early::Early,
    kernel::{self, AtTrap},
    map::Map,
    registers,
    telling::{self, Telling},
};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use arch::{
    bus::Smmus,
    console,
    el1::{Cause, Vcpu},
    lost,
    power::{self, Conduit},
    timer,
};
use core::arch::asm;
use wire::{Record, record::Severity};
use witness::{
    carry_out::{Kernel, Stopped, carry_out},
    psci::{self, Call},
    trap::{abort, interrupts, system},
    watch::Witness,
};

/// ESR_EL2.EC of what a kernel does at EL1 and EL0.
const WFX: u64 = 0x01;
const HVC: u64 = 0x16;
const SMC: u64 = 0x17;
/// ESR_EL2.WnR of a data abort.
const WNR: u64 = 1 << 6;
const INSTRUCTION_ABORT: u64 = 0x20;
/// PSCI_FEATURES, and CPU_SUSPEND as its argument (DEN 0022, 5.15).
const FEATURES: u64 = 0x8400_000A;
const CPU_SUSPEND: u64 = 0xC400_0001;
/// DENIED (DEN 0022, 5.2.2).
const DENIED: i64 = -3;

/// How the kernel ended, as `Record::Witnessed` says it.
pub(crate) struct Ended {
    pub(crate) how: u8,
    pub(crate) reason: String,
}

impl Ended {
    /// The witness cannot go on.
    pub(crate) const fn stopped(reason: String) -> Self {
        Self { how: 2, reason }
    }
}

/// What was counted of the traps.
#[derive(Default)]
pub(crate) struct Traps {
    pub(crate) all: u32,
    pub(crate) visits: u32,
    pub(crate) forwarded: u32,
    pub(crate) first_call: u64,
    pub(crate) cost: u64,
}

/// All that is at work while the kernel runs.
pub(crate) struct Watch<'a, 'c> {
    pub(crate) vcpu: Vcpu,
    pub(crate) hw: &'a mut Smmus,
    pub(crate) witness: &'a mut Witness,
    pub(crate) counting: &'a mut Counting<'c>,
    pub(crate) map: Map<'a>,
    pub(crate) telling: Telling,
    pub(crate) early: Early,
    pub(crate) traps: Traps,
    /// Calls for a second CPU that were refused.
    pub(crate) refused_cpus: u32,
    /// Power states are in the extended format.
    is_extended: bool,
}

impl<'a, 'c> Watch<'a, 'c> {
    /// Everything but the first step.
    pub(crate) fn new(
        vcpu: Vcpu,
        hw: &'a mut Smmus,
        witness: &'a mut Witness,
        counting: &'a mut Counting<'c>,
        map: Map<'a>,
        telling: Telling,
        early: Early,
    ) -> Self {
        let mut x = [0; 18];
        (x[0], x[1]) = (FEATURES, CPU_SUSPEND);
        ask_firmware(&mut x);
        let is_extended = x[0] as i32 >= 0 && x[0] & 2 != 0;
        Self { vcpu, hw, witness, counting, map, telling, early, traps: Traps::default(), refused_cpus: 0, is_extended }
    }

    /// Lets the kernel run to its end.
    ///
    /// # Safety
    /// EL2 is set up as the plan has it, with the map's stage 2.
    pub(crate) unsafe fn run(&mut self) -> Ended {
        loop {
            // SAFETY: the caller's promise; what the kernel reaches is set apart for it, or was never ours.
            let cause = unsafe { self.vcpu.run() };
            let began = timer::now();
            self.traps.all = self.traps.all.saturating_add(1);
            let known = self.witness.log().entries().len();
            let ended = self.trap(cause).and_then(|ended| self.follow(known, began).map(|()| ended));
            match ended {
                Ok(None) => {}
                Ok(Some(ended)) => return ended,
                Err(reason) => return Ended::stopped(reason),
            }
            self.traps.cost = self.traps.cost.saturating_add(timer::now() - began);
        }
    }

    fn trap(&mut self, cause: Cause) -> Result<Option<Ended>, String> {
        let Vcpu { esr, pc, .. } = self.vcpu;
        if cause == Cause::Interrupt {
            self.early.interrupt();
            return Ok(None);
        }
        if cause != Cause::Synchronous {
            return Err(format!("an exception that is none of EL2's ({cause:?}) at {pc:#x}"));
        }
        match esr >> 26 & 0x3F {
            WFX => self.visit(),
            // Nobody answers but the firmware below.
            HVC => self.vcpu.x[0] = psci::NOT_SUPPORTED as u64,
            SMC => return self.call(),
            abort::DATA_ABORT | INSTRUCTION_ABORT => self.abort()?,
            system::SYSTEM => self.system()?,
            _ => return Err(self.unknown()),
        }
        Ok(None)
    }

    /// An access to a register of EL1's that traps.
    fn system(&mut self) -> Result<(), String> {
        let system = system::decode(self.vcpu.esr).filter(interrupts::is_one).ok_or_else(|| self.unknown())?;
        let register = self.vcpu.x.get_mut(usize::from(system.rt));
        let value = registers::interrupt_register(&system, register.as_deref().copied().unwrap_or(0));
        if let Some(register) = register.filter(|_| system.is_read) {
            *register = value;
        }
        self.step_over();
        self.occasion();
        Ok(())
    }

    /// What this trap has added to the log: counted, told, and its tables watched.
    fn follow(&mut self, known: usize, began: u64) -> Result<(), String> {
        let Self { witness, counting, map, telling, .. } = self;
        let mut is_taken = false;
        for seen in witness.log().entries().get(known..).unwrap_or_default() {
            is_taken |= counting.follow(seen);
        }
        map.follow(witness)?;
        telling.add(witness.log().entries(), timer::now() - began);
        if is_taken {
            telling.tell_some(witness);
        }
        counting.look();
        // A look may have used the timer.
        self.early.arm();
        Ok(())
    }

    /// The kernel is idle. As long as devices are counted by their registers it sleeps here, and they are looked at; an interrupt
    /// is the kernel's, and ends it.
    fn visit(&mut self) {
        self.traps.visits = self.traps.visits.saturating_add(1);
        self.step_over();
        self.occasion();
        while self.counting.is_needed() && !kernel::has_interrupt() {
            self.counting.look();
            self.occasion();
            core::hint::spin_loop();
        }
        if !kernel::has_interrupt() {
            // SAFETY: it ends at the next interrupt, which is the kernel's; nothing is written.
            unsafe { asm!("wfi", options(nostack, preserves_flags)) }
        }
    }

    /// Tells, if there is something to tell.
    fn occasion(&mut self) {
        self.telling.visit(self.witness, self.vcpu.pc, self.traps.all);
    }

    fn step_over(&mut self) {
        self.vcpu.pc = self.vcpu.pc.wrapping_add(4);
    }

    /// A call of firmware.
    fn call(&mut self) -> Result<Option<Ended>, String> {
        if self.traps.first_call == 0 {
            self.traps.first_call = self.vcpu.pc;
        }
        self.occasion();
        let [x0, x1, x2, x3, ..] = self.vcpu.x;
        match psci::decide(self.vcpu.esr as u16, [x0, x1, x2, x3], self.is_extended) {
            Call::Answer(answer) => self.vcpu.x[0] = answer as u64,
            Call::Start { target, .. } => {
                self.refused_cpus += 1;
                self.vcpu.x[0] = DENIED as u64;
                if self.refused_cpus == 1 {
                    let text = format!(
                        "CPU_ON of {target:#x} was answered DENIED: the witness carries one CPU; give nr_cpus=1"
                    );
                    let (severity, table, id) = (Severity::Note, "witness", "one-cpu");
                    telling::begin();
                    console::record(&Record::Finding { severity, table, id, offset: None, text: &text });
                }
            }
            Call::Forward => {
                self.traps.forwarded += 1;
                if let Some(x) = self.vcpu.x.first_chunk_mut() {
                    ask_firmware(x);
                }
            }
            Call::End(psci::Ended::Off) => return Ok(Some(Ended { how: 0, reason: String::new() })),
            Call::End(psci::Ended::Reset) => return Ok(Some(Ended { how: 1, reason: String::new() })),
        }
        self.step_over();
        Ok(None)
    }

    /// An access or a fetch that stage 2 did not let pass.
    fn abort(&mut self) -> Result<(), String> {
        let Vcpu { esr, far, hpfar, pc, .. } = self.vcpu;
        let is_fetch = esr >> 26 & 0x3F == INSTRUCTION_ABORT;
        if let Some(at) = abort::unmapped(esr, far, hpfar) {
            if self.map.fault(at)? {
                return Ok(());
            }
            let own = self.early.reached_for(at);
            if !own.is_empty() {
                return own.into_iter().try_for_each(|page| self.map.open(page));
            }
            if self.counting.reached_for(at) {
                return self.map.open(at);
            }
            if self.map.is_hidden(at) {
                return Err(format!(
                    "the kernel reached for {at:#x} at {pc:#x}: memory of the crashed image or of the witness"
                ));
            }
        }
        if is_fetch {
            return Err(format!("the kernel fetched instructions from {far:#x}, where it may not (ESR_EL2 {esr:#x})"));
        }
        let is_store = esr & WNR != 0;
        let config = abort::unmapped(esr, far, hpfar).filter(|at| is_store && self.counting.is_config(*at));
        let mut registers = kernel::registers(&self.vcpu);
        let mut at_trap = AtTrap::new(&self.vcpu);
        match carry_out([esr, far, hpfar], &mut registers, &mut at_trap, self.witness, self.hw) {
            Ok(()) => kernel::go_on(&mut self.vcpu, &registers),
            Err(Stopped::Refused(refused)) => {
                let at = at_trap.translate(far).unwrap_or(0);
                if !self.map.give_up(at)? {
                    return Err(format!("{refused}, at {pc:#x} to {at:#x}"));
                }
            }
            Err(stopped) => return Err(format!("{stopped}, at {pc:#x}")),
        }
        let moved = if config.is_some() { self.counting.configured(self.map.frames) } else { Vec::new() };
        for (old, new) in moved {
            self.map.open(old)?;
            self.map.close(new)?;
        }
        Ok(())
    }

    fn unknown(&self) -> String {
        let Vcpu { esr, pc, far, .. } = self.vcpu;
        let what = system::decode(esr).map_or_else(String::new, |system| system.to_string());
        format!("a trap that nobody expected at {pc:#x}: ESR_EL2 {esr:#x} FAR_EL2 {far:#x} {what}")
    }
}

/// Passes a call on, where there is firmware that takes it from EL2.
fn ask_firmware(x: &mut [u64; 18]) {
    match lost::conduit() {
        Conduit::Smc => power::forward(x),
        _ => x[0] = psci::NOT_SUPPORTED as u64,
    }
}
