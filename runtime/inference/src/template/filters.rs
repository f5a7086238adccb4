//! Filters: `value | name(arguments)`. Those of Jinja2 that chat templates use; arguments have its names and defaults.

use super::{
    format,
    meter::{Buffer, Meter, Outcome, failed},
    methods::{self, Called, capitalized, mapped, titled, trimmed},
    operators::{Case, arithmetic, compare, item, sort},
    predicates,
    print::{Layout, json, print, text},
    render::Given,
    syntax::Operator,
    value::{List, Text, Value},
};
use std::{cmp::Ordering, rc::Rc};

/// Spaces of one level of JSON: known templates have two or four.
const JSON_INDENT_MAX: usize = 16;

/// What a filter makes of a value.
pub(super) fn apply<'a>(name: &str, value: Value<'a>, given: Given<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    match name {
        "capitalize" | "e" | "escape" | "format" | "indent" | "lower" | "replace" | "safe" | "string" | "title"
        | "trim" | "upper" | "wordcount" => of_text(name, &value, given, meter),
        "first" | "last" | "reverse" => from_end(name, &value, given, meter),
        "join" | "list" | "map" | "max" | "min" | "reject" | "rejectattr" | "select" | "selectattr" | "sort"
        | "sum" | "unique" => of_list(name, &value, given, meter),
        "abs" | "float" | "int" | "round" => of_number(name, &value, given, meter),
        "count" | "length" => {
            let [] = given.bind(name, [])?;
            length(&value, meter).map(Value::count)
        }
        "d" | "default" => {
            let [default, also_false] = given.bind(name, ["default_value", "boolean"])?;
            let is_missing = matches!(value, Value::Undefined(_))
                || (also_false.is_some_and(|also| also.is_true()) && !value.is_true());
            Ok(if is_missing { default.unwrap_or(Value::from("")) } else { value })
        }
        "dictsort" => dictsort(&value, given, meter),
        "items" => {
            let [] = given.bind(name, [])?;
            match (&value, methods::call(&value, "items", Given::default(), meter)?) {
                (Value::Undefined(_), _) => Ok(List::new(meter)?.into()),
                (Value::Map(_), Called::Answered(items)) => Ok(items),
                (other, _) => failed(format!("items takes a mapping, not {}", other.kind())),
            }
        }
        "tojson" => to_json(&value, given, meter),
        _ => failed(format!("chat templates have no filter {name}")),
    }
}

fn length(value: &Value<'_>, meter: &Meter) -> Outcome<usize> {
    match value {
        Value::Undefined(_) => Ok(0),
        Value::Text(text) => {
            meter.bytes(text.as_str().len())?;
            Ok(text.as_str().chars().count())
        }
        Value::List(list) => Ok(list.items().len()),
        Value::Map(map) => Ok(map.pairs().len()),
        other => failed(format!("{} has no length", other.kind())),
    }
}

fn of_text<'a>(name: &str, value: &Value<'a>, given: Given<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let text = text(value, meter)?;
    meter.bytes(text.as_str().len())?;
    match name {
        "format" if given.named.is_empty() => format::percent(text.as_str(), &given.positional, meter),
        "trim" => {
            let [characters] = given.bind(name, ["chars"])?;
            trimmed(&text, characters.as_ref(), true, true, meter)
        }
        "replace" => match methods::call(&Value::Text(text), "replace", given, meter)? {
            Called::Answered(replaced) => Ok(replaced),
            Called::NoMethod(_) => failed("replace takes texts"),
        },
        "indent" => {
            let [width, first, blank] = given.bind(name, ["width", "first", "blank"])?;
            let is_set = |option: Option<Value<'a>>| option.is_some_and(|option| option.is_true());
            indented(text.as_str(), &width.unwrap_or(Value::Int(4)), is_set(first), is_set(blank), meter)
        }
        _ => {
            let [] = given.bind(name, [])?;
            match name {
                "capitalize" => capitalized(text.as_str(), meter),
                "e" | "escape" => escaped(text.as_str(), meter),
                "lower" => mapped(text.as_str(), meter, |character, out| {
                    character.to_lowercase().try_for_each(|lower| out.push_char(lower))
                }),
                "upper" => mapped(text.as_str(), meter, |character, out| {
                    character.to_uppercase().try_for_each(|upper| out.push_char(upper))
                }),
                "title" => titled(text.as_str(), |before| before.is_whitespace() || "-({[<".contains(before), meter),
                "wordcount" => Ok(Value::count(text.as_str().split_whitespace().count())),
                "safe" | "string" => Ok(Value::Text(text)),
                _ => failed(format!("{name} is given arguments that it does not take")),
            }
        }
    }
}

