//! What the streams' DMA did while a kernel took over, against the documentation of the sequence that it followed.
//!
//! From the moment when a stream has tables of the kernel's own its old DMA is nobody's any more: it may be refused, but where the
//! crashed kernel's translation led it must not land. And once the kernel has turned the SMMU off on its way out, GBPA decides.

use scenario::policy::{After, Expectation};
use smmu::access::SmmuIndex;
use smmu::checker::Profile;

use super::checks::Case;
use super::saw::Saw;
use super::seen::Attach;
use crate::report::collect::Cycle;
use crate::report::model::{Check, Endpoint, Stream, Verdict};
use crate::report::protocol::OVERFLOWED;

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
    /// By the machine's tables; none where these do not say.
    smmu: Option<SmmuIndex>,
    /// What became of it since the crash.
    until: Units,
    /// The same behind the takeover.
    after: Units,
    /// Delivered or mis-steered since its attach was complete; none where no two samples tell.
    stale: Option<u64>,
    /// Mis-steered since the log was full.
    unexplained: u64,
    /// Mis-steered since the SMMU was turned off; none where nobody looked any more.
    when_off: Option<u64>,
    attach: Option<Attach>,
    /// What ends its takeover, in words.
    cut_by: &'static str,
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

fn course<'a>(case: &Case<'_>, cycle: &Cycle, endpoints: &[Endpoint], stream: &'a Stream) -> Course<'a> {
    let bdf = &stream.bdf;
    let smmu = endpoints.iter().find(|endpoint| endpoint.bdf == *bdf).and_then(|endpoint| endpoint.smmu);
    let smmu = smmu.map(SmmuIndex);
    let is_its = |of: &SmmuIndex| smmu.is_none_or(|smmu| smmu == *of);
    let attach = case.attaches().into_iter().find(|attach| attach.is_of(stream.stream_id) && is_its(&attach.smmu));
    let own = case.log.smmus().into_iter().filter(is_its);
    let off = own.filter_map(|smmu| case.log.shut_down(smmu)).map(|seen| seen.entry.ticks).min();
    let last = sample(cycle, bdf, |_| true, true);
    // What an attached stream does is no longer the takeover's; nor is what any does when the SMMU is off, or may be.
    let unknown = case.missing.from.filter(|_| off.is_none());
    let cuts = [
        (attach.map(|attach| attach.begun), ", up to its attach"),
        (off, ", up to where the kernel turned the SMMU off"),
        (unknown, ", up to where the log is full"),
    ];
    let first = cuts.iter().filter_map(|(at, by)| Some(((*at)?, *by))).min_by_key(|(at, _)| *at);
    let (cut, cut_by) = first.map_or((None, ""), |(at, by)| (Some(at), by));
    let at_cut = cut.and_then(|cut| sample(cycle, bdf, |ticks| ticks <= cut, true));
    let nothing = Units { blocked: Some(0), ..Units::default() };
    let later = at_cut.zip(last).map_or(nothing, |(cut, last)| last.less(cut));
    let attached =
        attach.and_then(|attach| attach.done).and_then(|done| sample(cycle, bdf, |ticks| ticks >= done, false));
    let end = off.and_then(|off| sample(cycle, bdf, |ticks| ticks <= off, true)).or(last);
    let at_off = off.and_then(|off| sample(cycle, bdf, |ticks| ticks <= off, true));
    let later_off = off.and_then(|off| sample(cycle, bdf, |ticks| ticks > off, true));
    let (until, after) = (Units::of(stream.phases.since_crash()), Units::of(stream.phases.after));
    let requester = cycle.requesters.iter().find(|requester| requester.bdf == *bdf);
    let stopped_by = requester.and_then(|requester| Some(requester.stopped.as_ref()?.means.clone()));
    Course {
        stream,
        smmu,
        until: until.less(later),
        after: after.less(later),
        stale: attached.zip(end).map(|(from, to)| to.less(from).arrived()),
        unexplained: unknown
            .and_then(|from| sample(cycle, bdf, |ticks| ticks <= from, true))
            .zip(last)
            .map_or(0, |(from, to)| to.less(from).mis_steered),
        when_off: at_off.zip(later_off).map(|(from, to)| to.less(from).mis_steered),
        attach,
        cut_by,
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

/// The same with what is expected: the first stream that is not right and is not documented to be so, or one that is.
fn each_unless(
    courses: &[Course<'_>],
    judge: impl Fn(&Course<'_>) -> Option<String>,
    is_documented: impl Fn(&Course<'_>) -> bool,
) -> (Saw, Verdict) {
    let saw = each(courses, |it| judge(it).filter(|_| !is_documented(it)));
    if !saw.is_pass() {
        return (saw, Verdict::Pass);
    }
    let saw = each(courses, judge);
    let expected = if saw.is_failure() { Verdict::Fail } else { Verdict::Pass };
    (saw, expected)
}

/// Every check of DMA. Nothing is documented of a stream behind an SMMU on which the kernel followed no profile.
pub fn checks(case: &Case<'_>, cycle: &Cycle, endpoints: &[Endpoint]) -> Vec<Check> {
    let courses: Vec<_> = cycle.streams.iter().map(|stream| course(case, cycle, endpoints, stream)).collect();
    let documented = |it: &Course<'_>| {
        let profile = it.smmu.map_or_else(|| case.profile(), |smmu| case.profile_of(smmu));
        profile.map(expectation)
    };

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
    let of = |it: &Course<'_>| documented(it).map(|expectation| expectation.of(it.stream.rmr));
    let refuses = |it: &Course<'_>| of(it).is_some_and(After::blocks);
    // Of a released kernel's reset RMR streams may bypass, or not: firmware's devicetree names none (facts: smmu-kdump.md 1.2).
    let resets = |it: &Course<'_>| documented(it).is_some_and(|expectation| expectation.resets);
    // What a reset refuses of a device that does not count its attempts nobody sees.
    let is_unseen = |it: &Course<'_>| it.after.blocked.is_none() && (resets(it) || refuses(it));
    let live = match courses.iter().find(|it| is_quiet(it) && it.stopped_by.is_none() && !is_unseen(it)) {
        Some(it) => {
            let moved = if it.is_lost { ", and its registers are not where the crashed image had them" } else { "" };
            Saw::not_covered(format!("{}: no DMA attempted after the takeover{moved}", it.stream.bdf))
        }
        None if courses.iter().any(|it| !is_quiet(&it)) => Saw::PASS,
        None if courses.iter().any(is_unseen) => {
            Saw::skip("what was refused of the streams cannot be seen: none of their devices counts its attempts")
        }
        None => match courses.iter().find_map(|it| it.stopped_by.as_ref()) {
            Some(means) => Saw::skip(&format!("every device was stopped, the first by {means}")),
            None => Saw::not_covered("no live stream"),
        },
    };
    let is_counted = courses.iter().any(|it| it.until.blocked.is_some()) || courses.is_empty();
    let refused = |it: &Course<'_>| {
        let count = it.until.blocked.filter(|count| *count > 0)?;
        Some(format!("{}: {count} blocked since the crash{}", it.stream.bdf, it.cut_by))
    };
    let blocked = match is_counted {
        true => each_unless(&courses, refused, |it| resets(it) || refuses(it)),
        false => (Saw::skip("no stream counts its attempts"), Verdict::Skip),
    };
    // `witness.counts-whole` comes in the end.
    let has_end = cycle.kernel.as_ref().is_some_and(|told| told.end.is_some());
    let blocked = match blocked {
        (saw, Verdict::Pass) if saw.is_failure() && !has_end => {
            (saw.doubted("without an end nobody says whether each sample came in time"), Verdict::Pass)
        }
        blocked => blocked,
    };
    // That a reset refuses nothing is not as documented either.
    let blocked = match blocked {
        (saw, Verdict::Pass) if !saw.is_failure() && courses.iter().any(refuses) => (saw, Verdict::Fail),
        blocked => blocked,
    };
    let strayed = |it: &Course<'_>| {
        let count = Some(it.until.mis_steered).filter(|count| *count > 0)?;
        Some(format!("{}: {count} mis-steered since the crash{}", it.stream.bdf, it.cut_by))
    };
    let mis_steered = each_unless(&courses, strayed, |it| of(it).is_some_and(|after| after == After::Untranslated));
    let unexplained = courses.iter().find(|it| it.unexplained > 0).filter(|_| mis_steered.0.is_pass());
    let mis_steered = match unexplained {
        Some(Course { stream, unexplained, .. }) => {
            let reason = format!("{}: {unexplained} mis-steered after {OVERFLOWED}", stream.bdf);
            (Saw::not_covered(reason), mis_steered.1)
        }
        None => mis_steered,
    };
    let lost = |it: &Course<'_>| {
        let has_none = it.after.delivered == 0 && it.after.moved();
        has_none.then(|| format!("{}: nothing delivered after the takeover", it.stream.bdf))
    };
    // Nor is a delivery owed where nobody attempted one.
    let is_owed = courses.is_empty() || courses.iter().any(|it| it.after.moved());
    let delivered = match is_owed {
        true => {
            each_unless(&courses, lost, |it| resets(it) || of(it).is_some_and(|after| !after.delivers(it.stream.rmr)))
        }
        false => (Saw::skip(NONE_ATTEMPTED), Verdict::Skip),
    };
    const STEERED: &str = "Chen v6 6/7: translated DMA must not turn physical";
    let checked = |id, source, (saw, expected): (Saw, Verdict)| saw.expecting(id, source, expected);
    let mut all = vec![
        before.check("dma.delivered-before", PHASES),
        live.check("dma.live-after", PHASES),
        checked("dma.no-blocked", ABSORBED, blocked),
        checked("dma.no-mis-steer", STEERED, mis_steered),
        checked("dma.delivered-after", ABSORBED, delivered),
    ];
    all.push(blocks(&courses, &resets));
    all.push(off(case, &courses));
    all
}

/// The STEs of a reset refuse everything but RMR streams.
fn blocks(courses: &[Course<'_>], resets: &dyn Fn(&Course<'_>) -> bool) -> Check {
    let plain = || courses.iter().filter(|it| resets(it) && !it.stream.rmr);
    let saw = match () {
        () if !courses.iter().any(resets) => Saw::skip("the kernel does not reset the SMMU"),
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
    let strays = |it: &&Course<'_>| it.when_off.is_some_and(|count| count > 0);
    let saw = match case.is_shut_down() {
        false => Saw::skip("the kernel left the SMMU enabled"),
        true if courses.iter().all(|it| it.when_off.is_none()) => {
            Saw::skip("nobody looked at the streams from then on")
        }
        true => each(courses, |it| {
            let count = it.when_off.filter(|_| strays(&it))?;
            Some(format!("{}: {count} mis-steered after the kernel turned the SMMU off", it.stream.bdf))
        }),
    };
    // A reset leaves GBPA.ABORT set.
    let was_adopted = |it: &Course<'_>| it.smmu.map_or_else(|| case.has_adopted(), |smmu| case.adopts(smmu));
    let expected = match saw.is_failure() && courses.iter().filter(strays).all(was_adopted) {
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
pub fn effect(case: &Case<'_>, cycle: &Cycle, endpoints: &[Endpoint]) -> Effect {
    let courses = || cycle.streams.iter().map(|stream| course(case, cycle, endpoints, stream));
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
