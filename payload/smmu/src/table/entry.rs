//! The STEs and the CD that this image writes.

use crate::access::{Access, Barrier, SmmuIndex, Structure};
use crate::spec::cd::{CD_WORDS, Cd, Cd0, Cd1};
use crate::spec::registers::{Idr0, Idr1};
use crate::spec::ste::{Config, STE_WORDS, Ste, Ste0, Ste1, Ste2, Ste3};
use crate::translation::{Geometry, Httu, MAIR0, Translation};
use addr::PhysAddr;

/// Write-back, read- and write-allocate (STE.S1CIR, CD.IR0).
const WBRA: u8 = 1;
const OUTER_SHAREABLE: u8 = 2;
const INNER_SHAREABLE: u8 = 3;
/// STE.SHCFG: the incoming shareability.
const SHCFG_INCOMING: u8 = 1;
/// STE.S1DSS: transactions without a SubstreamID use CD 0.
const S1DSS_SSID0: u8 = 2;
/// SMMU_IDR0.STALL_MODEL: every fault stalls.
const STALL_FORCED: u8 = 2;

/// Terminates every transaction, without an event (5.2, Config 0b000).
pub const ABORT: Ste = {
    let mut ste = [0; STE_WORDS];
    ste[0] = Ste0::new().with_v(true).with_config(Config::ABORT.0).into_bits();
    ste
};

/// Passes every transaction untranslated. SHCFG exists only with IDR1.ATTR_TYPES_OVR, and is 0 elsewhere.
#[must_use]
pub const fn bypass_ste(idr1: Idr1) -> Ste {
    let mut ste = [0; STE_WORDS];
    ste[0] = Ste0::new().with_v(true).with_config(Config::BYPASS.0).into_bits();
    if idr1.attr_types_ovr() {
        ste[1] = Ste1::new().with_shcfg(SHCFG_INCOMING).into_bits();
    }
    ste
}

/// Stage 2 alone through the tables of this shape at `root`. Faults are recorded; everything else is as in [`bypass_ste`].
#[must_use]
pub const fn stage2_ste(idr1: Idr1, root: PhysAddr, geometry: Geometry, vmid: u16, coherent: bool) -> Ste {
    let mut ste = bypass_ste(idr1);
    ste[0] = Ste0::new().with_v(true).with_config(Config::S2.0).into_bits();
    let (cache, share) = walk_attributes(coherent);
    ste[2] = Ste2::new()
        .with_s2vmid(vmid)
        .with_s2t0sz(64 - geometry.input_bits())
        .with_s2sl0(geometry.s2sl0())
        .with_s2ir0(cache)
        .with_s2or0(cache)
        .with_s2sh0(share)
        .with_s2tg(geometry.granule().tg0())
        .with_s2ps(geometry.ips())
        .with_s2aa64(true)
        .with_s2r(true)
        .into_bits();
    ste[3] = Ste3::new().with_s2ttb_55_4(root.0 >> 4).into_bits();
    ste
}

/// Stage 1 through the one CD at `cd`, in the NS-EL1 regime (STRW 0).
///
/// S1CDMax is 0, so that S1Fmt and S1DSS are ignored. S1DSS is what Linux writes all the same: where a crashed image left another
/// value, Linux attaches through V=0 what else is one store. S1STALLD stays 0: the CD asks for no stalls, and 1 is illegal
/// where STALL_MODEL is not 0b00.
#[must_use]
pub const fn stage1_ste(cd: PhysAddr, coherent: bool) -> Ste {
    let mut ste = [0; STE_WORDS];
    ste[0] = Ste0::new().with_v(true).with_config(Config::S1.0).with_s1contextptr(cd.0).into_bits();
    let (cache, share) = walk_attributes(coherent);
    ste[1] = Ste1::new().with_s1dss(S1DSS_SSID0).with_s1cir(cache).with_s1cor(cache).with_s1csh(share).into_bits();
    ste
}

/// A CD for `tables` (5.4). Faults abort and are recorded: without A some SMMUs refuse the CD (IDR0.TERM_MODEL),
/// without R they say nothing.
#[must_use]
pub const fn context_descriptor(tables: &Translation, asid: u16, idr0: Idr0, coherent: bool) -> Cd {
    let geometry = tables.geometry();
    let (cache, share) = walk_attributes(coherent);
    let mut cd = [0; CD_WORDS];
    cd[0] = Cd0::new()
        .with_t0sz(64 - geometry.input_bits())
        .with_tg0(geometry.granule().tg0())
        .with_ir0(cache)
        .with_or0(cache)
        .with_sh0(share)
        .with_epd1(true)
        .with_v(true)
        .with_ips(geometry.ips())
        .with_aa64(true)
        // 5.5: where stalls are forced, a CD that does not ask for them is illegal.
        .with_s(idr0.stall_model() == STALL_FORCED)
        .with_r(true)
        .with_a(true)
        // The ASID is not shared with the CPUs, whose TLB maintenance must not touch it.
        .with_aset(true)
        .with_asid(asid)
        .into_bits();
    cd[1] = Cd1::new().with_ttb0(tables.root().0).into_bits();
    cd[3] = MAIR0 as u64;
    cd
}

/// The same with hardware updates in the tables (CD.HA, CD.HD). Illegal where IDR0.HTTU does not have them (5.4); only for
/// tables that are read write-back and shareable, elsewhere an update may fail or not be atomic (5.4, IR0).
#[must_use]
pub const fn updating(mut cd: Cd, httu: Httu) -> Cd {
    cd[0] = Cd0::from_bits(cd[0]).with_ha(true).with_hd(matches!(httu, Httu::AccessAndDirty)).into_bits();
    cd
}

/// Writes a CD to fresh memory: the word with V last. The STE that leads to it is published, and invalidated, after it.
pub fn write_cd(hw: &mut dyn Access, smmu: SmmuIndex, at: PhysAddr, cd: &Cd) {
    for (word, index) in cd.iter().zip(0..).skip(1) {
        hw.store(smmu, Structure::Cd, at.plus(index * 8), *word);
    }
    hw.barrier(Barrier::PublishStructure);
    hw.store(smmu, Structure::Cd, at, cd[0]);
    hw.barrier(Barrier::PublishStructure);
}

/// Cacheability and shareability of the SMMU's own reads; without coherency non-cacheable, which is outer shareable.
const fn walk_attributes(coherent: bool) -> (u8, u8) {
    if coherent { (WBRA, INNER_SHAREABLE) } else { (0, OUTER_SHAREABLE) }
}
