//! What operators do, as Python has it; integers have 64 bits.

use super::{
    format,
    meter::{Buffer, Meter, Outcome, Pile, failed},
    print::print,
    syntax::{Comparison, Operator},
    value::{List, Value},
};
use std::{cmp::Ordering, rc::Rc};

pub(super) fn arithmetic<'a>(operator: Operator, a: Value<'a>, b: Value<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    if operator == Operator::Join {
        let mut joined = Buffer::new(meter)?;
        print(&a, &mut joined)?;
        print(&b, &mut joined)?;
        return Ok(joined.into());
    }
    let (a, b) = (a.defined()?, b.defined()?);
    match (operator, &a, &b) {
        (Operator::Add, Value::Text(a), Value::Text(b)) => {
            let mut sum = Buffer::new(meter)?;
            sum.push(a.as_str())?;
            sum.push(b.as_str())?;
            Ok(sum.into())
        }
        (Operator::Add, Value::List(a), Value::List(b)) => {
            let mut sum = List::new(meter)?;
            a.items().iter().chain(b.items()).try_for_each(|item| sum.push(item.clone()))?;
            Ok(sum.into())
        }
        (Operator::Multiply, Value::Text(_) | Value::List(_), times) => repeat(&a, times, meter),
        (Operator::Multiply, times, Value::Text(_) | Value::List(_)) => repeat(&b, times, meter),
        (Operator::Remainder, Value::Text(pattern), value) => {
            let values = match value {
                Value::List(list) => list.items(),
                value => std::slice::from_ref(value),
            };
            format::percent(pattern.as_str(), values, meter)
        }
        _ => numbers(operator, &a, &b),
    }
}

fn repeat<'a>(value: &Value<'a>, times: &Value<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let Some(times) = times.as_int() else {
        return failed(format!("{} cannot be multiplied with {}", value.kind(), times.kind()));
    };
    let times = usize::try_from(times).unwrap_or(0);
    match value {
        Value::Text(text) => {
            let mut repeated = Buffer::new(meter)?;
            repeated.push_times(text.as_str(), times)?;
            Ok(repeated.into())
        }
        value => {
            let (items, mut repeated) = (value.items(meter)?, List::new(meter)?);
            for _ in 0..times {
                meter.steps(1)?;
                items.items().iter().try_for_each(|item| repeated.push(item.clone()))?;
            }
            Ok(repeated.into())
        }
    }
}

fn numbers<'a>(operator: Operator, a: &Value<'a>, b: &Value<'a>) -> Outcome<Value<'a>> {
    if let (Some(a), Some(b)) = (a.as_int(), b.as_int())
        && let Some(result) = integers(operator, a, b)?
    {
        return result.map_or_else(|| failed("a number is larger than 64 bits hold"), |number| Ok(Value::Int(number)));
    }
    let (Some(x), Some(y)) = (a.as_float(), b.as_float()) else {
        let sign = match operator {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::FloorDivide => "//",
            Operator::Remainder => "%",
            Operator::Power => "**",
            Operator::Join => "~",
        };
        return failed(format!("{} {sign} {} is not possible", a.kind(), b.kind()));
    };
    let by_zero = matches!(operator, Operator::Divide | Operator::FloorDivide | Operator::Remainder) && y == 0.0;
    if by_zero {
        return failed("a number is divided by zero");
    }
    Ok(Value::Float(match operator {
        Operator::Add => x + y,
        Operator::Subtract => x - y,
        Operator::Multiply => x * y,
        Operator::Divide => x / y,
        Operator::FloorDivide => (x / y).floor(),
        Operator::Remainder => x - y * (x / y).floor(),
        Operator::Power => x.powf(y),
        Operator::Join => return failed("texts are joined, and numbers are not"),
    }))
}

/// An integer of integers; the inner `None` where it is too large, the outer one where the result is no integer.
#[allow(clippy::option_option, reason = "the two mean different things, and only the caller tells them apart")]
fn integers(operator: Operator, a: i64, b: i64) -> Outcome<Option<Option<i64>>> {
    let divided = matches!(operator, Operator::Divide | Operator::FloorDivide | Operator::Remainder);
    if divided && b == 0 {
        return failed("a number is divided by zero");
    }
    // Rounds towards minus infinity, as Python does.
    let rounds_down = |a: i64, b: i64| a % b != 0 && (a < 0) != (b < 0);
    Ok(match operator {
        Operator::Add => Some(a.checked_add(b)),
        Operator::Subtract => Some(a.checked_sub(b)),
        Operator::Multiply => Some(a.checked_mul(b)),
        Operator::FloorDivide => Some(a.checked_div(b).map(|quotient| quotient - i64::from(rounds_down(a, b)))),
        Operator::Remainder => Some(a.checked_rem(b).map(|rest| rest + if rounds_down(a, b) { b } else { 0 })),
        Operator::Power => match u32::try_from(b) {
            Ok(power) => Some(a.checked_pow(power)),
            Err(_) if b < 0 => None,
            Err(_) => Some(matches!(a, 0 | 1).then_some(a)),
        },
        Operator::Divide | Operator::Join => None,
    })
}

