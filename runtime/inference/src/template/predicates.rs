//! Tests: `value is name(arguments)`. Those of Jinja2.

use super::{
    meter::{Meter, Outcome, failed},
    operators::compares,
    render::Given,
    syntax::Comparison,
    value::Value,
};
use std::rc::Rc;

/// Whether a test holds.
pub(super) fn holds<'a>(name: &str, value: &Value<'a>, given: Given<'a>, meter: &Rc<Meter>) -> Outcome<bool> {
    let comparison = match name {
        "eq" | "equalto" | "==" => Some(Comparison::Equal),
        "ne" | "!=" => Some(Comparison::NotEqual),
        "lt" | "lessthan" | "<" => Some(Comparison::Less),
        "le" | "<=" => Some(Comparison::LessOrEqual),
        "gt" | "greaterthan" | ">" => Some(Comparison::Greater),
        "ge" | ">=" => Some(Comparison::GreaterOrEqual),
        "in" => Some(Comparison::In),
        _ => None,
    };
    if let Some(comparison) = comparison {
        let [other] = given.bind(name, ["other"])?;
        return compares(comparison, value, &other.unwrap_or(Value::None), meter);
    }
    match name {
        "divisibleby" => {
            let [by] = given.bind(name, ["num"])?;
            match (value.as_int(), by.and_then(|by| by.as_int())) {
                (Some(number), Some(by)) if by != 0 => Ok(number.checked_rem(by).is_none_or(|rest| rest == 0)),
                _ => failed("divisibleby takes integers, and none is divisible by zero"),
            }
        }
        "sameas" => {
            let [other] = given.bind(name, ["other"])?;
            let other = other.unwrap_or(Value::None);
            Ok(value.kind() == other.kind() && value.equals(&other, meter)?)
        }
        _ => {
            let [] = given.bind(name, [])?;
            of_kind(name, value, meter)
        }
    }
}

fn of_kind(name: &str, value: &Value<'_>, meter: &Meter) -> Outcome<bool> {
    let cased = |is: fn(char) -> bool, is_not: fn(char) -> bool| {
        let text = value.as_str().unwrap_or_default();
        meter.characters(text.len())?;
        Ok(text.chars().any(is) && !text.chars().any(is_not))
    };
    let number = || match value.as_int() {
        Some(number) => Ok(number),
        None => failed(format!("{} is neither odd nor even", value.kind())),
    };
    Ok(match name {
        "defined" => !matches!(value, Value::Undefined(_)),
        "undefined" => matches!(value, Value::Undefined(_)),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        // A boolean is a number in Python.
        "number" => value.as_float().is_some(),
        "string" => matches!(value, Value::Text(_)),
        "mapping" => matches!(value, Value::Map(_)),
        "iterable" => matches!(value, Value::Undefined(_) | Value::Text(_) | Value::List(_) | Value::Map(_)),
        "sequence" => matches!(value, Value::Undefined(_) | Value::Text(_) | Value::List(_) | Value::Map(_)),
        "callable" => matches!(value, Value::Macro(_) | Value::Function(_) | Value::Loop(_)),
        "escaped" => false,
        "even" => number()? % 2 == 0,
        "odd" => number()? % 2 != 0,
        "lower" => cased(char::is_lowercase, char::is_uppercase)?,
        "upper" => cased(char::is_uppercase, char::is_lowercase)?,
        _ => return failed(format!("chat templates have no test {name}")),
    })
}
