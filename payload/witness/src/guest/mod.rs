//! The kernel that is started: what the file is, where it goes, and what it is given.

pub mod acpi;
pub mod efi;
pub mod elfcore;
pub mod image;
pub mod place;
pub mod tree;
