//! The oracle in memory: a head and three lists, read and written in place.

use super::{FunctionLeft, KIND, MAX_FUNCTIONS, MAX_SMMUS, MAX_STREAMS, OracleHeader, SmmuLeft, Stream};
use crate::seal::{HandoverError, digest, update_head};
use zerocopy::{FromBytes, IntoBytes};

/// A verified oracle.
#[derive(Clone, Copy, Debug)]
pub struct OracleView<'a> {
    /// Its head.
    pub header: &'a OracleHeader,
    /// Its streams.
    pub streams: &'a [Stream],
    /// Its SMMUs.
    pub smmus: &'a [SmmuLeft],
    /// Its PCI functions.
    pub functions: &'a [FunctionLeft],
}

impl<'a> OracleView<'a> {
    /// Finds and verifies the oracle at the start of `memory`.
    ///
    /// # Errors
    /// The first that is wrong of magic, version, length, CRC, counts and alignment.
    pub fn find(memory: &'a [u8]) -> Result<Self, HandoverError> {
        let used = KIND.check_header(memory)?;
        KIND.check_crc(used)?;
        let misaligned = HandoverError::Misaligned { block: KIND.block };
        let Some((head, lists)) = used.split_at_checked(size_of::<OracleHeader>()) else {
            return Err(KIND.length(used.len(), size_of::<OracleHeader>()));
        };
        let header = OracleHeader::ref_from_bytes(head).map_err(|_| misaligned)?;
        let expected = used_bytes(header)?;
        if used.len() != expected {
            return Err(KIND.length(used.len(), expected));
        }
        let (streams, rest) =
            <[Stream]>::ref_from_prefix_with_elems(lists, header.stream_count as usize).map_err(|_| misaligned)?;
        let (smmus, rest) =
            <[SmmuLeft]>::ref_from_prefix_with_elems(rest, header.smmu_count as usize).map_err(|_| misaligned)?;
        let functions = <[FunctionLeft]>::ref_from_bytes_with_elems(rest, header.function_count as usize)
            .map_err(|_| misaligned)?;
        Ok(Self { header, streams, smmus, functions })
    }
}

/// An oracle that is being written; it verifies only after [`Self::seal`].
#[derive(Debug)]
pub struct OracleMut<'a> {
    /// Its head. [`Self::seal`] sets its counts to the lengths of the lists.
    pub header: &'a mut OracleHeader,
    /// Its streams.
    pub streams: &'a mut [Stream],
    /// Its SMMUs.
    pub smmus: &'a mut [SmmuLeft],
    /// Its PCI functions.
    pub functions: &'a mut [FunctionLeft],
}

impl<'a> OracleMut<'a> {
    /// Begins an oracle at the start of `memory`: zeroed, unsealed, with these counts.
    ///
    /// # Errors
    /// [`HandoverError`] where the counts are above the maxima, or `memory` is too short or begins at no multiple of 8.
    pub fn create(
        memory: &'a mut [u8],
        stream_count: usize,
        smmu_count: usize,
        function_count: usize,
    ) -> Result<Self, HandoverError> {
        let [stream_count, smmu_count, function_count] = [stream_count, smmu_count, function_count].map(narrow);
        let header = OracleHeader { stream_count, smmu_count, function_count, ..OracleHeader::default() };
        let expected = used_bytes(&header)?;
        let short = KIND.length(memory.len(), expected);
        let used = memory.get_mut(..expected).ok_or(short)?;
        used.fill(0);
        let oracle = Self::split(used, &header)?;
        *oracle.header = header;
        Ok(oracle)
    }

    /// Opens a verified oracle for writing; what is changed must be sealed again.
    ///
    /// # Errors
    /// As [`OracleView::find`].
    pub fn open(memory: &'a mut [u8]) -> Result<Self, HandoverError> {
        let header = *OracleView::find(memory)?.header;
        let expected = used_bytes(&header)?;
        let short = KIND.length(memory.len(), expected);
        Self::split(memory.get_mut(..expected).ok_or(short)?, &header)
    }

    /// Writes magic, version, length and CRC; to be called last. Until then, and after any change, it does not verify.
    pub fn seal(&mut self) {
        // The lists are what `create` or `open` cut out; the counts in memory follow them, whatever was written there.
        self.header.stream_count = narrow(self.streams.len());
        self.header.smmu_count = narrow(self.smmus.len());
        self.header.function_count = narrow(self.functions.len());
        let lists = size_of_val(self.streams) + size_of_val(self.smmus) + size_of_val(self.functions);
        self.header.header = KIND.header(narrow(size_of::<OracleHeader>() + lists));
        let mut digest = digest();
        update_head(&mut digest, self.header.as_bytes());
        digest.update(self.streams.as_bytes());
        digest.update(self.smmus.as_bytes());
        digest.update(self.functions.as_bytes());
        self.header.header.crc = digest.finalize();
    }

    fn split(used: &'a mut [u8], counts: &OracleHeader) -> Result<Self, HandoverError> {
        let misaligned = HandoverError::Misaligned { block: KIND.block };
        let (header, rest) = OracleHeader::mut_from_prefix(used).map_err(|_| misaligned)?;
        let (streams, rest) =
            <[Stream]>::mut_from_prefix_with_elems(rest, counts.stream_count as usize).map_err(|_| misaligned)?;
        let (smmus, rest) =
            <[SmmuLeft]>::mut_from_prefix_with_elems(rest, counts.smmu_count as usize).map_err(|_| misaligned)?;
        let functions = <[FunctionLeft]>::mut_from_bytes_with_elems(rest, counts.function_count as usize)
            .map_err(|_| misaligned)?;
        Ok(Self { header, streams, smmus, functions })
    }
}

/// Lengths and counts are bounded by the maxima, far below 2^32; a larger one is refused as a count.
fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn used_bytes(counts: &OracleHeader) -> Result<usize, HandoverError> {
    let lists = [
        (counts.stream_count, MAX_STREAMS, size_of::<Stream>()),
        (counts.smmu_count, MAX_SMMUS, size_of::<SmmuLeft>()),
        (counts.function_count, MAX_FUNCTIONS, size_of::<FunctionLeft>()),
    ];
    let mut bytes = size_of::<OracleHeader>();
    for (found, most, each) in lists {
        if found as usize > most {
            return Err(HandoverError::Count { block: KIND.block, found, expected: narrow(most) });
        }
        bytes += found as usize * each;
    }
    Ok(bytes)
}
