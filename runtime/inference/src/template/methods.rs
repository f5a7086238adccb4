//! Methods of texts, mappings, lists and loops: Python's, as far as templates call them. None changes its value, as in the
//! immutable sandbox of `transformers`.

use super::{
    format,
    meter::{Buffer, Meter, Outcome, failed},
    render::Given,
    value::{List, Loop, Map, Text, Value},
};
use std::rc::Rc;

/// What came of a call.
pub(super) enum Called<'a> {
    Answered(Value<'a>),
    /// The value has no such method; the arguments are given back.
    NoMethod(Given<'a>),
}

/// Calls a method.
pub(super) fn call<'a>(value: &Value<'a>, name: &str, given: Given<'a>, meter: &Rc<Meter>) -> Outcome<Called<'a>> {
    let answer = match (value, name) {
        (Value::Text(text), _) => {
            meter.bytes(text.as_str().len())?;
            of_text(text, name, given, meter)?
        }
        (Value::Map(map), "get" | "items" | "keys" | "values") => of_map(map, name, given, meter)?,
        (Value::List(list), "count" | "index") => of_list(list, name, given, meter)?,
        (Value::Loop(state), "cycle" | "changed") => of_loop(state, name, given, meter)?,
        _ => return Ok(Called::NoMethod(given)),
    };
    Ok(Called::Answered(answer))
}

/// The pairs of a map, each as a list.
pub(super) fn pairs<'a>(map: &Map<'a>, meter: &Rc<Meter>) -> Outcome<List<'a>> {
    let mut pairs = List::new(meter)?;
    for (key, value) in map.pairs() {
        let mut pair = List::new(meter)?;
        pair.push(key.clone())?;
        pair.push(value.clone())?;
        pairs.push(pair.into())?;
    }
    Ok(pairs)
}

fn of_map<'a>(map: &Map<'a>, name: &str, given: Given<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    if name == "get" {
        let [key, default] = given.bind(name, ["key", "default"])?;
        let Some(key) = key else { return failed("get is called without a key") };
        return Ok(map.get(&key)?.or(default).unwrap_or(Value::None));
    }
    let [] = given.bind(name, [])?;
    if name == "items" {
        return Ok(pairs(map, meter)?.into());
    }
    let mut list = List::new(meter)?;
    for (key, value) in map.pairs() {
        list.push(if name == "keys" { key } else { value }.clone())?;
    }
    Ok(list.into())
}

fn of_list<'a>(list: &List<'a>, name: &str, given: Given<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let [wanted] = given.bind(name, ["value"])?;
    let wanted = wanted.unwrap_or(Value::None);
    let mut count = 0;
    for (index, item) in list.items().iter().enumerate() {
        if item.equals(&wanted, meter)? {
            if name == "index" {
                return Ok(Value::count(index));
            }
            count += 1;
        }
    }
    if name == "index" { failed("index finds no such item in the list") } else { Ok(Value::count(count)) }
}

fn of_loop<'a>(state: &Loop<'a>, name: &str, given: Given<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    if name == "cycle" {
        let turns = given.positional.len();
        let turn = state.index.get().checked_rem(turns);
        return Ok(turn.and_then(|turn| given.positional.into_iter().nth(turn)).unwrap_or(Value::Undefined("cycle")));
    }
    let mut now = List::new(meter)?;
    given.positional.into_iter().try_for_each(|value| now.push(value))?;
    let mut seen = state.seen.borrow_mut();
    let mut changed = seen.as_ref().is_none_or(|seen| seen.items().len() != now.items().len());
    if let (false, Some(seen)) = (changed, seen.as_ref()) {
        for (a, b) in seen.items().iter().zip(now.items()) {
            changed |= !a.equals(b, meter)?;
        }
    }
    *seen = Some(now);
    Ok(Value::Bool(changed))
}

