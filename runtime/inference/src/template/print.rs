//! Values as text, as Python's `str` and `repr` write them.

use super::value::{make_text, storable, within};
use minijinja::{Error, Value, value::ValueKind};
use std::{borrow::Cow, fmt::Write};

/// The text of a value. One that is made is not counted yet.
pub(super) fn text(value: &Value) -> Result<Cow<'_, str>, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.into());
    }
    let mut out = String::new();
    if !value.is_undefined() {
        represent(value, &mut out)?;
    }
    Ok(out.into())
}

/// A value that holds such a text.
pub(super) fn as_text(value: &Value) -> Result<Value, Error> {
    if value.as_str().is_some() {
        return Ok(value.clone());
    }
    let text = text(value)?;
    make_text(text.len())?;
    Ok(Value::from(&*text))
}

fn represent(value: &Value, out: &mut String) -> Result<(), Error> {
    storable(value)?;
    within(out.len())?;
    match value.kind() {
        ValueKind::String => quote(value.as_str().unwrap_or_default(), out),
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::Map => {
            out.push('{');
            for (index, key) in value.try_iter()?.enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                represent(&key, out)?;
                out.push_str(": ");
                represent(&value.get_item(&key)?, out)?;
            }
            out.push('}');
        }
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            for (index, item) in value.try_iter()?.enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                represent(&item, out)?;
            }
            out.push(']');
        }
        _ => write!(out, "{value}")?,
    }
    Ok(())
}

fn quote(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            character if character == quote => out.extend(['\\', quote]),
            control if control.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(control))),
            character => out.push(character),
        }
    }
    out.push(quote);
}