pub(super) fn compares<'a>(operator: Comparison, a: &Value<'a>, b: &Value<'a>, meter: &Rc<Meter>) -> Outcome<bool> {
    let ordered = || compare(a, b, Case::Matters, meter);
    Ok(match operator {
        Comparison::Equal => a.equals(b, meter)?,
        Comparison::NotEqual => !a.equals(b, meter)?,
        Comparison::Less => ordered()? == Ordering::Less,
        Comparison::LessOrEqual => ordered()? != Ordering::Greater,
        Comparison::Greater => ordered()? == Ordering::Greater,
        Comparison::GreaterOrEqual => ordered()? != Ordering::Less,
        Comparison::In => contains(b, a, meter)?,
        Comparison::NotIn => !contains(b, a, meter)?,
    })
}

fn contains<'a>(whole: &Value<'a>, part: &Value<'a>, meter: &Rc<Meter>) -> Outcome<bool> {
    match (whole, part) {
        (Value::Undefined(_), _) => Ok(false),
        (Value::Text(text), Value::Text(part)) => {
            meter.bytes(text.as_str().len())?;
            Ok(text.as_str().contains(part.as_str()))
        }
        (Value::List(list), _) => {
            for item in list.items() {
                if item.equals(part, meter)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (Value::Map(map), _) => Ok(map.get(part)?.is_some()),
        (Value::Space(space), _) => Ok(space.borrow().get(part)?.is_some()),
        _ => failed(format!("{} cannot be in {}", part.kind(), whole.kind())),
    }
}

/// Whether `A` and `a` differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Matters,
    Ignored,
}

/// Which comes first.
pub(super) fn compare(a: &Value<'_>, b: &Value<'_>, case: Case, meter: &Meter) -> Outcome<Ordering> {
    meter.steps(1)?;
    if let (Some(a), Some(b)) = (a.as_int(), b.as_int()) {
        return Ok(a.cmp(&b));
    }
    if let (Some(a), Some(b)) = (a.as_float(), b.as_float()) {
        return Ok(a.partial_cmp(&b).unwrap_or(Ordering::Equal));
    }
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => {
            let (a, b) = (a.as_str(), b.as_str());
            match case {
                Case::Matters => {
                    meter.bytes(a.len().min(b.len()))?;
                    Ok(a.cmp(b))
                }
                Case::Ignored => {
                    meter.characters(a.len().min(b.len()))?;
                    Ok(a.chars().flat_map(char::to_lowercase).cmp(b.chars().flat_map(char::to_lowercase)))
                }
            }
        }
        (Value::List(a), Value::List(b)) => {
            for (a, b) in a.items().iter().zip(b.items()) {
                let order = compare(a, b, case, meter)?;
                if order != Ordering::Equal {
                    return Ok(order);
                }
            }
            Ok(a.items().len().cmp(&b.items().len()))
        }
        _ => failed(format!("{} and {} have no order", a.kind(), b.kind())),
    }
}

/// Sorts, equal ones in the order that they had, as long as the comparison goes well: a merge sort, since those of the
/// standard library know no errors.
pub(super) fn sort<T: Clone>(
    items: &mut [T],
    meter: &Rc<Meter>,
    mut order: impl FnMut(&T, &T) -> Outcome<Ordering>,
) -> Outcome<()> {
    let mut width = 1;
    while width < items.len() {
        let mut merged = Pile::new(meter)?;
        for pair in items.chunks(width * 2) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let (Some((first, others)), Some((second, rest))) = (left.split_first(), right.split_first()) {
                if order(second, first)? == Ordering::Less {
                    merged.push(second.clone())?;
                    right = rest;
                } else {
                    merged.push(first.clone())?;
                    left = others;
                }
            }
            left.iter().chain(right).try_for_each(|item| merged.push(item.clone()))?;
        }
        items.clone_from_slice(&merged);
        width *= 2;
    }
    Ok(())
}