fn of_text<'a>(text: &Text<'a>, name: &str, given: Given<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let string = text.as_str();
    match name {
        "strip" | "lstrip" | "rstrip" => {
            let [characters] = given.bind(name, ["chars"])?;
            trimmed(text, characters.as_ref(), name != "rstrip", name != "lstrip", meter)
        }
        "split" | "rsplit" => {
            let [separator, most] = given.bind(name, ["sep", "maxsplit"])?;
            let most = most.and_then(|most| most.as_int()).and_then(|most| usize::try_from(most).ok());
            split(text, separator.as_ref(), most.unwrap_or(usize::MAX), name == "rsplit", meter)
        }
        "splitlines" => {
            let [keep] = given.bind(name, ["keepends"])?;
            lines(text, keep.is_some_and(|keep| keep.is_true()), meter)
        }
        "partition" | "rpartition" => {
            let [separator] = given.bind(name, ["sep"])?;
            partition(text, name, argument(separator.as_ref(), name)?, meter)
        }
        "startswith" | "endswith" => {
            let [affix] = given.bind(name, ["prefix"])?;
            let holds =
                |affix: &str| if name == "startswith" { string.starts_with(affix) } else { string.ends_with(affix) };
            match affix {
                Some(Value::List(affixes)) => {
                    for affix in affixes.items() {
                        meter.bytes(string.len())?;
                        if holds(argument(Some(affix), name)?) {
                            return Ok(Value::Bool(true));
                        }
                    }
                    Ok(Value::Bool(false))
                }
                affix => Ok(Value::Bool(holds(argument(affix.as_ref(), name)?))),
            }
        }
        "removeprefix" | "removesuffix" => {
            let [affix] = given.bind(name, ["affix"])?;
            let affix = argument(affix.as_ref(), name)?;
            let rest = if name == "removeprefix" { string.strip_prefix(affix) } else { string.strip_suffix(affix) };
            Ok(Value::Text(text.part(rest.unwrap_or(string))))
        }
        "find" | "rfind" | "index" | "count" => {
            let [wanted] = given.bind(name, ["sub"])?;
            search(string, name, argument(wanted.as_ref(), name)?)
        }
        "replace" => {
            let [old, new, most] = given.bind(name, ["old", "new", "count"])?;
            let most = most.and_then(|most| most.as_int()).and_then(|most| usize::try_from(most).ok());
            let (old, new) = (argument(old.as_ref(), name)?, argument(new.as_ref(), name)?);
            replaced(string, old, new, most.unwrap_or(usize::MAX), meter)
        }
        "join" => {
            let [list] = given.bind(name, ["iterable"])?;
            let list = list.unwrap_or(Value::None).items(meter)?;
            let mut out = Buffer::new(meter)?;
            for (index, item) in list.items().iter().enumerate() {
                meter.steps(1)?;
                out.push(if index == 0 { "" } else { string })?;
                out.push(argument(Some(item), name)?)?;
            }
            Ok(out.into())
        }
        "format" => format::braces(string, &given, meter),
        _ => {
            let [] = given.bind(name, [])?;
            meter.characters(string.len())?;
            plain(string, name, meter)
        }
    }
}

/// Methods that take nothing.
fn plain<'a>(string: &str, name: &str, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let all = |is: fn(char) -> bool| Ok(Value::Bool(!string.is_empty() && string.chars().all(is)));
    let cased = |is: fn(char) -> bool, is_not: fn(char) -> bool| {
        Ok(Value::Bool(string.chars().any(is) && !string.chars().any(is_not)))
    };
    match name {
        "lower" => {
            mapped(string, meter, |character, out| character.to_lowercase().try_for_each(|lower| out.push_char(lower)))
        }
        "upper" => {
            mapped(string, meter, |character, out| character.to_uppercase().try_for_each(|upper| out.push_char(upper)))
        }
        "capitalize" => capitalized(string, meter),
        "title" => titled(string, |before| !before.is_alphabetic(), meter),
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isascii" => Ok(Value::Bool(string.is_ascii())),
        "isdigit" | "isdecimal" | "isnumeric" => all(char::is_numeric),
        "isspace" => all(char::is_whitespace),
        "islower" => cased(char::is_lowercase, char::is_uppercase),
        "isupper" => cased(char::is_uppercase, char::is_lowercase),
        _ => failed(format!("a string has no method {name}")),
    }
}

/// An argument that is a text.
fn argument<'v>(value: Option<&'v Value<'_>>, called: &str) -> Outcome<&'v str> {
    match value {
        Some(Value::Text(text)) => Ok(text.as_str()),
        Some(other) => failed(format!("{called} takes strings, not {}", other.kind())),
        None => failed(format!("{called} is called without a string")),
    }
}

/// What stands before, in and behind a separator.
fn partition<'a>(text: &Text<'a>, name: &str, separator: &str, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let string = text.as_str();
    if separator.is_empty() {
        return failed(format!("{name} takes no empty separator"));
    }
    let found = if name == "partition" { string.find(separator) } else { string.rfind(separator) };
    let parts = match found {
        Some(at) => [&string[..at], &string[at..at + separator.len()], &string[at + separator.len()..]],
        None if name == "partition" => [string, "", ""],
        None => ["", "", string],
    };
    let mut list = List::new(meter)?;
    for part in parts {
        list.push(if part.is_empty() { Value::from("") } else { Value::Text(text.part(part)) })?;
    }
    Ok(list.into())
}

fn search<'a>(string: &str, name: &str, wanted: &str) -> Outcome<Value<'a>> {
    if name == "count" {
        // Of nothing there is one between any two characters.
        return Ok(Value::count(string.matches(wanted).count()));
    }
    let found = if name == "rfind" { string.rfind(wanted) } else { string.find(wanted) };
    match found {
        Some(at) => Ok(Value::count(string[..at].chars().count())),
        None if name == "index" => failed("index finds no such part in the string"),
        None => Ok(Value::Int(-1)),
    }
}

