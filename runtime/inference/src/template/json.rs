//! The filter `tojson` as `transformers` has it: a space behind commas and colons, nothing escaped for HTML.

use super::VALUE_BYTES_MAX;
use minijinja::{Error, ErrorKind, Value, value::Kwargs};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use std::io::{self, Write};

/// Spaces of one level: known templates have two or four.
const INDENT_MAX: usize = 16;

/// Python's separators where it does not indent.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// `indent` is the number of spaces of one level; no other argument changes anything here.
#[allow(clippy::needless_pass_by_value, reason = "the environment gives a filter its arguments by value")]
pub(super) fn to_json(value: &Value, indent: Option<usize>, options: Kwargs) -> Result<String, Error> {
    let indent = indent.or(options.get("indent")?);
    let _: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let failed = |why: String| Error::new(ErrorKind::BadSerialization, why);
    let mut out = Bounded::default();
    let written = match indent {
        None => value.serialize(&mut Serializer::with_formatter(&mut out, Spaced)),
        Some(spaces) if spaces > INDENT_MAX => return Err(failed(format!("tojson indents by {INDENT_MAX} at most"))),
        Some(spaces) => {
            let indent = " ".repeat(spaces);
            value.serialize(&mut Serializer::with_formatter(&mut out, PrettyFormatter::with_indent(indent.as_bytes())))
        }
    };
    written.map_err(|error| failed(error.to_string()))?;
    String::from_utf8(out.bytes).map_err(|error| failed(error.to_string()))
}

/// Takes [`VALUE_BYTES_MAX`] and no more.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > VALUE_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("tojson writes more than {VALUE_BYTES_MAX} bytes; shorten the conversation"),
            ));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