/// `value[index]`.
pub(super) fn item<'a>(value: &Value<'a>, index: &Value<'a>, meter: &Meter) -> Outcome<Value<'a>> {
    match (value, index) {
        (Value::Undefined(name), _) => failed(format!("'{name}' is undefined")),
        (Value::Map(map), key) => Ok(map.get(key)?.unwrap_or(Value::Undefined("item"))),
        (Value::Space(space), key) => Ok(space.borrow().get(key)?.unwrap_or(Value::Undefined("item"))),
        (Value::List(list), index) => {
            let at = index.as_int().and_then(|index| position(index, list.items().len()));
            Ok(at.map_or(Value::Undefined("item"), |at| list.items()[at].clone()))
        }
        (Value::Text(text), index) => {
            let string = text.as_str();
            meter.characters(string.len())?;
            let at = index.as_int().and_then(|index| match string.is_ascii() {
                true => position(index, string.len()),
                false => position(index, string.chars().count()),
            });
            let found = at.and_then(|at| string.char_indices().nth(at));
            Ok(found.map_or(Value::Undefined("item"), |(at, character)| {
                Value::Text(text.part(&string[at..at + character.len_utf8()]))
            }))
        }
        _ => Ok(Value::Undefined("item")),
    }
}

/// Where an index stands that may count from the end.
fn position(index: i64, length: usize) -> Option<usize> {
    let length_signed = i64::try_from(length).ok()?;
    let at = if index < 0 { index.checked_add(length_signed)? } else { index };
    usize::try_from(at).ok().filter(|at| *at < length)
}

/// `value[start:stop:step]`.
pub(super) fn slice<'a>(value: &Value<'a>, parts: &[Option<Value<'a>>; 3], meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let [start, stop, step] = parts;
    let number = |part: &Option<Value<'a>>| match part {
        None | Some(Value::None) => Ok(None),
        Some(part) => match part.as_int() {
            Some(number) => Ok(Some(number)),
            None => failed(format!("a slice has {} in it, where only integers can be", part.kind())),
        },
    };
    let (start, stop, step) = (number(start)?, number(stop)?, number(step)?.unwrap_or(1));
    if step == 0 {
        return failed("a slice has a step of zero");
    }
    match value {
        Value::Text(text) => {
            let string = text.as_str();
            meter.characters(string.len())?;
            if step == 1 {
                let (start, stop) = bounds(start, stop, step, string.chars().count());
                let mut places = string.char_indices().map(|(at, _)| at).chain([string.len()]);
                let from = places.nth(start as usize).unwrap_or(string.len());
                let to = match stop - start {
                    ..=0 => from,
                    count => places.nth(count as usize - 1).unwrap_or(string.len()),
                };
                return Ok(Value::Text(text.part(&string[from..to])));
            }
            let (mut characters, mut picked) = (Pile::new(meter)?, Buffer::new(meter)?);
            string.chars().try_for_each(|character| characters.push(character))?;
            for at in picks(bounds(start, stop, step, characters.len()), step) {
                picked.push_char(characters[at])?;
            }
            Ok(picked.into())
        }
        value => {
            let (items, mut picked) = (value.items(meter)?, List::new(meter)?);
            for at in picks(bounds(start, stop, step, items.items().len()), step) {
                picked.push(items.items()[at].clone())?;
            }
            Ok(picked.into())
        }
    }
}

/// From where to before where, inside of so many items (as `PySlice_AdjustIndices` has it).
fn bounds(start: Option<i64>, stop: Option<i64>, step: i64, length: usize) -> (i64, i64) {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let (lowest, highest) = if step < 0 { (-1, length - 1) } else { (0, length) };
    let clamped = |index: i64| {
        let index = if index < 0 { index.saturating_add(length) } else { index };
        index.clamp(lowest, highest.max(lowest))
    };
    let (first, last) = if step < 0 { (highest, lowest) } else { (lowest, highest) };
    (start.map_or(first, clamped), stop.map_or(last, clamped))
}

fn picks((start, stop): (i64, i64), step: i64) -> impl Iterator<Item = usize> {
    let mut next = Some(start);
    std::iter::from_fn(move || {
        let at = next.filter(|at| if step > 0 { *at < stop } else { *at > stop })?;
        next = at.checked_add(step);
        usize::try_from(at).ok()
    })
}