fn escaped<'a>(text: &str, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    mapped(text, meter, |character, out| match character {
        '&' => out.push("&amp;"),
        '<' => out.push("&lt;"),
        '>' => out.push("&gt;"),
        '"' => out.push("&#34;"),
        '\'' => out.push("&#39;"),
        other => out.push_char(other),
    })
}

fn indented<'a>(text: &str, width: &Value<'a>, first: bool, blank: bool, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let mut unit = Buffer::new(meter)?;
    match width {
        Value::Text(text) => unit.push(text.as_str())?,
        width => unit.push_times(" ", width.as_int().and_then(|width| usize::try_from(width).ok()).unwrap_or(0))?,
    }
    let mut out = Buffer::new(meter)?;
    for (index, line) in text.split('\n').enumerate() {
        meter.steps(1)?;
        let wanted = if index == 0 { first } else { blank || !line.is_empty() };
        out.push(if index == 0 { "" } else { "\n" })?;
        out.push(if wanted { &unit } else { "" })?;
        out.push(line)?;
    }
    Ok(out.into())
}

fn of_list<'a>(name: &str, value: &Value<'a>, given: Given<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let items = value.items(meter)?;
    let list = items.items();
    match name {
        "join" => {
            let [between, attribute] = given.bind(name, ["d", "attribute"])?;
            let between = text(&between.unwrap_or(Value::from("")), meter)?;
            let mut out = Buffer::new(meter)?;
            for (index, item) in list.iter().enumerate() {
                meter.steps(1)?;
                out.push(if index == 0 { "" } else { between.as_str() })?;
                print(&of_path(item, attribute.as_ref(), meter)?, &mut out)?;
            }
            Ok(out.into())
        }
        "map" => map(list, given, meter),
        "select" | "reject" | "selectattr" | "rejectattr" => pick(name, list, given, meter),
        "sort" | "unique" | "max" | "min" => by_order(name, list, given, meter),
        "sum" => {
            let [attribute, start] = given.bind(name, ["attribute", "start"])?;
            let mut sum = start.unwrap_or(Value::Int(0));
            for item in list {
                let item = of_path(item, attribute.as_ref(), meter)?;
                sum = arithmetic(Operator::Add, sum, item, meter)?;
            }
            Ok(sum)
        }
        _ => {
            let [] = given.bind(name, [])?;
            Ok(Value::List(items))
        }
    }
}

/// The first item or character, the last one, or all of them from the last to the first.
fn from_end<'a>(name: &str, value: &Value<'a>, given: Given<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let [] = given.bind(name, [])?;
    match (name, value) {
        ("first", Value::Text(_)) => item(value, &Value::Int(0), meter),
        ("last", Value::Text(_)) => item(value, &Value::Int(-1), meter),
        (_, Value::Text(text)) => {
            meter.characters(text.as_str().len())?;
            let mut out = Buffer::new(meter)?;
            text.as_str().chars().rev().try_for_each(|character| out.push_char(character))?;
            Ok(out.into())
        }
        ("first", value) => Ok(value.items(meter)?.items().first().cloned().unwrap_or(Value::Undefined("first"))),
        ("last", value) => Ok(value.items(meter)?.items().last().cloned().unwrap_or(Value::Undefined("last"))),
        (_, value) => {
            let mut reversed = List::new(meter)?;
            value.items(meter)?.items().iter().rev().try_for_each(|item| reversed.push(item.clone()))?;
            Ok(reversed.into())
        }
    }
}

/// `map('filter', arguments)` or `map(attribute='path', default=value)`.
fn map<'a>(list: &[Value<'a>], mut given: Given<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let mut mapped = List::new(meter)?;
    match given.take_first() {
        Some(Value::Text(filter)) => {
            for item in list {
                let given = Given { positional: given.positional.clone(), named: given.named.clone() };
                mapped.push(apply(filter.as_str(), item.clone(), given, meter)?)?;
            }
        }
        _ => {
            let [attribute, default] = given.bind("map", ["attribute", "default"])?;
            let Some(path) = attribute else { return failed("map needs a filter's name or an attribute") };
            for item in list {
                mapped.push(match (by_path(item, &path, meter)?, &default) {
                    (Value::Undefined(_), Some(default)) => default.clone(),
                    (found, _) => found,
                })?;
            }
        }
    }
    Ok(mapped.into())
}