/// A text without blanks, or without these characters, at its ends.
pub(super) fn trimmed<'a>(
    text: &Text<'a>,
    characters: Option<&Value<'a>>,
    at_begin: bool,
    at_end: bool,
    meter: &Rc<Meter>,
) -> Outcome<Value<'a>> {
    let set = match characters {
        None | Some(Value::None) => None,
        Some(set) => Some(argument(Some(set), "strip")?),
    };
    let goes = |character: char| set.map_or(character.is_whitespace(), |set| set.contains(character));
    // Bytes that go at one end. Each character is compared with all of the set.
    let end = |characters: &mut dyn Iterator<Item = char>| -> Outcome<usize> {
        let mut bytes = 0;
        for (index, character) in characters.enumerate() {
            meter.steps(usize::from(index % 16 == 0) + set.map_or(0, str::len) / 64)?;
            if !goes(character) {
                break;
            }
            bytes += character.len_utf8();
        }
        Ok(bytes)
    };
    let mut rest = text.as_str();
    if at_begin {
        rest = &rest[end(&mut rest.chars())?..];
    }
    if at_end {
        rest = &rest[..rest.len() - end(&mut rest.chars().rev())?];
    }
    Ok(Value::Text(text.part(rest)))
}

fn split<'a>(
    text: &Text<'a>,
    separator: Option<&Value<'a>>,
    most: usize,
    from_end: bool,
    meter: &Rc<Meter>,
) -> Outcome<Value<'a>> {
    let mut list = List::new(meter)?;
    let mut rest = text.as_str();
    let separator = match separator {
        None | Some(Value::None) => None,
        Some(separator) => match argument(Some(separator), "split")? {
            "" => return failed("split takes no empty separator"),
            separator => Some(separator),
        },
    };
    let blanks = |rest: &str| if from_end { rest.trim_end().len() } else { rest.trim_start().len() };
    while list.items().len() < most {
        if separator.is_none() {
            let kept = blanks(rest);
            rest = if from_end { &rest[..kept] } else { &rest[rest.len() - kept..] };
        }
        let width = |at: usize| separator.map_or_else(|| rest[at..].chars().next().map_or(1, char::len_utf8), str::len);
        let found = match (separator, from_end) {
            (Some(separator), false) => rest.find(separator),
            (Some(separator), true) => rest.rfind(separator),
            (None, false) => rest.find(char::is_whitespace),
            (None, true) => rest.rfind(char::is_whitespace),
        };
        let Some(at) = found else { break };
        let (before, behind) = (&rest[..at], &rest[at + width(at)..]);
        let (piece, others) = if from_end { (behind, before) } else { (before, behind) };
        list.push(Value::Text(text.part(piece)))?;
        rest = others;
    }
    if separator.is_none() {
        let kept = blanks(rest);
        rest = if from_end { &rest[..kept] } else { &rest[rest.len() - kept..] };
    }
    if separator.is_some() || !rest.is_empty() {
        list.push(Value::Text(text.part(rest)))?;
    }
    if from_end {
        list.items_mut().reverse();
    }
    Ok(list.into())
}

/// The lines of a text, which end in `\n`, `\r\n` or `\r`.
fn lines<'a>(text: &Text<'a>, keep_ends: bool, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let mut list = List::new(meter)?;
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let line = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let end = match &rest.as_bytes()[line..] {
            [b'\r', b'\n', ..] => 2,
            [_, ..] => 1,
            [] => 0,
        };
        list.push(Value::Text(text.part(&rest[..line + if keep_ends { end } else { 0 }])))?;
        rest = &rest[line + end..];
    }
    Ok(list.into())
}

fn replaced<'a>(string: &str, old: &str, new: &str, most: usize, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let mut out = Buffer::new(meter)?;
    let mut copied = 0;
    for (at, found) in string.match_indices(old).take(most) {
        meter.steps(1)?;
        out.push(&string[copied..at])?;
        out.push(new)?;
        copied = at + found.len();
    }
    out.push(&string[copied..])?;
    Ok(out.into())
}

/// Each character of a text as something else.
pub(super) fn mapped<'a>(
    text: &str,
    meter: &Rc<Meter>,
    write: impl Fn(char, &mut Buffer) -> Outcome<()>,
) -> Outcome<Value<'a>> {
    meter.characters(text.len())?;
    let mut out = Buffer::new(meter)?;
    text.chars().try_for_each(|character| write(character, &mut out))?;
    Ok(out.into())
}

/// The first letter large, the others small.
pub(super) fn capitalized<'a>(text: &str, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    cased(text, meter, |_, index| index == 0)
}

/// The letters behind these characters large, and the first one; the others small.
pub(super) fn titled<'a>(text: &str, begins: fn(char) -> bool, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    cased(text, meter, |before, index| index == 0 || begins(before))
}

fn cased<'a>(text: &str, meter: &Rc<Meter>, is_large: impl Fn(char, usize) -> bool) -> Outcome<Value<'a>> {
    meter.characters(text.len())?;
    let mut out = Buffer::new(meter)?;
    let mut before = ' ';
    for (index, character) in text.chars().enumerate() {
        match is_large(before, index) {
            true => character.to_uppercase().try_for_each(|upper| out.push_char(upper))?,
            false => character.to_lowercase().try_for_each(|lower| out.push_char(lower))?,
        }
        before = character;
    }
    Ok(out.into())
}
