//! The kernel runs, and traps: each one is carried out, counted and told, until the kernel ends.

use crate::{
    counting::Counting,
    cpus::{self, Cpus},
    early::Early,
    kernel::{self, AtTrap},
    map::Map,
    registers,
    telling::Telling,
};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use arch::{
    bus::Smmus,
    cpu,
    el1::{Cause, Vcpu},
    lost,
    power::{self, Conduit},
    stage2::Guest,
    timer,
};
use core::mem;
use witness::{
    carry_out::{Done, Kernel, Stopped, carry_out},
    psci::{self, Call},
    trap::{abort, interrupts, system},
    watch::Witness,
};

/// ESR_EL2.EC of what a kernel does at EL1 and EL0.
const WFX: u64 = 0x01;
const HVC: u64 = 0x16;
/// WFIT X0 (DDI 0487, C6.2): an instruction word, of which bits 4:0 are the register.
const WFIT: u32 = 0xD503_1020;
const SMC: u64 = 0x17;
/// ESR_EL2.WnR of a data abort.
const WNR: u64 = 1 << 6;
const INSTRUCTION_ABORT: u64 = 0x20;
/// PSCI_FEATURES, and CPU_SUSPEND as its argument (DEN 0022, 5.15).
const FEATURES: u64 = 0x8400_000A;
const CPU_SUSPEND: u64 = 0xC400_0001;
/// Loops of exclusives that may be left unfinished in a row: interrupts end one now and then.
const RETRIES: u32 = 16;
/// CPU_OFF (5.5).
const CPU_OFF: u32 = 0x8400_0002;

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

/// What a CPU does after a trap.
pub(crate) enum Next {
    /// Back to the kernel.
    GoOn,
    /// The same, when something has happened.
    Idle,
    /// The same, when firmware has answered.
    Forward,
    /// CPU_OFF.
    Off,
    /// The kernel ends by this trap.
    End(Ended),
    /// It has ended.
    Over,
}

/// All that is at work while the kernel runs.
pub(crate) struct Watch<'a, 'c> {
    /// Of the CPU whose trap is handled; in the end, of the one that the kernel ended on.
    pub(crate) vcpu: Vcpu,
    pub(crate) hw: &'a mut Smmus,
    pub(crate) witness: &'a mut Witness,
    pub(crate) counting: &'a mut Counting<'c>,
    pub(crate) map: Map<'a>,
    pub(crate) telling: Telling,
    pub(crate) early: Early,
    pub(crate) traps: Traps,
    pub(crate) cpus: Cpus,
    /// How the kernel ended, and that it did.
    pub(crate) ended: Option<Ended>,
    pub(crate) is_over: bool,
    /// Power states are in the extended format.
    is_extended: bool,
    /// Loops of exclusives that were left in a row.
    retries: u32,
}

impl<'a, 'c> Watch<'a, 'c> {
    /// Everything but the first step.
    pub(crate) fn new(
        cpus: Cpus,
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
        let (vcpu, traps) = (Vcpu::starting(0, 0), Traps::default());
        let (ended, is_over) = (None, false);
        Self { vcpu, hw, witness, counting, map, telling, early, traps, cpus, ended, is_over, is_extended, retries: 0 }
    }

    /// A CPU has trapped with these registers.
    pub(crate) fn handle(&mut self, vcpu: &mut Vcpu, cause: Cause) -> Next {
        if self.is_over {
            return Next::Over;
        }
        mem::swap(&mut self.vcpu, vcpu);
        let began = timer::now();
        self.traps.all = self.traps.all.saturating_add(1);
        self.witness.running_on(cpu::affinity());
        let known = self.witness.log().entries().len();
        let next = self.trap(cause).and_then(|next| self.follow(known, began).map(|()| next));
        self.traps.cost = self.traps.cost.saturating_add(timer::now() - began);
        let next = next.unwrap_or_else(|reason| Next::End(Ended::stopped(reason)));
        if !matches!(next, Next::End(_)) {
            mem::swap(&mut self.vcpu, vcpu);
        }
        next
    }

    /// No CPU goes on.
    pub(crate) fn end(&mut self, ended: Ended) {
        (self.ended, self.is_over) = (Some(ended), true);
        if self.cpus.are_several() {
            self.map.close_all();
            cpus::wake(self.cpus.others());
        }
    }

