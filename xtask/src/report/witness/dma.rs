//! What the streams' DMA did while a kernel took over, against the documentation of the sequence that it followed.
//!
//! From the moment when a stream has tables of the kernel's own its old DMA is nobody's any more: it may be refused, but where the
//! crashed kernel's translation led it must not land. And once the kernel has turned the SMMU off on its way out, GBPA decides.

use scenario::policy::{After, Expectation};
use smmu::access::SmmuIndex;
use smmu::checker::Profile;

use super::checks::{Case, Saw};
use super::seen::Attach;
use crate::report::collect::Cycle;
use crate::report::model::{Check, Endpoint, Stream, Verdict};

const PHASES: &str = "ARCHITECTURE.md, phases";
const ABSORBED: &str = "Chen v6 1/7: in-flight DMA is absorbed";

/// What the documentation of a profile says of DMA.
fn expectation(profile: Profile) -> Expectation {
    if profile.is_adoption() { Expectation::ADOPTED } else { Expectation::RESET }
}

/// Units of a stream at some instant, or between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Units {
    delivered: u64,
    blocked: Option<u64>,
    mis_steered: u64,
}

/// A stream, from the crash to the instant until which it is the takeover's.
struct Course<'a> {
    stream: &'a Stream,
    /// What became of it since the crash.
    until: Units,
    /// The same behind the takeover.
    after: Units,
    /// Delivered or mis-steered since its attach was complete; none where no two samples tell.
    stale: Option<u64>,
    /// Mis-steered since the SMMU was turned off; none where nobody looked any more.
    when_off: Option<u64>,
    attach: Option<Attach>,
    is_live_after: bool,
    /// What stopped its device meanwhile, such as the kernel's own driver.
    stopped_by: Option<String>,
    /// It does not answer any more where it did.
    is_lost: bool,
}

/// Running totals of a stream in the first sample from an instant on, or in the last up to it.
fn sample(cycle: &Cycle, bdf: &str, is: impl Fn(u64) -> bool, is_last: bool) -> Option<Units> {
    let mut own = cycle.samples.iter().filter(|(ticks, of, ..)| of == bdf && is(*ticks));
    let (_, _, delivered, blocked, mis_steered) = if is_last { own.next_back() } else { own.next() }?;
    Some(Units { delivered: *delivered, blocked: *blocked, mis_steered: *mis_steered })
}

impl Units {
    const fn of(phase: crate::report::counts::Phase) -> Self {
        Self { delivered: phase.delivered, blocked: phase.blocked, mis_steered: phase.mis_steered }
    }

    /// What is left without `other`; a count that one of both lacks is lacking in it.
    fn less(self, other: Self) -> Self {
        Self {
            delivered: self.delivered.saturating_sub(other.delivered),
            blocked: self.blocked.zip(other.blocked).map(|(all, other)| all.saturating_sub(other)),
            mis_steered: self.mis_steered.saturating_sub(other.mis_steered),
        }
    }

    const fn arrived(self) -> u64 {
        self.delivered.saturating_add(self.mis_steered)
    }

    /// Something was attempted, as far as one can see.
    fn moved(self) -> bool {
        self.arrived() > 0 || self.blocked.is_some_and(|blocked| blocked > 0)
    }
}

fn course<'a>(case: &Case<'_>, cycle: &Cycle, stream: &'a Stream) -> Course<'a> {
    let attach = case.attaches().into_iter().find(|attach| attach.stream == stream.stream_id);
    let bdf = &stream.bdf;
    let off =
        case.log.smmus().into_iter().filter_map(|smmu| case.log.shut_down(smmu)).map(|seen| seen.entry.ticks).min();
    let last = sample(cycle, bdf, |_| true, true);
    // What an attached stream does is no longer the takeover's; nor is what any does when the SMMU is off.
    let cut = attach.map(|attach| attach.begun).into_iter().chain(off).min();
    let at_cut = cut.and_then(|cut| sample(cycle, bdf, |ticks| ticks <= cut, true));
    let nothing = Units { blocked: Some(0), ..Units::default() };
    let later = at_cut.zip(last).map_or(nothing, |(cut, last)| last.less(cut));
    let attached = attach.and_then(|attach| sample(cycle, bdf, |ticks| ticks >= attach.done, false));
    let end = off.and_then(|off| sample(cycle, bdf, |ticks| ticks <= off, true)).or(last);
    let at_off = off.and_then(|off| sample(cycle, bdf, |ticks| ticks <= off, true));
    let later_off = off.and_then(|off| sample(cycle, bdf, |ticks| ticks > off, true));
    let (until, after) = (Units::of(stream.phases.since_crash()), Units::of(stream.phases.after));
    let requester = cycle.requesters.iter().find(|requester| requester.bdf == *bdf);
    let stopped_by = requester.and_then(|requester| Some(requester.stopped.as_ref()?.means.clone()));
    Course {
        stream,
        until: until.less(later),
        after: after.less(later),
        stale: attached.zip(end).map(|(from, to)| to.less(from).arrived()),
        when_off: at_off.zip(later_off).map(|(from, to)| to.less(from).mis_steered),
        attach,
        is_live_after: after.moved(),
        stopped_by,
        is_lost: requester.is_some_and(|requester| !requester.answers),
    }
}

