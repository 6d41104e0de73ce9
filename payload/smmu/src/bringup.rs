//! From a disabled SMMU to one that translates, and back.
