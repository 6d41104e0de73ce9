//! One SMMU in a census: watched, let go of at its first refusal where nobody is to be refused, and given back.

use super::{BringUpError, Census};
use crate::access::Access;
use crate::bringup::Unit;
use crate::event::{self, Counts};
use crate::queue::EventQueue;
use crate::takeover::EventHandler;
use addr::StreamId;

/// Kinds of events that are told apart.
const MOST_ROWS: usize = 512;

/// An SMMU that is watched: by marks, or by refusal where it has no census.
#[derive(Clone, Debug)]
pub struct Watched {
    unit: Unit,
    census: Option<Census>,
    events: EventHandler,
    is_released: bool,
}

/// Why an SMMU is not watched any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWatched {
    /// It refused what it was to mark.
    #[error("DMA was refused ({}): not watched any longer", event::name(*.0))]
    Refused(u8),
    /// It did not do what it was told.
    #[error(transparent)]
    Failed(#[from] BringUpError),
}

impl Watched {
    /// An SMMU whose streams lead to where `census` says, or to nothing; it is not started.
    #[must_use]
    pub fn new(unit: Unit, census: Option<Census>) -> Self {
        let smmu = unit.smmu();
        let events = EventHandler::new(smmu, EventQueue::new(smmu, unit.eventq()), Counts::with_capacity(MOST_ROWS));
        Self { unit, census, events, is_released: false }
    }

    /// From here on it translates.
    ///
    /// # Errors
    /// [`BringUpError`], as [`Unit::start`].
    pub fn start(&mut self, hw: &mut dyn Access) -> Result<(), BringUpError> {
        self.unit.start(hw)
    }

    /// Reads its flags and its event queue; `refused` is told whom it refused something.
    ///
    /// Nobody is refused anything for the sake of marks: an SMMU that does, and one that scans no more, is released at once,
    /// and only looked at again where it could not be disabled.
    ///
    /// # Errors
    /// [`NotWatched`].
    pub fn look(&mut self, hw: &mut dyn Access, now: u64, refused: &mut dyn FnMut(StreamId)) -> Result<(), NotWatched> {
        let Self { unit, census, events, is_released } = self;
        if *is_released {
            return Ok(());
        }
        let mut looked = match census {
            Some(census) => census.scan(hw, unit, now).map_err(NotWatched::Failed),
            None => Ok(()),
        };
        events.handle_each(hw, &mut |event| {
            let event = event::decode(event);
            refused(event.stream);
            if census.is_some() {
                looked = Err(NotWatched::Refused(event.id));
            }
        });
        if looked.is_err() {
            *is_released = unit.release(hw).is_ok();
        }
        looked
    }

    /// Disables it, with GBPA as it was found. After an error it may still use its tables.
    ///
    /// # Errors
    /// [`BringUpError`].
    pub fn end(&mut self, hw: &mut dyn Access) -> Result<(), BringUpError> {
        match self.census {
            _ if self.is_released => Ok(()),
            Some(_) => self.unit.release(hw),
            None => self.unit.give_back(hw),
        }
    }

    /// The SMMU.
    #[must_use]
    pub const fn unit(&self) -> &Unit {
        &self.unit
    }

    /// Its marks, where it is watched by them.
    #[must_use]
    pub const fn census(&self) -> Option<&Census> {
        self.census.as_ref()
    }

    /// It was let go of before its time.
    #[must_use]
    pub const fn is_released(&self) -> bool {
        self.is_released
    }

    /// What it refused.
    #[must_use]
    pub const fn refused(&self) -> &Counts {
        self.events.counts()
    }

    /// Someone may be missing.
    #[must_use]
    pub fn is_lossy(&self) -> bool {
        self.events.is_lossy() || self.census().is_some_and(Census::is_lossy)
    }
}