/// `select('test', arguments)`, `selectattr('path', 'test', arguments)`, and their opposites.
fn pick<'a>(name: &str, list: &[Value<'a>], mut given: Given<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let path = match name {
        "selectattr" | "rejectattr" => match given.take_first() {
            Some(path) => Some(path),
            None => return failed(format!("{name} needs an attribute")),
        },
        _ => None,
    };
    let keeps = name.starts_with("select");
    let test = given.take_first();
    let mut picked = List::new(meter)?;
    for item in list {
        let tested = of_path(item, path.as_ref(), meter)?;
        let holds = match &test {
            None => tested.is_true(),
            Some(Value::Text(test)) => {
                let given = Given { positional: given.positional.clone(), named: given.named.clone() };
                predicates::holds(test.as_str(), &tested, given, meter)?
            }
            Some(other) => return failed(format!("{name} needs a test's name, not {}", other.kind())),
        };
        if holds == keeps {
            picked.push(item.clone())?;
        }
    }
    Ok(picked.into())
}

fn by_order<'a>(name: &str, list: &[Value<'a>], given: Given<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let (reverse, case, attribute) = match name {
        "sort" => {
            let [reverse, case, attribute] = given.bind(name, ["reverse", "case_sensitive", "attribute"])?;
            (reverse.is_some_and(|reverse| reverse.is_true()), case, attribute)
        }
        _ => {
            let [case, attribute] = given.bind(name, ["case_sensitive", "attribute"])?;
            (false, case, attribute)
        }
    };
    let case = if case.is_some_and(|case| case.is_true()) { Case::Matters } else { Case::Ignored };
    let key = |item: &Value<'a>| of_path(item, attribute.as_ref(), meter);
    let order = |a: &Value<'a>, b: &Value<'a>| compare(&key(a)?, &key(b)?, case, meter);
    match name {
        "sort" => {
            let mut sorted = List::new(meter)?;
            list.iter().try_for_each(|item| sorted.push(item.clone()))?;
            let ordered = |a: &Value<'a>, b: &Value<'a>| if reverse { order(b, a) } else { order(a, b) };
            sort(sorted.items_mut(), meter, ordered)?;
            Ok(sorted.into())
        }
        "unique" => {
            let mut kept = List::new(meter)?;
            for item in list {
                let mut is_new = true;
                for other in kept.items() {
                    let (a, b) = (key(item)?, key(other)?);
                    let both_text = matches!((&a, &b), (Value::Text(_), Value::Text(_)));
                    let same =
                        if both_text { compare(&a, &b, case, meter)? == Ordering::Equal } else { a.equals(&b, meter)? };
                    is_new &= !same;
                }
                if is_new {
                    kept.push(item.clone())?;
                }
            }
            Ok(kept.into())
        }
        _ => {
            let wanted = if name == "max" { Ordering::Greater } else { Ordering::Less };
            let mut best: Option<&Value<'a>> = None;
            for item in list {
                if best.map_or(Ok(true), |best| Ok(order(item, best)? == wanted))? {
                    best = Some(item);
                }
            }
            Ok(best.cloned().unwrap_or(Value::Undefined("item")))
        }
    }
}

/// The pairs of a map, in the order of their keys or values.
fn dictsort<'a>(value: &Value<'a>, given: Given<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let [case, by, reverse] = given.bind("dictsort", ["case_sensitive", "by", "reverse"])?;
    let case = if case.is_some_and(|case| case.is_true()) { Case::Matters } else { Case::Ignored };
    let by = usize::from(by.is_some_and(|by| by.as_str() == Some("value")));
    let reverse = reverse.is_some_and(|reverse| reverse.is_true());
    let Value::Map(map) = value else { return failed(format!("dictsort takes a mapping, not {}", value.kind())) };
    let mut pairs = methods::pairs(map, meter)?;
    sort(pairs.items_mut(), meter, |a, b| {
        let key = |pair: &Value<'a>| item(pair, &Value::count(by), meter);
        let (a, b) = (key(a)?, key(b)?);
        if reverse { compare(&b, &a, case, meter) } else { compare(&a, &b, case, meter) }
    })?;
    Ok(pairs.into())
}

