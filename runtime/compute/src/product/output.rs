//! One buffer that several threads write, each its own numbers.

use std::{marker::PhantomData, ops::Range};

/// Results, `[rows, width]`.
pub(super) struct Output<'a> {
    numbers: *mut f32,
    rows: usize,
    width: usize,
    owner: PhantomData<&'a mut [f32]>,
}

#[allow(unsafe_code, reason = "several threads write one buffer")]
// SAFETY: it is a `&mut [f32]`, of which each thread takes parts that no other takes, as `row` demands.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    pub(super) fn new(numbers: &'a mut [f32], width: usize) -> Self {
        let rows = numbers.len() / width;
        Self { numbers: numbers.as_mut_ptr(), rows, width, owner: PhantomData }
    }

    /// Numbers of a row.
    ///
    /// # Safety
    /// Nobody else has them at the same time.
    ///
    /// # Panics
    /// Where there are no such numbers.
    #[allow(unsafe_code, reason = "several threads write one buffer")]
    #[allow(clippy::mut_from_ref, reason = "callers share it out")]
    #[inline(always)]
    pub(super) unsafe fn row(&self, row: usize, columns: Range<usize>) -> &mut [f32] {
        assert!(columns.start <= columns.end && columns.end <= self.width && row < self.rows);
        // SAFETY: they are within the buffer, as was checked, and the caller's alone.
        unsafe { std::slice::from_raw_parts_mut(self.numbers.add(row * self.width + columns.start), columns.len()) }
    }
}
