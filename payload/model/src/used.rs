//! Which bits of an STE the SMMU uses: two STEs that agree in them are the same to it (IHI 0070, 5.2).

use smmu::spec::ste::{Config, STE_WORDS, Ste, Ste0, Ste1};

/// Bits that are used whatever the STE says else: V and Config.
const WORD0_ALWAYS: u64 = 0b1111;
/// S1DSS, S1CIR, S1COR, S1CSH, S1STALLD, EATS, STRW, and the attributes that stage 1 uses.
const WORD1_S1: u64 = 0b11 | 0b11 << 2 | 0b11 << 4 | 0b11 << 6 | 1 << 27 | 0b11 << 28 | 0b11 << 30 | WORD1_OUTPUT;
/// MemAttr, MTCFG, ALLOCCFG, SHCFG, NSCFG, PRIVCFG, INSTCFG.
const WORD1_OUTPUT: u64 = 0xF << 32 | 1 << 36 | 0xF << 37 | 0b11 << 44 | 0b11 << 46 | 0b11 << 48 | 0b11 << 50;
/// S2FWB, EATS and what stage 2 uses of the attributes.
const WORD1_S2: u64 = 1 << 25 | 0b11 << 28 | WORD1_OUTPUT;

/// The bits in use.
#[must_use]
pub fn mask(ste: &Ste) -> Ste {
    let mut mask = [0; STE_WORDS];
    let ste0 = Ste0::from(ste[0]);
    if !ste0.v() {
        mask[0] = 1;
        return mask;
    }
    mask[0] = WORD0_ALWAYS;
    let config = Config(ste0.config());
    if config.is_abort() {
        return mask;
    }
    if config == Config::BYPASS || Ste1::from(ste[1]).s1dss() == 1 {
        mask[1] |= WORD1_OUTPUT;
    }
    if config.has_s1() {
        mask[0] = u64::MAX;
        mask[1] |= WORD1_S1;
        // The VMID tags stage-1 translations too where there is a stage 2.
        mask[2] |= 0xFFFF;
    }
    if config.has_s2() {
        mask[1] |= WORD1_S2;
        mask[2] |= u64::MAX;
        mask[3] |= u64::MAX;
    }
    mask
}

/// The SMMU does the same with both.
#[must_use]
pub fn same(one: &Ste, other: &Ste) -> bool {
    let used = mask(one);
    used == mask(other) && one.iter().zip(other).zip(used).all(|((one, other), used)| (one ^ other) & used == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_used_makes_no_difference() {
        assert!(same(&[0, 1, 2, 3, 4, 5, 6, 7], &[0; 8]));
        assert!(same(&[1, 0xD6, 9, 9, 9, 9, 9, 9], &[1 | 0x4000, 0, 0, 0, 0, 0, 0, 0]));
        assert!(!same(&[1; 8], &[0; 8]));
    }

    #[test]
    fn what_is_used_does() {
        let s1 = [0b1011 | 0x4000, 0xD6, 0, 0, 0, 0, 0, 0];
        assert!(!same(&s1, &[s1[0], 0, 0, 0, 0, 0, 0, 0]));
        assert!(!same(&s1, &[s1[0] | 0x8000, s1[1], 0, 0, 0, 0, 0, 0]));
        // Stage 2's table is not stage 1's concern.
        assert!(same(&s1, &[s1[0], s1[1], 0, 0xF000, 0, 0, 0, 0]));
        let s2 = [0b1101, 0, 7, 0x5000, 0, 0, 0, 0];
        assert!(!same(&s2, &[s2[0], 0, 7, 0x6000, 0, 0, 0, 0]));
    }
}