fn of_number<'a>(name: &str, value: &Value<'a>, given: Given<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let read = |text: &str| text.trim().replace('_', "");
    match name {
        "abs" => {
            let [] = given.bind(name, [])?;
            match value {
                Value::Float(number) => Ok(Value::Float(number.abs())),
                other => match other.as_int().and_then(i64::checked_abs) {
                    Some(number) => Ok(Value::Int(number)),
                    None => failed(format!("{} has no absolute value", other.kind())),
                },
            }
        }
        "float" => {
            let [default] = given.bind(name, ["default"])?;
            let number = value.as_float().or_else(|| read(value.as_str().filter(|text| text.len() < 64)?).parse().ok());
            Ok(number.map_or(default.unwrap_or(Value::Float(0.0)), Value::Float))
        }
        "int" => {
            let [default, base] = given.bind(name, ["default", "base"])?;
            let base = base.and_then(|base| base.as_int()).and_then(|base| u32::try_from(base).ok()).unwrap_or(10);
            let text = value.as_str().filter(|text| text.len() < 64).map(read);
            let written = text.as_ref().filter(|_| (2..=36).contains(&base));
            let whole = value.as_int().or_else(|| i64::from_str_radix(written?, base).ok());
            let float = || value.as_float().or_else(|| text.as_ref()?.parse().ok()).filter(|number| number.is_finite());
            // Saturates, where Python's integers go on.
            let whole = whole.or_else(|| float().map(|number| number as i64));
            Ok(whole.map_or(default.unwrap_or(Value::Int(0)), Value::Int))
        }
        _ => {
            let [precision, method] = given.bind(name, ["precision", "method"])?;
            let Some(number) = value.as_float() else { return failed(format!("{} cannot be rounded", value.kind())) };
            let places = precision.and_then(|precision| precision.as_int()).unwrap_or(0).clamp(-15, 15) as i32;
            let scale = 10_f64.powi(places);
            let method = text(&method.unwrap_or(Value::from("common")), meter)?;
            let rounded = match method.as_str() {
                "ceil" => (number * scale).ceil() / scale,
                "floor" => (number * scale).floor() / scale,
                "common" => (number * scale).round_ties_even() / scale,
                _ => return failed("round knows the methods common, ceil and floor"),
            };
            Ok(Value::Float(rounded))
        }
    }
}

/// The value itself, or what a path leads to from it.
fn of_path<'a>(value: &Value<'a>, path: Option<&Value<'a>>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    path.map_or_else(|| Ok(value.clone()), |path| by_path(value, path, meter))
}

/// What a path like `a.0.b` leads to.
fn by_path<'a>(value: &Value<'a>, path: &Value<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let Value::Text(path) = path else { return item(value, path, meter) };
    let mut found = value.clone();
    for name in path.as_str().split('.') {
        let key = match name.parse::<i64>() {
            Ok(index) => Value::Int(index),
            Err(_) => Value::Text(path.part(name)),
        };
        found = match (&found, &key) {
            (Value::Undefined(_), _) => return Ok(Value::Undefined("attribute")),
            (Value::Loop(state), Value::Text(Text::Borrowed(name))) => state.attribute(name),
            _ => item(&found, &key, meter)?,
        };
    }
    Ok(found)
}

/// As `transformers` has it: a space behind commas and colons, nothing escaped for HTML.
fn to_json<'a>(value: &Value<'a>, given: Given<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let [ascii, indent, separators, sort_keys] =
        given.bind("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"])?;
    // The first argument without a name is the indent of Jinja2's own filter.
    let is_set = |option: &Option<Value<'a>>| option.as_ref().is_some_and(Value::is_true);
    let (ascii, indent) = match (ascii, indent) {
        (Some(Value::Int(width)), None) => (None, Some(Value::Int(width))),
        given => given,
    };
    let indent = match indent {
        None | Some(Value::None) => None,
        Some(width) => match width.as_int().and_then(|width| usize::try_from(width).ok()) {
            Some(width) if width <= JSON_INDENT_MAX => Some(" ".repeat(width)),
            _ => return failed(format!("tojson indents by {JSON_INDENT_MAX} at most")),
        },
    };
    let separators = separators.filter(|separators| !matches!(separators, Value::None));
    let separators = separators.map(|separators| separators.items(meter)).transpose()?;
    let (between_items, behind_key) = match separators.as_ref().map(|pair| pair.items()) {
        None => (", ", ": "),
        Some([items, key]) => (items.as_str().unwrap_or(", "), key.as_str().unwrap_or(": ")),
        Some(_) => return failed("tojson takes two separators"),
    };
    let sort_keys = is_set(&sort_keys);
    let layout = Layout { indent: indent.as_deref(), between_items, behind_key, ascii: is_set(&ascii), sort_keys };
    let mut out = Buffer::new(meter)?;
    json(value, &layout, 0, &mut out)?;
    Ok(out.into())
}
