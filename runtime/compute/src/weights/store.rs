//! Where packed weights lie: those of a model side by side, in large pages.
//!
//! Most matrices of a small model are smaller than a large page, so they are cut from regions, in the order in which they are packed, which
//! is that in which they are read. A region belongs to one [`Packer`]: when the last of its matrices is dropped, it goes back to the operating
//! system, whole and at once, whatever else is in memory.

use super::{Matrix, PackError, Packed, Part, check};
use crate::{
    Team,
    pages::{Bytes, Pages},
};
use std::{
    io,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
};

/// Addresses of a region, where no matrix needs more: 64 MiB. Only what is written becomes memory, but for the rest of the last large page.
const REGION_BYTES: usize = 64 << 20;

/// 64 bytes that lie in one line of the cache.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u8; 64]);

#[allow(unsafe_code, reason = "a promise about bytes")]
// SAFETY: it is nothing but bytes.
unsafe impl Bytes for Line {}

/// Packs the weights of a model.
pub struct Packer<'a> {
    team: &'a Team,
    free: Mutex<Option<Free>>,
}

impl std::fmt::Debug for Packer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").field("team", &self.team).finish_non_exhaustive()
    }
}

/// What is left of a region.
struct Free {
    region: Arc<Pages<Line>>,
    first: usize,
}

impl<'a> Packer<'a> {
    /// A packer without weights so far. `team` does the work.
    #[must_use]
    pub fn new(team: &'a Team) -> Self {
        Self { team, free: Mutex::new(None) }
    }

    /// The threads that do the work.
    #[must_use]
    pub fn team(&self) -> &'a Team {
        self.team
    }

    /// Lays out parts, whose rows have `inputs` numbers each.
    ///
    /// # Errors
    /// Where the bytes are not what the sizes say, or have scales that are no numbers, or where there is no memory for them.
    pub fn pack(&self, parts: &[Part<'_>], inputs: usize) -> Result<Matrix, PackError> {
        let mut packed = Vec::with_capacity(parts.len());
        let mut outputs = 0_usize;
        for (index, part) in parts.iter().enumerate() {
            check(part, inputs)?;
            packed.push(Packed::new(self, part, index, inputs, outputs)?);
            outputs = outputs.checked_add(part.rows).ok_or(PackError::TooLarge { rows: part.rows, inputs })?;
        }
        Ok(Matrix { inputs, outputs, parts: packed })
    }

    /// So many lines, all zero.
    pub(super) fn lines(&self, count: usize) -> io::Result<Lines> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let room = |free: &Free| free.region.length() - free.first;
        let (region, first) = match free.take() {
            Some(free) if room(&free) >= count => (free.region, free.first),
            _ => (Arc::new(Pages::zeroed(count.max(REGION_BYTES / size_of::<Line>()))?), 0),
        };
        *free = Some(Free { region: region.clone(), first: first + count });
        Ok(Lines { region, first, count })
    }
}

/// Some lines of a region, which nobody else has.
pub(super) struct Lines {
    region: Arc<Pages<Line>>,
    first: usize,
    count: usize,
}

impl Deref for Lines {
    type Target = [Line];

    #[allow(unsafe_code, reason = "a piece of memory that several have")]
    fn deref(&self) -> &[Line] {
        // SAFETY: these lines are within the region, and `Packer::lines` gave each of them away once.
        unsafe { std::slice::from_raw_parts(self.region.begin().add(self.first), self.count) }
    }
}

impl DerefMut for Lines {
    #[allow(unsafe_code, reason = "a piece of memory that several have")]
    fn deref_mut(&mut self) -> &mut [Line] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.region.begin().add(self.first), self.count) }
    }
}