/// Why nothing follows from a quiet stream; `dma.live-after` says whether it may be one.
const NONE_ATTEMPTED: &str = "no DMA was attempted after the takeover";

/// A verdict over all streams: the first that is not right.
fn each(courses: &[Course<'_>], judge: impl Fn(&Course<'_>) -> Option<String>) -> Saw {
    if courses.is_empty() {
        return Saw::not_covered("no live stream");
    }
    courses.iter().find_map(judge).map_or(Saw::PASS, Saw::fail)
}

/// Every check of DMA. Nothing is documented of a stream behind an SMMU on which the kernel followed no profile.
pub fn checks(case: &Case<'_>, cycle: &Cycle, endpoints: &[Endpoint]) -> Vec<Check> {
    let courses: Vec<_> = cycle.streams.iter().map(|stream| course(case, cycle, stream)).collect();
    let documented = |stream: &Stream| {
        let smmu = endpoints.iter().find(|endpoint| endpoint.bdf == stream.bdf).and_then(|endpoint| endpoint.smmu);
        let profile = smmu.map_or_else(|| case.profile(), |smmu| case.profile_of(SmmuIndex(smmu)));
        profile.map(expectation)
    };
    let of = |stream: &Stream| documented(stream).map(|expectation| expectation.of(stream.rmr));
    let any = |suffers: &dyn Fn(After, &Stream) -> bool| {
        cycle.streams.iter().any(|stream| of(stream).is_some_and(|after| suffers(after, stream)))
    };
    let fails_if = |condition| if condition { Verdict::Fail } else { Verdict::Pass };

    let before = each(&courses, |it| {
        let before = it.stream.phases.before;
        let is_right = before.delivered > 0 && before.mis_steered == 0 && before.blocked.unwrap_or(0) == 0;
        (!is_right).then(|| {
            let (delivered, mis_steered) = (before.delivered, before.mis_steered);
            format!("{}: {delivered} delivered, {mis_steered} mis-steered in phase before", it.stream.bdf)
        })
    });
    // A stream of which nothing is known after the takeover: where the kernel has stopped it that is so, and else nothing can be
    // said.
    let is_quiet = |it: &&Course<'_>| !it.is_live_after && it.attach.is_none();
    let live = match courses.iter().find(|it| is_quiet(it) && it.stopped_by.is_none()) {
        Some(it) => {
            let moved = if it.is_lost { ", and its registers are not where the crashed image had them" } else { "" };
            Saw::not_covered(format!("{}: no DMA attempted after the takeover{moved}", it.stream.bdf))
        }
        None if courses.iter().any(|it| !is_quiet(&it)) => Saw::PASS,
        None => match courses.iter().find_map(|it| it.stopped_by.as_ref()) {
            Some(means) => Saw::skip(&format!("every device was stopped, the first by {means}")),
            None => Saw::not_covered("no live stream"),
        },
    };
    let blocked = match courses.iter().all(|it| it.until.blocked.is_none()) {
        true => Saw::skip("no stream counts its attempts"),
        false => each(&courses, |it| {
            let count = it.until.blocked.filter(|count| *count > 0)?;
            Some(format!("{}: {count} blocked since the crash", it.stream.bdf))
        }),
    };
    let mis_steered = each(&courses, |it| {
        let count = Some(it.until.mis_steered).filter(|count| *count > 0)?;
        Some(format!("{}: {count} mis-steered since the crash", it.stream.bdf))
    });
    // Of a released kernel's reset RMR streams may bypass, or not: firmware's devicetree names none (facts: smmu-kdump.md 1.2).
    let strays =
        |it: &Course<'_>| it.until.mis_steered > 0 && !of(it.stream).is_some_and(|after| after == After::Untranslated);
    let may_stray = mis_steered.is_failure() && !courses.iter().any(strays);
    let delivered = each(&courses, |it| {
        let has_none = it.after.delivered == 0 && it.after.moved();
        has_none.then(|| format!("{}: nothing delivered after the takeover", it.stream.bdf))
    });
    // Nor is a delivery owed where nobody attempted one.
    let is_owed = courses.is_empty() || courses.iter().any(|it| it.after.moved());
    let delivered = if is_owed { delivered } else { Saw::skip(NONE_ATTEMPTED) };
    let loses = any(&|after, stream| !after.delivers(stream.rmr)) && delivered.is_failure();
    let is_counted = blocked.due() != Verdict::Skip;
    let refuses = any(&|after, _| after.blocks());
    let mut all = vec![
        before.check("dma.delivered-before", PHASES),
        live.check("dma.live-after", PHASES),
        blocked.expecting("dma.no-blocked", ABSORBED, if is_counted { fails_if(refuses) } else { Verdict::Skip }),
        mis_steered.expecting(
            "dma.no-mis-steer",
            "Chen v6 6/7: translated DMA must not turn physical",
            fails_if(may_stray),
        ),
        delivered.expecting("dma.delivered-after", ABSORBED, if is_owed { fails_if(loses) } else { Verdict::Skip }),
    ];
    all.push(blocks(&courses, &|stream| documented(stream).is_some_and(|expectation| expectation.resets)));
    all.push(off(case, &courses));
    all
}

