//! Randomness, fit for keys. It comes through the kernel, so that a replay sees the same.

use crate::bindings::wasi::random::random;

/// One call of the kernel gives at most so many.
const CHUNK_BYTES: usize = 64 << 10;

/// Fills a buffer.
///
/// ```no_run
/// let mut key = [0; 32];
/// remit::random::fill(&mut key);
/// ```
pub fn fill(buffer: &mut [u8]) {
    for chunk in buffer.chunks_mut(CHUNK_BYTES) {
        chunk.copy_from_slice(&random::get_random_bytes(chunk.len() as u64));
    }
}

/// A number; each is as likely as any other.
///
/// ```no_run
/// let die = remit::random::u64() % 6 + 1;
/// ```
#[must_use]
pub fn u64() -> u64 {
    random::get_random_u64()
}
