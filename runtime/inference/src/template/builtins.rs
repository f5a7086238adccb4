//! The filters, tests, functions and methods that templates may use: the library's, each with what it makes and reads counted
//! before it runs, and its result counted after.
//!
//! Left out, since nothing bounds them and no known template uses them: the filters `batch`, `chain`, `groupby`, `lines`, `pprint`,
//! `slice`, `split`, `urlencode`, `zip` and the function `debug`.

use super::{
    json,
    meter::{failed, make, read},
    print::{as_text, text},
    value::{ITEM_BYTES, Tree, extent, settled, size, storable, within},
};
use minijinja::{
    Environment, Error, ErrorKind, State, Value, filters, functions, tests,
    value::{DynObject, Kwargs, Rest, ValueKind, from_args},
};
use minijinja_contrib::pycompat::unknown_method_callback;

/// What a filter or method costs by its arguments, the value that it is called on first.
#[derive(Clone, Copy)]
enum Cost {
    /// A look at a value, or at most at each item of it.
    Look,
    /// Characters become at most so many times as many bytes. A value that is no text becomes one.
    Text(usize),
    /// Every item with every text among the arguments: a filter by attribute or by test.
    Items,
    /// The whole of all values, and a list of the items.
    Whole,
    /// Items compared with each other.
    Sort,
    /// The largest a format can make of its arguments.
    Format,
    /// A text that others are inserted into wherever a third is found.
    Replace,
    /// Lines, and so many spaces before each.
    Indent,
}

impl Cost {
    /// Counts it, and gives the value that is worked on.
    fn count(self, arguments: &mut [Value]) -> Result<(), Error> {
        let Some((value, others)) = arguments.split_first_mut() else { return Ok(()) };
        if matches!(self, Self::Text(_) | Self::Replace | Self::Indent) {
            *value = as_text(value)?;
        }
        let length = value.as_str().map_or(0, str::len);
        let texts = others.iter().map(size).fold(1, usize::saturating_add);
        match self {
            Self::Look => read(extent(value)),
            Self::Text(times) => {
                within(length.saturating_mul(times))?;
                // Characters to strip are looked through for each character.
                read(length.saturating_mul(texts.min(1 + texts / 4)).saturating_add(texts))
            }
            Self::Items => {
                make(ITEM_BYTES.saturating_mul(extent(value)))?;
                read(extent(value).saturating_mul(texts))
            }
            Self::Whole => {
                make(ITEM_BYTES.saturating_mul(extent(value)))?;
                read(size(value).saturating_add(texts))
            }
            Self::Sort => {
                make(ITEM_BYTES.saturating_mul(extent(value)))?;
                let rounds = extent(value).max(1).ilog2() as usize + 1;
                read(size(value).saturating_mul(2 * rounds).saturating_add(extent(value).saturating_mul(texts)))
            }
            Self::Format => format_cost(value, others),
            Self::Replace => {
                let (from, to) = (text_of(others, 0), text_of(others, 1));
                read(length + from.len() + to.len())?;
                let found = value.as_str().map_or(0, |text| text.matches(from).count());
                within(length.saturating_add(found.saturating_mul(to.len())))
            }
            Self::Indent => {
                let lines = 1 + value.as_str().map_or(0, |text| text.matches('\n').count());
                let named = others.last().and_then(|last| Kwargs::try_from(last.clone()).ok());
                let named = named.and_then(|named| named.peek::<usize>("width").ok());
                let width = named.or_else(|| others.first().and_then(Value::as_usize)).unwrap_or(4);
                read(length)?;
                within(length.saturating_add(lines.saturating_mul(width)))
            }
        }
    }
}

fn text_of(arguments: &[Value], index: usize) -> &str {
    arguments.get(index).and_then(Value::as_str).unwrap_or_default()
}