/// The STEs of a reset refuse everything but RMR streams.
fn blocks(courses: &[Course<'_>], resets: &dyn Fn(&Stream) -> bool) -> Check {
    let plain = || courses.iter().filter(|it| resets(it.stream) && !it.stream.rmr);
    let saw = match () {
        () if !courses.iter().any(|it| resets(it.stream)) => Saw::skip("the kernel does not reset the SMMU"),
        () if plain().next().is_none() => Saw::skip("no stream is to be refused"),
        () if !plain().any(|it| it.is_live_after) => Saw::skip(NONE_ATTEMPTED),
        () => {
            let lands = plain().find(|it| it.after.delivered > 0);
            lands.map_or(Saw::PASS, |it| {
                let count = it.after.delivered;
                Saw::fail(format!(
                    "{}: {count} delivered after the takeover, through tables that are gone",
                    it.stream.bdf
                ))
            })
        }
    };
    saw.check("reset.blocks-dma", "Chen v6 1/7; IHI 0070 5.2, Config 0b000")
}

/// DMA that goes past an SMMU that the kernel has turned off: documented of one whose GBPA nobody set.
fn off(case: &Case<'_>, courses: &[Course<'_>]) -> Check {
    let saw = match case.is_shut_down() {
        false => Saw::skip("the kernel left the SMMU enabled"),
        true if courses.iter().all(|it| it.when_off.is_none()) => {
            Saw::skip("nobody looked at the streams from then on")
        }
        true => each(courses, |it| {
            let count = it.when_off.filter(|count| *count > 0)?;
            Some(format!("{}: {count} mis-steered after the kernel turned the SMMU off", it.stream.bdf))
        }),
    };
    let expected = match saw.is_failure() && case.has_adopted() {
        true => Verdict::Fail,
        false => saw.due(),
    };
    saw.expecting("dma.no-mis-steer-when-off", "IHI 0070 6.3.14; Linux, arm_smmu_device_shutdown()", expected)
}

/// What DMA shows of identifiers: it lands where the crashed kernel's translation led, after the stream was attached elsewhere.
pub enum Effect {
    /// So much does, of this stream.
    Stale(String),
    /// None does, and it was looked at.
    None,
    /// Nobody could see it.
    Unseen,
}

/// Of all attached streams the worst.
pub fn effect(case: &Case<'_>, cycle: &Cycle) -> Effect {
    let courses = || cycle.streams.iter().map(|stream| course(case, cycle, stream));
    let attached = || courses().filter_map(|it| it.attach.map(|attach| (it, attach)));
    let stale = attached().find_map(|(it, attach)| {
        let count = it.stale.filter(|count| *count > 0)?;
        let (bdf, place) = (&it.stream.bdf, case.log.place(attach.at));
        Some(format!("{bdf}: {count} landed in the crashed kernel's window after its STE was replaced, {place}: a stale translation"))
    });
    match stale {
        Some(text) => Effect::Stale(text),
        None if attached().any(|(it, _)| it.stale.is_some()) => Effect::None,
        None => Effect::Unseen,
    }
}
