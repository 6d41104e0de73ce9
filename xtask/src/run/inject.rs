//! What is to be injected, and when: `MOMENT=FUNCTION:ERROR`, or with the header of the request that the error is about
//! `MOMENT=FUNCTION:ERROR:WORD,WORD,WORD,WORD`.

use addr::Bdf;
use scenario::Plant;

use crate::exit::usage;

/// When an error is injected: while the payload waits for it in that phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Between the last arming and the crash.
    Before,
    /// Between the crash and the takeover.
    Blackout,
    /// After the takeover.
    After,
}

impl Moment {
    const ALL: [Self; 3] = [Self::Before, Self::Blackout, Self::After];

    const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Blackout => "blackout",
            Self::After => "after",
        }
    }

    /// The fault by which the payload is told to wait.
    pub const fn plant(self) -> Plant {
        match self {
            Self::Before => Plant::PcieErrorBefore,
            Self::Blackout => Plant::PcieErrorBlackout,
            Self::After => Plant::PcieErrorAfter,
        }
    }

    /// The phase of the payload's record.
    pub const fn phase(self) -> u8 {
        self as u8
    }
}

/// An error at a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// When.
    pub moment: Moment,
    /// Where.
    pub bdf: Bdf,
    /// QEMU's name of it, such as `COMP_TIME`.
    pub error: String,
    /// The header of the request, as the log is to have it.
    pub header: Option<[u32; 4]>,
}

impl Injection {
    /// Reads `MOMENT=FUNCTION:ERROR`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "want MOMENT=FUNCTION:ERROR, as in blackout=0000:01:00.0:COMP_TIME".to_owned();
        let (moment, rest) = text.split_once('=').ok_or_else(wrong)?;
        let moment = Moment::ALL.into_iter().find(|known| known.name() == moment);
        let moment = moment.ok_or("moments are before, blackout and after")?;
        // The function has two colons itself.
        let (at, _) = rest.match_indices(':').nth(2).ok_or_else(wrong)?;
        let (bdf, rest) = rest.split_at(at);
        let bdf = Bdf::parse(bdf).ok_or_else(wrong)?;
        let (error, header) = match rest[1..].split_once(':') {
            Some((error, header)) => (error, Some(words(header)?)),
            None => (&rest[1..], None),
        };
        // It becomes a word of a command line.
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if error.is_empty() || !error.chars().all(is_name) {
            return Err(format!("`{error}` is no name of an error; want QEMU's, as COMP_TIME or BAD_TLP"));
        }
        if bdf.segment != 0 {
            return Err(format!("{bdf}: QEMU has segment 0 alone"));
        }
        Ok(Self { moment, bdf, error: error.to_owned(), header })
    }

    /// The monitor's command, for the device of this id.
    pub fn command(&self, id: &str) -> String {
        // The monitor takes the header's bytes in their order on the link as words of a little-endian host; the log has the first
        // byte in bits 31:24 (PCI Express Base 6.0, 7.8.4.8).
        let words = self.header.iter().flatten();
        let header = words.map(|word| format!(" {:#x}", word.swap_bytes())).collect::<String>();
        format!("pcie_aer_inject_error {id} {}{header}", self.error)
    }
}

/// Four words of a header, in hexadecimal.
fn words(text: &str) -> Result<[u32; 4], String> {
    let words: Vec<u32> = text.split(',').filter_map(|word| u32::from_str_radix(word, 16).ok()).collect();
    let is_whole = text.split(',').count() == words.len();
    let words = words.try_into().ok().filter(|_| is_whole);
    words.ok_or_else(|| format!("`{text}` is no header; want four words in hexadecimal, separated by commas"))
}

/// The fault that these are, where there are any.
pub fn plant(injections: &[Injection], planted: Option<&str>) -> anyhow::Result<Option<Plant>> {
    let named = planted.and_then(Plant::parse);
    let Some(first) = injections.first() else {
        return match Moment::ALL.iter().find(|moment| Some(moment.plant()) == named) {
            Some(moment) => {
                Err(usage(format!("--plant {}: use --inject {}=FUNCTION:ERROR", moment.plant().name(), moment.name())))
            }
            None => Ok(None),
        };
    };
    if injections.iter().any(|other| other.moment != first.moment) {
        return Err(usage("--inject: one run has one moment"));
    }
    if let Some(planted) = planted.filter(|_| named != Some(first.moment.plant())) {
        return Err(usage(format!("--inject is a fault by itself; leave out --plant {planted}")));
    }
    Ok(Some(first.moment.plant()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_injection_names_moment_function_and_error() {
        let injection = Injection::parse("blackout=0000:01:00.0:COMP_TIME").unwrap();
        let bdf = Bdf::new(0, 1, 0, 0);
        assert_eq!(injection, Injection { moment: Moment::Blackout, bdf, error: "COMP_TIME".into(), header: None });
        assert_eq!(injection.command("rng0"), "pcie_aer_inject_error rng0 COMP_TIME");
        let injection = Injection::parse("after=0000:01:00.0:MALF_TLP:40000001,100000f,80000000,0").unwrap();
        assert_eq!(injection.command("a"), "pcie_aer_inject_error a MALF_TLP 0x1000040 0xf000001 0x80 0x0");
        for wrong in [
            "",
            "before",
            "then=0000:01:00.0:X",
            "before=01:00.0",
            "before=0000:01:00.0:",
            "after=0000:01:00.0:a b",
            "after=0001:01:00.0:X",
            "after=0000:01:00.0:X:1,2,3",
            "after=0000:01:00.0:X:1,2,3,4,x",
        ] {
            assert!(Injection::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_run_has_one_moment_and_no_other_fault() {
        let of = |texts: &[&str]| texts.iter().map(|text| Injection::parse(text).unwrap()).collect::<Vec<_>>();
        let (one, two) = ("before=0000:01:00.0:COMP_TIME", "before=0000:02:00.0:BAD_TLP");
        assert_eq!(plant(&of(&[one, two]), None).unwrap(), Some(Plant::PcieErrorBefore));
        assert_eq!(plant(&[], Some("leaf-canary")).unwrap(), None);
        assert!(plant(&of(&[one, "after=0000:02:00.0:BAD_TLP"]), None).is_err());
        assert!(plant(&of(&[one]), Some("leaf-canary")).is_err());
        assert!(plant(&[], Some("pcie-error-after")).is_err());
    }
}