/// Every directive may write the longest argument, as wide as the largest number says.
fn format_cost(pattern: &Value, arguments: &[Value]) -> Result<(), Error> {
    let pattern = pattern.as_str().unwrap_or_default();
    read(pattern.len())?;
    let digits = pattern.split(|character: char| !character.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let stated = digits.map(|digits| digits.parse().unwrap_or(usize::MAX)).max().unwrap_or(0);
    let given = arguments.iter().filter_map(Value::as_usize).max().filter(|_| pattern.contains('*')).unwrap_or(0);
    let longest = arguments.iter().map(size).max().unwrap_or(0);
    let directives = pattern.matches(['%', '{']).count();
    let each = stated.max(given).saturating_add(longest.saturating_mul(2));
    within(pattern.len().saturating_add(directives.saturating_mul(each)))
}

fn filter(environment: &mut Environment<'_>, name: &'static str, cost: Cost, library: Value) {
    environment.add_filter(name, move |state: &State<'_, '_>, mut arguments: Rest<Value>| {
        cost.count(&mut arguments)?;
        settled(library.call(state, &arguments)?)
    });
}

fn test(environment: &mut Environment<'_>, name: &'static str, reads: bool, library: Value) {
    environment.add_test(name, move |state: &State<'_, '_>, arguments: Rest<Value>| {
        if reads {
            read(arguments.iter().map(size).fold(0, usize::saturating_add))?;
        }
        library.call(state, &arguments)
    });
}

/// Gives an environment all that a template may call.
pub(super) fn install(environment: &mut Environment<'static>) {
    use Cost::{Format, Indent, Items, Look, Replace, Sort, Text, Whole};
    macro_rules! filters {
        ($($cost:expr => $($name:literal $function:path),+;)+) => {
            $($(filter(environment, $name, $cost, Value::from_function($function));)+)+
        };
    }
    filters! {
        Look => "abs" filters::abs, "attr" filters::attr, "bool" filters::bool, "count" filters::length, "d" filters::default,
            "default" filters::default, "first" filters::first, "float" filters::float, "int" filters::int,
            "last" filters::last, "length" filters::length, "round" filters::round;
        Text(1) => "safe" filters::safe, "string" filters::string, "trim" filters::trim;
        Text(3) => "capitalize" filters::capitalize, "lower" filters::lower, "title" filters::title, "upper" filters::upper;
        Text(6) => "e" escape, "escape" escape;
        Items => "map" filters::map, "reject" filters::reject, "rejectattr" filters::rejectattr, "select" filters::select,
            "selectattr" filters::selectattr;
        Whole => "items" filters::items, "list" filters::list, "reverse" filters::reverse, "sum" filters::sum;
        Sort => "dictsort" filters::dictsort, "max" filters::max, "min" filters::min, "sort" filters::sort,
            "unique" filters::unique;
        Format => "format" filters::format;
        Replace => "replace" filters::replace;
        Indent => "indent" filters::indent;
    }
    environment.add_filter("join", join);
    environment.add_filter("tojson", |value: &Value, indent: Option<usize>, options: Kwargs| {
        storable(value)?;
        read(size(value))?;
        settled(Value::from(json::to_json(value, indent, options)?))
    });
    install_tests(environment);
    environment.add_function("range", |from: isize, to: Option<isize>, step: Option<isize>| {
        Tree::numbers(functions::range(from, to, step)?)
    });
    environment.add_function("dict", dict);
    environment.add_function("namespace", |values: Option<Value>| {
        for (_, value) in values.iter().filter_map(Value::as_object).filter_map(DynObject::try_iter_pairs).flatten() {
            storable(&value)?;
            make(ITEM_BYTES)?;
        }
        functions::namespace(values)
    });
    environment.add_function("raise_exception", |message: &Value| Err::<Value, _>(failed(text(message)?)));
    environment.set_unknown_method_callback(method);
}

fn install_tests(environment: &mut Environment<'_>) {
    macro_rules! tests {
        ($($reads:literal => $($name:literal $function:path),+;)+) => {
            $($(test(environment, $name, $reads, Value::from_function($function));)+)+
        };
    }
    tests! {
        false => "boolean" tests::is_boolean, "defined" tests::is_defined, "divisibleby" tests::is_divisibleby,
            "even" tests::is_even, "false" tests::is_false, "filter" tests::is_filter, "float" tests::is_float,
            "integer" tests::is_integer, "iterable" tests::is_iterable, "mapping" tests::is_mapping, "none" tests::is_none,
            "number" tests::is_number, "odd" tests::is_odd, "sequence" tests::is_sequence, "string" tests::is_string,
            "test" tests::is_test, "true" tests::is_true, "undefined" tests::is_undefined;
        true => "==" tests::is_eq, "eq" tests::is_eq, "equalto" tests::is_eq, "ne" tests::is_ne, "!=" tests::is_ne,
            "ge" tests::is_ge, ">=" tests::is_ge, "gt" tests::is_gt, ">" tests::is_gt, "greaterthan" tests::is_gt,
            "le" tests::is_le, "<=" tests::is_le, "lt" tests::is_lt, "<" tests::is_lt, "lessthan" tests::is_lt,
            "in" tests::is_in, "lower" tests::is_lower, "sameas" tests::is_sameas, "upper" tests::is_upper;
    }
}

/// As `markupsafe` writes it. The library's would not escape what it takes for safe.
fn escape(text: &str) -> String {
    let written = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    written.replace('\'', "&#39;").replace('"', "&#34;")
}

/// The filter: texts of a list, or of an attribute of its items, one behind another.
#[allow(clippy::needless_pass_by_value, reason = "the environment gives a filter its arguments by value")]
fn join(values: &Value, between: Option<&Value>, options: Kwargs) -> Result<Value, Error> {
    let attribute: Option<&str> = options.get("attribute")?;
    let joint = between.or(options.get("d")?).map_or(Ok("".into()), text)?;
    options.assert_all_used()?;
    let mut out = String::new();
    for (index, value) in values.try_iter()?.enumerate() {
        let value = match attribute {
            Some(path) => path.split('.').try_fold(value, |value, name| value.get_attr(name))?,
            None => value,
        };
        let text = text(&value)?;
        read(joint.len() + text.len() + attribute.map_or(1, str::len))?;
        within(out.len() + joint.len() + text.len())?;
        out.push_str(if index == 0 { "" } else { &joint });
        out.push_str(&text);
    }
    settled(Value::from(out))
}

#[allow(clippy::needless_pass_by_value, reason = "the environment gives a function its arguments by value")]
fn dict(value: Option<&Value>, named: Kwargs) -> Result<Value, Error> {
    let mut pairs = Vec::new();
    let given = value.and_then(Value::as_object).and_then(DynObject::try_iter_pairs);
    for pair in given.into_iter().flatten() {
        make(ITEM_BYTES)?;
        pairs.push(pair);
    }
    for name in named.args() {
        pairs.push((Value::from(name), named.get(name)?));
    }
    Tree::map(pairs)
}

/// Python's methods of texts, lists and maps.
fn method(state: &State<'_, '_>, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let mut all: Vec<Value> = [value].into_iter().chain(arguments).cloned().collect();
    let is_text = value.kind() == ValueKind::String;
    let cost = match name {
        "capitalize" | "lower" | "title" | "upper" => Cost::Text(3),
        "strip" | "lstrip" | "rstrip" => Cost::Text(1),
        "replace" => Cost::Replace,
        "format" => Cost::Format,
        "join" if is_text => {
            let (values,) = from_args::<(&Value,)>(arguments)?;
            return join(values, Some(value), Kwargs::from_iter(Vec::<(String, Value)>::new()));
        }
        "get" => Cost::Look,
        "keys" | "values" | "items" => Cost::Items,
        _ => Cost::Whole,
    };
    if is_text {
        if name == "count" {
            // The library's does not end where it looks for nothing.
            let (what,) = from_args::<(&str,)>(arguments)?;
            read(extent(value) + what.len())?;
            return Ok(Value::from(value.as_str().map_or(0, |text| text.matches(what).count())));
        }
        if matches!(name, "split" | "splitlines" | "rsplit") {
            read(extent(value) + arguments.iter().map(size).sum::<usize>())?;
            let text = value.as_str().unwrap_or_default();
            let pieces = match arguments.first().and_then(Value::as_str) {
                Some("") => return Err(failed("an empty text separates nothing")),
                Some(separator) => text.matches(separator).count(),
                None => text.split_whitespace().count().max(text.matches('\n').count()),
            };
            make(ITEM_BYTES * (pieces + 1))?;
        } else {
            // No list of the characters is made.
            match cost {
                Cost::Whole => read(all.iter().map(size).sum())?,
                cost => cost.count(&mut all)?,
            }
        }
    } else {
        cost.count(&mut all)?;
    }
    let made = unknown_method_callback(state, value, name, arguments).map_err(|error| match error.kind() {
        ErrorKind::UnknownMethod => {
            Error::new(ErrorKind::UnknownMethod, format!("{} has no method {name}", value.kind()))
        }
        _ => error,
    })?;
    settled(made)
}
