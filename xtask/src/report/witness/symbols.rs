//! Names for a kernel's own addresses: its System.map, and how far KASLR has moved it.
//!
//! The first call of firmware comes from one place of known name. The kernel lies at a multiple of 64 KiB from where it was
//! linked (Linux, arch/arm64/kernel/pi/map_kernel.c; its EFI stub), so the distance within that function is what is left below.

use std::path::Path;

/// Multiples of this are where KASLR puts a kernel.
const GRANULE: u64 = 0x1_0000;
/// Functions in which the SMC or HVC of a call stands (Linux, arch/arm64/kernel/smccc-call.S).
const CALLS: [&str; 3] = ["__arm_smccc_smc", "__arm_smccc_hvc", "arm_smccc_1_2_smc"];
/// What the driver's functions have in their names.
const DRIVER: &str = "smmu";
/// Longest map that is read: Debian's have 10 MiB.
const LONGEST: u64 = 1 << 26;

/// A System.map: functions by their linked address.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    functions: Vec<(u64, String)>,
}

/// The same where the kernel ran.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    symbols: &'a Symbols,
    /// From the linked address to the one that it ran at.
    offset: u64,
}

impl Symbols {
    /// Reads a System.map.
    pub fn load(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let length = std::fs::metadata(path).map_err(|error| format!("{name}: {error}"))?.len();
        if length > LONGEST {
            return Err(format!("{name}: {length} bytes, more than any System.map"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        let symbols = Self::parse(&text);
        if symbols.functions.is_empty() {
            return Err(format!(
                "{name}: no functions in it; a System.map has lines such as `ffff800080010000 T _stext`"
            ));
        }
        Ok(symbols)
    }

    fn parse(text: &str) -> Self {
        let function = |line: &str| {
            let mut words = line.split_whitespace();
            let (address, kind, name) = (words.next()?, words.next()?, words.next()?);
            let address = u64::from_str_radix(address, 16).ok().filter(|address| *address != 0)?;
            // Mapping symbols of the assembler mark code and data, and name nothing.
            matches!(kind, "t" | "T" | "w" | "W").then_some(())?;
            (!name.starts_with('$')).then(|| (address, name.to_owned()))
        };
        let mut functions: Vec<_> = text.lines().filter_map(function).collect();
        functions.sort_by_key(|(address, _)| *address);
        Self { functions }
    }

    /// The function that holds a linked address, and the distance into it; the last one has no end.
    fn at(&self, address: u64) -> Option<(&str, u64)> {
        let next = self.functions.partition_point(|(start, _)| *start <= address);
        self.functions.get(next)?;
        let (start, name) = self.functions.get(next.checked_sub(1)?)?;
        Some((name, address - start))
    }

    /// Finds how far the kernel was moved from the address of its first call of firmware, and tries that on `driver`, addresses
    /// that accessed an SMMU.
    pub fn place(&self, first_call: u64, driver: &[u64]) -> Result<Names<'_>, String> {
        let mut reason = format!("the first call of firmware, at {first_call:#x}, is in none of {}", CALLS.join(", "));
        for (start, name) in self.functions.iter().filter(|(_, name)| CALLS.contains(&name.as_str())) {
            let inside = first_call.wrapping_sub(*start) % GRANULE;
            let linked = start.wrapping_add(inside);
            if self.at(linked).is_none_or(|(found, _)| found != name) {
                continue;
            }
            let names = Names { symbols: self, offset: first_call.wrapping_sub(linked) };
            let is_driver = |pc: &&u64| names.function(**pc).is_some_and(|name| name.contains(DRIVER));
            let known = driver.iter().filter(is_driver).count();
            if known * 2 > driver.len() {
                return Ok(names);
            }
            reason = format!("{known} of {} instructions that accessed an SMMU are in its driver", driver.len());
        }
        Err(format!("the System.map does not fit: {reason}"))
    }
}

impl Names<'_> {
    /// How far the kernel was moved.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    fn function(&self, pc: u64) -> Option<&str> {
        self.symbols.at(pc.wrapping_sub(self.offset)).map(|(name, _)| name)
    }

    /// `function+0x12`.
    pub fn of(&self, pc: u64) -> Option<String> {
        let (name, distance) = self.symbols.at(pc.wrapping_sub(self.offset))?;
        Some(format!("{name}+{distance:#x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "\
0000000000000000 A _kernel_flags_le_lo32
ffff800080000000 T _text
ffff800080010000 t $x
ffff800080012340 T __arm_smccc_smc
ffff800080012380 T __arm_smccc_hvc
ffff8000800123c0 T __arm_smccc_sve_check
ffff8000806688b0 t arm_smmu_device_hw_probe
ffff800080668f00 t arm_smmu_device_reset
ffff800080669000 T _etext
ffff800081000000 D not_a_function
";
    const MOVED: u64 = 0x4e82_2923_0000;
    const FIRST: u64 = 0xffff_8000_8001_2350 + MOVED;
    const DRIVER_AT: [u64; 3] =
        [0xffff_8000_8066_88c4 + MOVED, 0xffff_8000_8066_8f04 + MOVED, 0xffff_8000_8066_8f08 + MOVED];

    #[test]
    fn the_first_call_tells_how_far_the_kernel_was_moved() {
        let symbols = Symbols::parse(MAP);
        let names = symbols.place(FIRST, &DRIVER_AT).unwrap();
        assert_eq!(names.offset(), MOVED);
        assert_eq!(names.of(DRIVER_AT[0]).as_deref(), Some("arm_smmu_device_hw_probe+0x14"));
        assert_eq!(names.of(0xffff_8000_8066_9000 + MOVED), None, "behind the last function");
        assert_eq!(names.of(0x1000), None);
        // A kernel that was not moved.
        assert_eq!(symbols.place(FIRST - MOVED, &[0xffff_8000_8066_88c4]).unwrap().offset(), 0);
    }

    #[test]
    fn a_map_of_another_kernel_does_not_fit() {
        let symbols = Symbols::parse(MAP);
        let why = |first: u64, driver: &[u64]| symbols.place(first, driver).unwrap_err();
        assert!(why(FIRST + 0x400, &DRIVER_AT).contains("is in none of __arm_smccc_smc, "));
        let elsewhere = DRIVER_AT.map(|pc| pc - 0x60_0000);
        assert!(why(FIRST, &elsewhere).contains("0 of 3 instructions"), "{}", why(FIRST, &elsewhere));
        assert!(why(FIRST, &[]).contains("0 of 0 instructions"));
        let placeholder = Symbols::parse("ffffffffffffffff B The real System.map is in the package -dbg\n");
        assert!(placeholder.functions.is_empty());
    }

    #[test]
    fn a_file_that_is_no_map_is_told_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("System.map");
        assert!(Symbols::load(&path).unwrap_err().contains("System.map: "));
        std::fs::write(&path, "ffffffffffffffff B The real System.map is elsewhere\n").unwrap();
        assert!(Symbols::load(&path).unwrap_err().contains("no functions in it"));
        std::fs::write(&path, MAP).unwrap();
        assert_eq!(Symbols::load(&path).unwrap().functions.len(), 7);
    }
}
