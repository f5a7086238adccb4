//! Values as text: as Python's `str` and `repr` write them, and as JSON.

use super::{
    meter::{Buffer, Meter, Outcome, Pile, failed},
    operators::{Case, compare, sort},
    value::{Text, Value},
};
use std::rc::Rc;

/// As `str` writes it.
pub(super) fn print(value: &Value<'_>, out: &mut Buffer) -> Outcome<()> {
    match value {
        Value::Undefined(_) => Ok(()),
        Value::Text(text) => out.push(text.as_str()),
        value => repr(value, out),
    }
}

/// The text of a value, made where it is none.
pub(super) fn text<'a>(value: &Value<'a>, meter: &Rc<Meter>) -> Outcome<Text<'a>> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        value => {
            let mut out = Buffer::new(meter)?;
            print(value, &mut out)?;
            let end = out.len() as u32;
            Ok(Text::Made(Rc::new(out), 0, end))
        }
    }
}

/// As `repr` writes it.
pub(super) fn repr(value: &Value<'_>, out: &mut Buffer) -> Outcome<()> {
    match value {
        Value::Undefined(_) => out.push("Undefined"),
        Value::None => out.push("None"),
        Value::Bool(true) => out.push("True"),
        Value::Bool(false) => out.push("False"),
        Value::Int(number) => out.push(&number.to_string()),
        Value::Float(number) => out.push(&float(*number)),
        Value::Text(text) => quoted(text.as_str(), out),
        Value::List(list) => {
            out.push("[")?;
            for (index, item) in list.items().iter().enumerate() {
                out.push(if index == 0 { "" } else { ", " })?;
                repr(item, out)?;
            }
            out.push("]")
        }
        Value::Map(map) => {
            out.push("{")?;
            for (index, (key, value)) in map.pairs().iter().enumerate() {
                out.push(if index == 0 { "" } else { ", " })?;
                repr(key, out)?;
                out.push(": ")?;
                repr(value, out)?;
            }
            out.push("}")
        }
        other => failed(format!("{} cannot be written out", other.kind())),
    }
}

fn quoted(text: &str, out: &mut Buffer) -> Outcome<()> {
    out.meter().characters(text.len())?;
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push_char(quote)?;
    for character in text.chars() {
        match character {
            '\n' => out.push("\\n")?,
            '\r' => out.push("\\r")?,
            '\t' => out.push("\\t")?,
            '\\' => out.push("\\\\")?,
            character if character == quote => {
                out.push("\\")?;
                out.push_char(quote)?;
            }
            control if control.is_ascii_control() => out.push(&format!("\\x{:02x}", u32::from(control)))?,
            character => out.push_char(character)?,
        }
    }
    out.push_char(quote)
}

/// As Python writes it: with a point or an exponent, and an exponent from 10¹⁶ on and below 10⁻⁴.
pub(super) fn float(number: f64) -> String {
    let size = number.abs();
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() || size == 0.0 || (1e-4..1e16).contains(&size) {
        return format!("{number:?}");
    }
    let written = format!("{number:e}");
    match written.split_once('e') {
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(exponent) => format!("{digits}e-{exponent:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
        None => written,
    }
}

/// How JSON is laid out: as Python's `json.dumps` does with the same arguments.
pub(super) struct Layout<'l> {
    /// What one level is indented by, where each item has a line of its own.
    pub(super) indent: Option<&'l str>,
    pub(super) between_items: &'l str,
    pub(super) behind_key: &'l str,
    /// Writes `\uXXXX` for what is not ASCII.
    pub(super) ascii: bool,
    pub(super) sort_keys: bool,
}

/// As JSON.
pub(super) fn json(value: &Value<'_>, layout: &Layout<'_>, level: usize, out: &mut Buffer) -> Outcome<()> {
    match value {
        Value::None => out.push("null"),
        Value::Bool(value) => out.push(if *value { "true" } else { "false" }),
        Value::Int(number) => out.push(&number.to_string()),
        Value::Float(number) if number.is_nan() => out.push("NaN"),
        Value::Float(number) if number.is_infinite() => out.push(if *number > 0.0 { "Infinity" } else { "-Infinity" }),
        Value::Float(number) => out.push(&float(*number)),
        Value::Text(text) => json_text(text.as_str(), layout, out),
        Value::List(list) => {
            out.push("[")?;
            for (index, item) in list.items().iter().enumerate() {
                json_line(layout, level + 1, index, out)?;
                json(item, layout, level + 1, out)?;
            }
            json_end(layout, level, list.items().is_empty(), out)?;
            out.push("]")
        }
        Value::Map(map) => {
            let mut pairs = Pile::new(out.meter())?;
            map.pairs().iter().try_for_each(|pair| pairs.push(pair))?;
            if layout.sort_keys {
                let meter = out.meter().clone();
                sort(pairs.as_mut_slice(), &meter, |(a, _), (b, _)| compare(a, b, Case::Matters, &meter))?;
            }
            out.push("{")?;
            for (index, (key, value)) in pairs.iter().enumerate() {
                json_line(layout, level + 1, index, out)?;
                match key {
                    Value::Text(key) => json_text(key.as_str(), layout, out)?,
                    Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                        out.push("\"")?;
                        json(key, layout, level, out)?;
                        out.push("\"")?;
                    }
                    other => return failed(format!("{} cannot be a key of JSON", other.kind())),
                }
                out.push(layout.behind_key)?;
                json(value, layout, level + 1, out)?;
            }
            json_end(layout, level, map.pairs().is_empty(), out)?;
            out.push("}")
        }
        other => failed(format!("{} cannot be written as JSON", other.kind())),
    }
}

/// What stands before an item.
fn json_line(layout: &Layout<'_>, level: usize, index: usize, out: &mut Buffer) -> Outcome<()> {
    match (layout.indent, index) {
        (None, 0) => Ok(()),
        (None, _) => out.push(layout.between_items),
        (Some(indent), _) => {
            out.push(if index == 0 { "" } else { layout.between_items.trim_end() })?;
            out.push("\n")?;
            out.push_times(indent, level)
        }
    }
}

fn json_end(layout: &Layout<'_>, level: usize, is_empty: bool, out: &mut Buffer) -> Outcome<()> {
    match layout.indent {
        Some(indent) if !is_empty => {
            out.push("\n")?;
            out.push_times(indent, level)
        }
        _ => Ok(()),
    }
}

fn json_text(text: &str, layout: &Layout<'_>, out: &mut Buffer) -> Outcome<()> {
    out.meter().characters(text.len())?;
    out.push("\"")?;
    for character in text.chars() {
        match character {
            '"' => out.push("\\\"")?,
            '\\' => out.push("\\\\")?,
            '\n' => out.push("\\n")?,
            '\r' => out.push("\\r")?,
            '\t' => out.push("\\t")?,
            '\u{8}' => out.push("\\b")?,
            '\u{c}' => out.push("\\f")?,
            control if u32::from(control) < 0x20 => out.push(&format!("\\u{:04x}", u32::from(control)))?,
            other if layout.ascii && !other.is_ascii() => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    out.push(&format!("\\u{unit:04x}"))?;
                }
            }
            other => out.push_char(other)?,
        }
    }
    out.push("\"")
}
