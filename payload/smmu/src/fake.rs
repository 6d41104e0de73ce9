//! A host fake of SMMUs and memory.
