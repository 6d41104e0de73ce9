//! The oracle in memory: a head and two lists, read and written in place.

use super::{KIND, MAX_SMMUS, MAX_STREAMS, OracleHeader, SmmuLeft, Stream};
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
        let expected = used_bytes(header.stream_count, header.smmu_count)?;
        if used.len() != expected {
            return Err(KIND.length(used.len(), expected));
        }
        let (streams, rest) =
            <[Stream]>::ref_from_prefix_with_elems(lists, header.stream_count as usize).map_err(|_| misaligned)?;
        let smmus =
            <[SmmuLeft]>::ref_from_bytes_with_elems(rest, header.smmu_count as usize).map_err(|_| misaligned)?;
        Ok(Self { header, streams, smmus })
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
}

impl<'a> OracleMut<'a> {
    /// Begins an oracle at the start of `memory`: zeroed, unsealed, with these counts.
    ///
    /// # Errors
    /// [`HandoverError`] where the counts are above the maxima, or `memory` is too short or begins at no multiple of 8.
    pub fn create(memory: &'a mut [u8], stream_count: usize, smmu_count: usize) -> Result<Self, HandoverError> {
        let (stream_count, smmu_count) = (narrow(stream_count), narrow(smmu_count));
        let expected = used_bytes(stream_count, smmu_count)?;
        let short = KIND.length(memory.len(), expected);
        let used = memory.get_mut(..expected).ok_or(short)?;
        used.fill(0);
        let oracle = Self::split(used, stream_count, smmu_count)?;
        *oracle.header = OracleHeader { stream_count, smmu_count, ..OracleHeader::default() };
        Ok(oracle)
    }

    /// Opens a verified oracle for writing; what is changed must be sealed again.
    ///
    /// # Errors
    /// As [`OracleView::find`].
    pub fn open(memory: &'a mut [u8]) -> Result<Self, HandoverError> {
        let OracleHeader { stream_count, smmu_count, .. } = *OracleView::find(memory)?.header;
        let expected = used_bytes(stream_count, smmu_count)?;
        let short = KIND.length(memory.len(), expected);
        Self::split(memory.get_mut(..expected).ok_or(short)?, stream_count, smmu_count)
    }

    /// Writes magic, version, length and CRC; to be called last. Until then, and after any change, it does not verify.
    pub fn seal(&mut self) {
        // The lists are what `create` or `open` cut out; the counts in memory follow them, whatever was written there.
        self.header.stream_count = narrow(self.streams.len());
        self.header.smmu_count = narrow(self.smmus.len());
        let bytes = size_of::<OracleHeader>() + size_of_val(self.streams) + size_of_val(self.smmus);
        self.header.header = KIND.header(narrow(bytes));
        let mut digest = digest();
        update_head(&mut digest, self.header.as_bytes());
        digest.update(self.streams.as_bytes());
        digest.update(self.smmus.as_bytes());
        self.header.header.crc = digest.finalize();
    }

    fn split(used: &'a mut [u8], stream_count: u32, smmu_count: u32) -> Result<Self, HandoverError> {
        let misaligned = HandoverError::Misaligned { block: KIND.block };
        let (header, rest) = OracleHeader::mut_from_prefix(used).map_err(|_| misaligned)?;
        let (streams, rest) =
            <[Stream]>::mut_from_prefix_with_elems(rest, stream_count as usize).map_err(|_| misaligned)?;
        let smmus = <[SmmuLeft]>::mut_from_bytes_with_elems(rest, smmu_count as usize).map_err(|_| misaligned)?;
        Ok(Self { header, streams, smmus })
    }
}

/// Lengths and counts are bounded by the maxima, far below 2^32; a larger one is refused as a count.
fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn used_bytes(stream_count: u32, smmu_count: u32) -> Result<usize, HandoverError> {
    for (found, most) in [(stream_count, MAX_STREAMS), (smmu_count, MAX_SMMUS)] {
        if found as usize > most {
            return Err(HandoverError::Count { block: KIND.block, found, expected: narrow(most) });
        }
    }
    let lists = stream_count as usize * size_of::<Stream>() + smmu_count as usize * size_of::<SmmuLeft>();
    Ok(size_of::<OracleHeader>() + lists)
}
