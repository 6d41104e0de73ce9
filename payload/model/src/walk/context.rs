//! From an STE and a SubstreamID to the CD (IHI 0070, 3.3.3, 5.3, 5.4).

use super::Fault;
use super::stages::Stage2;
use super::stream::{fetch, mixed};
use crate::bus::Bus;
use crate::choice::Freedom;
use crate::unit::{Unit, cache_put};
use addr::PhysAddr;
use smmu::spec::cd::{CD_BYTES, Cd, Cd0, L1Cd, LEAF_4K_CDS, LEAF_64K_CDS};
use smmu::spec::event::id;
use smmu::spec::ste::{Config, Ste, Ste0, Ste1};

/// Which CD a transaction uses; `None` where stage 1 is passed by (5.2, S1DSS).
pub(super) fn substream(unit: &Unit, ste: &Ste, substream: Option<u32>) -> Result<Option<u32>, Fault> {
    let (ste0, ste1) = (Ste0::from(ste[0]), Ste1::from(ste[1]));
    if !Config(ste0.config()).has_s1() {
        // A SubstreamID without stage 1 is one too many, where the SMMU has any.
        return match substream {
            Some(_) if unit.hardware.idr1.ssidsize() > 0 => Err(Fault::plain(id::C_BAD_SUBSTREAMID)),
            _ => Ok(None),
        };
    }
    let max = ste0.s1cdmax();
    match (substream, max, ste1.s1dss()) {
        (None, 0, _) => Ok(Some(0)),
        (None, _, 1) => Ok(None),
        (None, _, 2) => Ok(Some(0)),
        (None, ..) => Err(Fault::plain(id::F_STREAM_DISABLED)),
        (Some(_), 0, _) => Err(Fault::plain(id::C_BAD_SUBSTREAMID)),
        (Some(ssid), ..) if u64::from(ssid) >> max != 0 => Err(Fault::plain(id::C_BAD_SUBSTREAMID)),
        // CD 0 belongs to transactions without SubstreamID.
        (Some(0), _, 2) => Err(Fault::plain(id::F_STREAM_DISABLED)),
        (Some(ssid), ..) => Ok(Some(ssid)),
    }
}

/// The CD: cached, fetched anew, or a mixture, as with the STE.
pub(super) fn cd(
    unit: &mut Unit,
    bus: &mut Bus,
    sid: u32,
    ssid: u32,
    ste: &Ste,
    stage2: Option<&Stage2>,
) -> Result<Cd, Fault> {
    let qemu = unit.hardware.personality.is_qemu();
    let cached = unit.caches.cd.iter().find(|(known, _)| *known == (sid, ssid)).map(|(_, cd)| *cd);
    if let Some((_, cd)) = cached
        && (qemu || bus.choices.pick(Freedom::ConfigEviction, 2) == 0)
    {
        return check(unit, &cd).map(|()| cd);
    }
    let at = locate(bus, ssid, ste, stage2)?;
    let fetched = fetch(bus, at).ok_or(Fault { id: id::F_CD_FETCH, stage2: false, class: 0, address: at.0 })?;
    let cd = mixed(bus, fetched, cached.filter(|(known, _)| *known == at));
    let checked = check(unit, &cd);
    if !qemu || checked.is_ok() {
        cache_put(&mut unit.caches.cd, (sid, ssid), (at, cd));
    }
    checked.map(|()| cd)
}

fn locate(bus: &mut Bus, ssid: u32, ste: &Ste, stage2: Option<&Stage2>) -> Result<PhysAddr, Fault> {
    let ste0 = Ste0::from(ste[0]);
    let count = 1_u64 << ste0.s1cdmax();
    // Under nesting the pointers are intermediate addresses (3.3.3).
    let resolve = |bus: &mut Bus, address: u64| match stage2 {
        None => Ok(PhysAddr(address)),
        Some(stage2) => stage2.pointer(bus, address, 0),
    };
    let leaf = match ste0.s1fmt() {
        1 if count > 1 => LEAF_4K_CDS,
        2 if count > 1 => LEAF_64K_CDS,
        _ => {
            let base = ste0.s1contextptr() & !(count * CD_BYTES - 1);
            return resolve(bus, base + u64::from(ssid) * CD_BYTES);
        }
    };
    let level1 = ste0.s1contextptr() & !((count.div_ceil(leaf) * 8).max(64) - 1);
    let at = resolve(bus, level1 + u64::from(ssid) / leaf * 8)?;
    let word = bus.fetch(at).ok_or(Fault { id: id::F_CD_FETCH, stage2: false, class: 0, address: at.0 })?;
    let descriptor = L1Cd::from(word);
    if !descriptor.v() {
        return Err(Fault::plain(id::C_BAD_SUBSTREAMID));
    }
    let base = descriptor.l2ptr() & !(leaf * CD_BYTES - 1);
    resolve(bus, base + u64::from(ssid) % leaf * CD_BYTES)
}

/// Is the CD one that this SMMU can use (5.4)?
fn check(unit: &Unit, cd: &Cd) -> Result<(), Fault> {
    let (idr0, idr5) = (unit.hardware.idr0, unit.hardware.idr5);
    let cd0 = Cd0::from(cd[0]);
    let granule = |tg: u8, upper: bool| match (tg, upper) {
        (0, false) | (2, true) => idr5.gran4k(),
        (1, false) | (3, true) => idr5.gran64k(),
        (2, false) | (1, true) => idr5.gran16k(),
        _ => false,
    };
    let size = |tsz: u8| (12..=39).contains(&tsz);
    let wrong = !cd0.v()
        || !cd0.aa64()
        || !cd0.epd0() && (!granule(cd0.tg0(), false) || !size(cd0.t0sz()))
        || !cd0.epd1() && (!granule(cd0.tg1(), true) || !size(cd0.t1sz()))
        || idr0.term_model() && !cd0.a()
        || idr0.stall_model() == 1 && cd0.s()
        || idr0.stall_model() == 2 && !cd0.s()
        || cd0.ha() && idr0.httu() == 0
        || cd0.hd() && idr0.httu() < 2
        || cd0.endi() && idr0.ttendian() == 2
        || !cd0.endi() && idr0.ttendian() == 3;
    if wrong { Err(Fault::plain(id::C_BAD_CD)) } else { Ok(()) }
}