    fn trap(&mut self, cause: Cause) -> Result<Next, String> {
        let Vcpu { esr, pc, .. } = self.vcpu;
        if cause == Cause::Interrupt {
            self.early.interrupt();
            self.occasion();
            return Ok(Next::GoOn);
        }
        if cause != Cause::Synchronous {
            return Err(format!("an exception that is none of EL2's ({cause:?}) at {pc:#x}"));
        }
        match esr >> 26 & 0x3F {
            WFX => {
                // One with an end is a hint, and the kernel looks at the clock itself. By the instruction: not every emulator has
                // ESR_EL2.TI.
                let word = self.at_trap().instruction(pc);
                self.visit();
                return Ok(if word.is_some_and(|word| word & !0x1F == WFIT) { Next::GoOn } else { Next::Idle });
            }
            HVC => return Ok(self.hypercall()),
            SMC => return self.call(),
            abort::DATA_ABORT | INSTRUCTION_ABORT => return self.abort(),
            system::SYSTEM => self.system()?,
            _ => return Err(self.unknown()),
        }
        Ok(Next::GoOn)
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
        let Self { witness, counting, map, telling, vcpu, traps, .. } = self;
        let mut is_taken = false;
        for seen in witness.log().entries().get(known..).unwrap_or_default() {
            is_taken |= counting.follow(seen);
        }
        if let Some(seen) = witness.take_beyond() {
            is_taken |= counting.follow(&seen);
        }
        map.follow(witness)?;
        telling.add(witness.log().entries(), timer::now() - began);
        if is_taken {
            telling.tell_taken(witness, counting);
        } else if telling.is_late(witness) {
            telling.visit(witness, counting, vcpu.pc, traps);
        }
        counting.look();
        // A look may have used the timer.
        self.early.arm();
        Ok(())
    }

    /// A CPU is idle.
    fn visit(&mut self) {
        self.traps.visits = self.traps.visits.saturating_add(1);
        self.step_over();
        self.occasion();
    }

    /// Looks while a CPU is idle at `pc`: whether it has to look again.
    pub(crate) fn look_idle(&mut self, pc: u64) -> bool {
        let is_needed = self.counting.is_needed();
        if is_needed {
            self.counting.look();
            self.telling.visit(self.witness, self.counting, pc, &self.traps);
        }
        is_needed
    }

    /// Tells, if there is something to tell.
    fn occasion(&mut self) {
        self.telling.visit(self.witness, self.counting, self.vcpu.pc, &self.traps);
    }

    fn step_over(&mut self) {
        self.vcpu.pc = self.vcpu.pc.wrapping_add(4);
        kernel::behind(&mut self.vcpu);
    }

    /// Keeps where the first call of firmware stands: by that names are found for addresses.
    const fn first_call(&mut self, pc: u64) {
        if self.traps.first_call == 0 {
            self.traps.first_call = pc;
        }
    }

    /// A call of a hypervisor: nobody answers but the firmware below. Where there is none, the devicetree says that this is PSCI.
    fn hypercall(&mut self) -> Next {
        let [x0, x1, x2, x3, ..] = self.vcpu.x;
        let call = if lost::conduit() == Conduit::None {
            // The kernel goes on behind the instruction.
            self.first_call(self.vcpu.pc.wrapping_sub(4));
            psci::alone(self.vcpu.esr as u16, [x0, x1, x2, x3])
        } else {
            Call::Answer(psci::NOT_SUPPORTED)
        };
        match call {
            Call::End(ended) => return end(ended),
            Call::Answer(answer) => self.vcpu.x[0] = answer as u64,
            // It is never forwarded.
            Call::Forward | Call::Start { .. } => {}
        }
        Next::GoOn
    }

    /// A call of firmware.
    fn call(&mut self) -> Result<Next, String> {
        self.first_call(self.vcpu.pc);
        self.occasion();
        let [x0, x1, x2, x3, ..] = self.vcpu.x;
        match psci::decide(self.vcpu.esr as u16, [x0, x1, x2, x3], self.is_extended) {
            Call::Forward if psci::function(x0) == CPU_OFF => {
                if !self.cpus.are_several() {
                    return Err("the kernel turned off its only CPU".into());
                }
                if self.cpus.is_first() {
                    self.cpus.first_goes_off();
                }
                return Ok(Next::Off);
            }
            Call::Forward if let Some(answer) = self.cpus.info(psci::function(x0), x1, x2) => {
                self.vcpu.x[0] = answer as u64;
            }
            Call::Answer(answer) => self.vcpu.x[0] = answer as u64,
            Call::Start { target, entry, context, .. } => self.vcpu.x[0] = self.start(target, entry, context)? as u64,
            Call::Forward => {
                self.traps.forwarded += 1;
                self.step_over();
                return Ok(Next::Forward);
            }
            Call::End(ended) => return Ok(end(ended)),
        }
        self.step_over();
        Ok(Next::GoOn)
    }

    /// CPU_ON; the answer.
    fn start(&mut self, target: u64, entry: u64, context: u64) -> Result<i64, String> {
        let is_first = !self.cpus.are_several();
        let answer = self.cpus.start(target, entry, context);
        if is_first && self.cpus.are_several() {
            // The time before was one CPU's.
            self.early.leave().into_iter().try_for_each(|page| self.map.open(page))?;
            // While one CPU tells, another may not write to the console.
            if let Some(console) = self.cpus.console() {
                self.map.close(console)?;
            }
        }
        Ok(answer)
    }

