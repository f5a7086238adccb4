//! Memory in large pages.
//!
//! What a step reads of weights, keys and values is far more than the processor keeps addresses of small pages for, and what the
//! hardware guesses will be read ends with a page. So memory that is large is asked for in pages of [`LARGE_BYTES`], where the
//! operating system has a way to ask (Linux: `MADV_HUGEPAGE`); elsewhere it is as it comes.
//!
//! Measured on two cores of an AMD EPYC of the third generation, where only the weights' pages differ: a decoding step of the shape of
//! SmolLM2-135M with one row takes 7.3 ms in small pages and 5.1 ms in large ones, one with 16 rows 31 to 26 ms and 25 to 22 ms. One core
//! reads 13 GB/s of the former and 18 of the latter.

use memmap2::{MmapMut, MmapRaw};
use std::{
    io,
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

/// A large page of x86-64, and of AArch64 with small pages of 4 KiB.
pub(crate) const LARGE_BYTES: usize = 2 << 20;

/// What memory of zeros is a value of.
///
/// # Safety
/// Any bytes are a value, zeros among them, nothing is done when one is dropped, and its alignment is at most that of a page.
#[allow(unsafe_code, reason = "a promise about bytes")]
pub(crate) unsafe trait Bytes: Copy + Send + Sync + 'static {}

#[allow(unsafe_code, reason = "a promise about bytes")]
// SAFETY: it is a number.
unsafe impl Bytes for u16 {}

/// A slice in memory of its own, all zero at first. What is never touched costs nothing but addresses, and all of it is given back when it is
/// dropped.
pub(crate) struct Pages<T> {
    map: MmapRaw,
    /// Bytes before the first large page.
    skipped: usize,
    length: usize,
    of: PhantomData<T>,
}

impl<T: Bytes> Pages<T> {
    /// So many zeros.
    ///
    /// # Errors
    /// Where there is no such memory.
    pub(crate) fn zeroed(length: usize) -> io::Result<Self> {
        let none = || io::Error::from(io::ErrorKind::OutOfMemory);
        let bytes =
            length.checked_mul(size_of::<T>()).and_then(|bytes| bytes.checked_add(LARGE_BYTES)).ok_or_else(none)?;
        let map = MmapMut::map_anon(bytes)?;
        // A kernel without them refuses: nothing is lost but time.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        let skipped = map.as_ptr().align_offset(LARGE_BYTES);
        Ok(Self { map: map.into(), skipped, length, of: PhantomData })
    }

    /// How many there are.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The first one. All of them may be read and written through it by whoever sees to it that nobody else does.
    #[allow(unsafe_code, reason = "an address in memory that it has")]
    pub(crate) fn begin(&self) -> *mut T {
        // SAFETY: the map is by a large page longer than what is behind the address, so it lies within.
        unsafe { self.map.as_mut_ptr().add(self.skipped) }.cast()
    }
}

impl<T: Bytes> Deref for Pages<T> {
    type Target = [T];

    #[allow(unsafe_code, reason = "memory that it has")]
    fn deref(&self) -> &[T] {
        // SAFETY: so many are there, aligned, zero or whatever was written since.
        unsafe { std::slice::from_raw_parts(self.begin(), self.length) }
    }
}

impl<T: Bytes> DerefMut for Pages<T> {
    #[allow(unsafe_code, reason = "memory that it has")]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and nobody else has a reference.
        unsafe { std::slice::from_raw_parts_mut(self.begin(), self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_zero_and_aligned_and_hold_what_is_written() {
        for length in [0, 1, 1000, LARGE_BYTES / 2 - 1, LARGE_BYTES / 2, LARGE_BYTES] {
            let mut pages = Pages::<u16>::zeroed(length).unwrap();
            assert_eq!((pages.len(), pages.begin().align_offset(LARGE_BYTES)), (length, 0));
            assert!(pages.iter().all(|number| *number == 0));
            pages.iter_mut().enumerate().for_each(|(index, number)| *number = index as u16);
            assert!(pages.iter().enumerate().all(|(index, number)| *number == index as u16));
        }
    }

    #[test]
    fn what_cannot_be_had_is_an_error() {
        for length in [usize::MAX, usize::MAX / 2, isize::MAX as usize / 2 - LARGE_BYTES] {
            assert!(Pages::<u16>::zeroed(length).is_err(), "{length}");
        }
    }
}
