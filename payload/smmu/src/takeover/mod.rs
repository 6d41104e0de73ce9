//! What a crash kernel does to an enabled SMMU.
