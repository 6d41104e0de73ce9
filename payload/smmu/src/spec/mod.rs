//! Layouts of the SMMUv3 architecture (Arm IHI 0070) and nothing else: offsets, fields, encodings, each with its section.

pub mod cd;
pub mod command;
pub mod event;
pub mod registers;
pub mod ste;
