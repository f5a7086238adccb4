//! Values put into a pattern: `"%s" % value` and `"{}".format(value)`, less widths and alignments.

use super::{
    meter::{Buffer, Meter, Outcome, failed},
    print::{print, repr},
    render::Given,
    value::Value,
};
use std::rc::Rc;

/// Digits behind the point: more than a float has.
const DIGITS_MAX: usize = 64;

/// `%s`, `%r`, `%d`, `%i`, `%f`, `%.2f`, `%x` and `%%`.
pub(super) fn percent<'a>(pattern: &str, values: &[Value<'a>], meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let mut out = Buffer::new(meter)?;
    let mut values = values.iter();
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        out.push(&rest[..at])?;
        rest = &rest[at + 1..];
        let digits = rest.find(|next: char| next != '.' && !next.is_ascii_digit()).unwrap_or(rest.len());
        let (precision, behind) = rest.split_at(digits);
        let Some(kind) = behind.chars().next() else { return failed("a pattern ends in %") };
        rest = &behind[kind.len_utf8()..];
        if kind == '%' {
            out.push("%")?;
            continue;
        }
        let Some(value) = values.next() else { return failed("a pattern has more places than there are values") };
        let precision = match (precision, precision.strip_prefix('.').and_then(|digits| digits.parse().ok())) {
            ("", _) => None,
            (_, Some(digits)) if digits <= DIGITS_MAX => Some(digits),
            _ => {
                return failed(format!(
                    "a pattern has a width, or more than {DIGITS_MAX} digits: %{}",
                    short(precision)
                ));
            }
        };
        let float = value.as_float().map(|number| format!("{number:.*}", precision.unwrap_or(6)));
        match (kind, precision, value.as_int(), float) {
            ('s', None, ..) => print(value, &mut out)?,
            ('r', None, ..) => repr(value, &mut out)?,
            ('d' | 'i', None, Some(number), _) => out.push(&number.to_string())?,
            ('d' | 'i', None, None, Some(_)) => {
                let whole = value.as_float().map_or(0.0, f64::trunc);
                out.push(&format!("{whole:.0}"))?;
            }
            ('x', None, Some(number), _) if number >= 0 => out.push(&format!("{number:x}"))?,
            ('f' | 'F', _, _, Some(written)) => out.push(&written)?,
            _ => return failed(format!("the pattern has no such place for {} as %{kind}", value.kind())),
        }
    }
    out.push(rest)?;
    match values.next() {
        None => Ok(out.into()),
        Some(_) => failed("a pattern has fewer places than there are values"),
    }
}

/// `{}`, `{0}`, `{name}`, `{{` and `}}`.
pub(super) fn braces<'a>(pattern: &str, given: &Given<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let mut out = Buffer::new(meter)?;
    let mut next = 0;
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        meter.steps(1)?;
        out.push(&rest[..at])?;
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix(brace) {
            out.push(brace)?;
            rest = behind;
            continue;
        }
        let Some((field, behind)) = rest.split_once('}').filter(|_| brace == "{") else {
            return failed("a pattern has a brace without its other one");
        };
        rest = behind;
        let value = match field {
            "" => {
                next += 1;
                given.positional.get(next - 1)
            }
            field => match field.parse::<usize>() {
                Ok(index) => given.positional.get(index),
                Err(_) => given.named.iter().find(|(name, _)| *name == field).map(|(_, value)| value),
            },
        };
        match value {
            Some(value) => print(value, &mut out)?,
            None => return failed(format!("a pattern has a place {{{}}} without a value", short(field))),
        }
    }
    out.push(rest)?;
    Ok(out.into())
}

/// As much of a text as a sentence bears.
fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
