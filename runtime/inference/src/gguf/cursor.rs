//! Reading forward through bytes, never past their end.

use super::GgufError;

pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// A cursor that starts at a position that another one has reached.
    pub(super) fn at(bytes: &'a [u8], position: usize) -> Self {
        Self { bytes, position: position.min(bytes.len()) }
    }

    pub(super) fn position(&self) -> u64 {
        self.position as u64
    }

    pub(super) fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn left(&self) -> u64 {
        (self.bytes.len() - self.position) as u64
    }

    fn truncated(&self, what: &'static str) -> GgufError {
        GgufError::Truncated { what, offset: self.position(), length: self.length() }
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: u64, what: &'static str) -> Result<&'a [u8], GgufError> {
        if count > self.left() {
            return Err(self.truncated(what));
        }
        let start = self.position;
        // It fits: it is at most the length of a slice.
        self.position += count as usize;
        Ok(&self.bytes[start..self.position])
    }

    /// Passes over `count` elements of `size` bytes each.
    pub(super) fn skip(&mut self, count: u64, size: u64, what: &'static str) -> Result<(), GgufError> {
        let bytes = count.checked_mul(size).ok_or_else(|| self.truncated(what))?;
        self.take(bytes, what).map(drop)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], GgufError> {
        let truncated = self.truncated(what);
        let bytes = self.take(N as u64, what)?;
        bytes.try_into().map_err(|_| truncated)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A string with its length before it.
    pub(super) fn string(&mut self, what: &'static str, bytes_max: u64) -> Result<&'a str, GgufError> {
        let offset = self.position();
        let bytes = self.u64(what)?;
        if bytes > self.left() {
            return Err(self.truncated(what));
        }
        if bytes > bytes_max {
            return Err(GgufError::TooLong { what, offset, bytes, limit: bytes_max });
        }
        std::str::from_utf8(self.take(bytes, what)?).map_err(|_| GgufError::NotUtf8 { what, offset })
    }
}
