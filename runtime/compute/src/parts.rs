//! One buffer that several threads write, each its own part.

use std::{marker::PhantomData, ops::Range};

/// A buffer whose parts are handed out while others hold theirs.
pub(crate) struct Parts<'a, T> {
    begin: *mut T,
    length: usize,
    buffer: PhantomData<&'a mut [T]>,
}

#[allow(unsafe_code, reason = "parts of one buffer go to several threads")]
// SAFETY: it hands out `&mut [T]` of parts that are disjoint by the contract of `part`, and those may go to other threads.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    pub(crate) fn new(buffer: &'a mut [T]) -> Self {
        Self { begin: buffer.as_mut_ptr(), length: buffer.len(), buffer: PhantomData }
    }

    /// A part of the buffer.
    ///
    /// # Safety
    /// While the part is in use, no part that overlaps it is.
    ///
    /// # Panics
    /// For a range that is not within the buffer.
    #[allow(unsafe_code, clippy::mut_from_ref, reason = "the parts are disjoint, as the caller promises")]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.length, "the part {range:?} of {}", self.length);
        // SAFETY: the range is within the buffer, which is borrowed for as long as `self`; nobody else has any of it.
        unsafe { std::slice::from_raw_parts_mut(self.begin.add(range.start), range.len()) }
    }
}