    /// An access or a fetch that stage 2 did not let pass.
    fn abort(&mut self) -> Result<Next, String> {
        let Vcpu { esr, far, hpfar, pc, .. } = self.vcpu;
        let is_fetch = esr >> 26 & 0x3F == INSTRUCTION_ABORT;
        if self.cpus.are_several() && self.was_another_cpu(is_fetch) {
            return Ok(Next::GoOn);
        }
        if let Some(at) = abort::unmapped(esr, far, hpfar) {
            if self.map.fault(at)? {
                return Ok(Next::GoOn);
            }
            let own = self.early.reached_for(at);
            if !own.is_empty() {
                return own.into_iter().try_for_each(|page| self.map.open(page)).map(|()| Next::GoOn);
            }
            if self.counting.reached_for(at) {
                return self.map.open(at).map(|()| Next::GoOn);
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
        let is_alone = !self.cpus.are_several();
        let mut at_trap = AtTrap::new(&mut self.vcpu, &mut self.map, is_alone);
        // The loop of an exclusive may have another trap in it, which comes then.
        let (done, left) =
            (carry_out([esr, far, hpfar], &mut registers, &mut at_trap, self.witness, self.hw), at_trap.left);
        match done {
            Ok(done) => {
                kernel::go_on(&mut self.vcpu, &registers);
                self.retries = if done == Done::Retried { self.retries + 1 } else { 0 };
                if self.retries > RETRIES {
                    self.retries = 0;
                    self.give_up(far, format!("a loop of exclusives does not come round, at {pc:#x}"))?;
                }
            }
            Err(Stopped::Refused(refused)) => self.give_up(far, format!("{refused}, at {pc:#x}"))?,
            Err(Stopped::Unmapped(_)) => self.leave(far)?,
            // Another CPU may be about to change the kernel's own map, which breaks before it makes: then it comes here again, or not.
            Err(Stopped::Nowhere(_) | Stopped::NoInstruction(_)) if !is_alone && self.retries < RETRIES => {
                self.retries += 1;
            }
            Err(stopped) => return Err(format!("{stopped}, at {pc:#x}")),
        }
        let moved = if config.is_some() { self.counting.configured(self.map.frames) } else { Vec::new() };
        for (old, new) in moved {
            self.map.open(old)?;
            self.map.close(new)?;
        }
        left.map_or(Ok(Next::GoOn), |cause| self.trap(cause))
    }

    /// The kernel at the trap that is handled.
    const fn at_trap(&mut self) -> AtTrap<'_, 'a> {
        AtTrap::new(&mut self.vcpu, &mut self.map, false)
    }

    /// Leaves the page to the kernel, if it has a table: what is stored there is not seen from here on.
    fn give_up(&mut self, address: u64, reason: String) -> Result<(), String> {
        let at = self.at_trap().translate(address).unwrap_or(0);
        if self.map.give_up(at)? { Ok(()) } else { Err(format!("{reason} to {at:#x}")) }
    }

    /// Leaves the page to the kernel, as it is nobody's whom EL2 knows.
    fn leave(&mut self, address: u64) -> Result<(), String> {
        let at = self.at_trap().translate(address).unwrap_or(0);
        if self.map.give_up(at)? { Ok(()) } else { self.map.open(at) }
    }

    /// What did not let an access pass does so by now: another CPU's trap changed the map meanwhile.
    fn was_another_cpu(&mut self, is_fetch: bool) -> bool {
        let Vcpu { esr, far, hpfar, .. } = self.vcpu;
        let unmapped = abort::unmapped(esr, far, hpfar);
        let at = unmapped.or_else(|| self.at_trap().translate(far));
        at.is_some_and(|at| match self.map.allowed(at) {
            Guest::Open => true,
            Guest::ReadOnly => is_fetch && unmapped.is_some(),
            Guest::Closed => false,
        })
    }

    fn unknown(&self) -> String {
        let Vcpu { esr, pc, far, .. } = self.vcpu;
        let what = system::decode(esr).map_or_else(String::new, |system| system.to_string());
        format!("a trap that nobody expected at {pc:#x}: ESR_EL2 {esr:#x} FAR_EL2 {far:#x} {what}")
    }
}

/// The kernel ends itself.
const fn end(ended: psci::Ended) -> Next {
    let how = match ended {
        psci::Ended::Off => 0,
        psci::Ended::Reset => 1,
    };
    Next::End(Ended { how, reason: String::new() })
}

/// Passes a call on, where there is firmware that takes it from EL2.
pub(crate) fn ask_firmware(x: &mut [u64; 18]) {
    match lost::conduit() {
        Conduit::Smc => power::forward(x),
        _ => x[0] = psci::NOT_SUPPORTED as u64,
    }
}
