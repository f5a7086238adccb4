//! Data that a process holds, read or unread.
//!
//! A [`Value`] is a handle. Passing it on ([`Message::user(&value)`](crate::Message::user), [`emit_text`](crate::emit_text),
//! an output) does not taint the process; reading it does, from then on and for good.

use crate::{ValueError, bindings::remit::kernel::value};
use std::{borrow::Cow, io};

pub use crate::bindings::remit::kernel::types::{Integrity, Label};

/// One host call reads or makes at most so many bytes.
const CHUNK_BYTES: u64 = 1 << 20;

/// Media type of text.
const TEXT: &str = "text/plain; charset=utf-8";

/// A handle on data.
///
/// ```no_run
/// use remit::prelude::*;
///
/// # fn example() -> Result<(), Failure> {
/// let note = Value::from_text("a note")?;
/// assert_eq!((note.len(), note.text()?.as_str()), (6, "a note"));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Value {
    raw: value::Value,
}

impl Value {
    pub(crate) const fn new(raw: value::Value) -> Self {
        Self { raw }
    }

    pub(crate) const fn raw(&self) -> &value::Value {
        &self.raw
    }

    pub(crate) fn into_raw(self) -> value::Value {
        self.raw
    }

    /// Makes a value of a text of 1 MiB at most. It gets the process's label.
    ///
    /// # Errors
    /// [`ValueError`] where the text is larger, or the process's room for values is used up.
    pub fn from_text(text: &str) -> Result<Self, ValueError> {
        Self::from_bytes(text.as_bytes(), TEXT)
    }

    /// Makes a value of 1 MiB at most, of a media type (RFC 6838). It gets the process's label.
    ///
    /// # Errors
    /// [`ValueError`] where there are more bytes, or the process's room for values is used up.
    pub fn from_bytes(bytes: &[u8], media_type: &str) -> Result<Self, ValueError> {
        Ok(Self::new(value::Value::from_bytes(bytes, media_type)?))
    }

    /// Size in bytes. Asking for it is not reading.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.raw.get_size()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its media type (RFC 6838). Asking for it is not reading.
    #[must_use]
    pub fn media_type(&self) -> String {
        self.raw.get_media_type()
    }

    /// What went into it. Asking for it is not reading.
    ///
    /// ```no_run
    /// use remit::value::{Integrity, Value};
    ///
    /// fn is_safe_to_read(value: &Value) -> bool {
    ///     value.label().integrity == Integrity::Trusted
    /// }
    /// ```
    #[must_use]
    pub fn label(&self) -> Label {
        self.raw.get_label()
    }

    /// Reads all of it as text, and raises the process's label.
    ///
    /// # Errors
    /// [`ValueError::NotText`] where it is not UTF-8.
    pub fn text(&self) -> Result<String, ValueError> {
        let bytes = self.bytes()?;
        String::from_utf8(bytes)
            .map_err(|error| ValueError::NotText { offset: error.utf8_error().valid_up_to() as u64 })
    }

    /// Reads all of it, and raises the process's label.
    ///
    /// # Errors
    /// [`ValueError`], as the kernel says.
    pub fn bytes(&self) -> Result<Vec<u8>, ValueError> {
        let size = self.len();
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        while (bytes.len() as u64) < size {
            let chunk = self.read_at(bytes.len() as u64, size - bytes.len() as u64)?;
            if chunk.is_empty() {
                break;
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Reads it piece by piece, without holding all of it. The first read raises the process's label.
    ///
    /// ```no_run
    /// use std::io::{BufRead, BufReader};
    ///
    /// # fn example(value: &remit::Value) -> Result<(), remit::Failure> {
    /// for line in BufReader::new(value.reader()).lines() {
    ///     remit::trace!("{} bytes", line?.len());
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub const fn reader(&self) -> ValueReader<'_> {
        ValueReader { value: self, offset: 0 }
    }

    fn read_at(&self, offset: u64, length: u64) -> Result<Vec<u8>, ValueError> {
        let length = u32::try_from(length.min(CHUNK_BYTES)).unwrap_or(u32::MAX);
        Ok(self.raw.read(offset, length)?)
    }
}

/// Reads a [`Value`] from its beginning; made by [`Value::reader`].
#[derive(Debug)]
pub struct ValueReader<'a> {
    value: &'a Value,
    offset: u64,
}

impl io::Read for ValueReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let chunk = self.value.read_at(self.offset, buffer.len() as u64).map_err(io::Error::other)?;
        buffer[..chunk.len()].copy_from_slice(&chunk);
        self.offset += chunk.len() as u64;
        Ok(chunk.len())
    }
}

/// A text that is passed on: the process's own, or a value that holds UTF-8 and need not have been read.
///
/// Whatever takes a content takes `&str`, `String` and `&Value`.
///
/// ```no_run
/// use remit::prelude::*;
///
/// #[remit::agent]
/// fn run(task: Task) -> Result<Outcome, Failure> {
///     emit_text("You said: ")?;
///     if let Some(request) = task.request() {
///         emit_text(request)?; // unread: the agent stays untainted
///     }
///     Ok(Outcome::complete())
/// }
/// # fn main() {}
/// ```
#[derive(Clone, Debug)]
pub enum Content<'a> {
    /// The process's own.
    Text(Cow<'a, str>),
    /// A value, unread.
    Value(&'a Value),
}

impl Content<'_> {
    pub(crate) fn raw(&self) -> value::Content<'_> {
        match self {
            Self::Text(text) => value::Content::Text(text),
            Self::Value(value) => value::Content::Value(&value.raw),
        }
    }
}

impl<'a> From<&'a str> for Content<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a String> for Content<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Content<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'a> From<&'a Value> for Content<'a> {
    fn from(value: &'a Value) -> Self {
        Self::Value(value)
    }
}
