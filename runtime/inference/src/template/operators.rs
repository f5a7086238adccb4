//! What the operators of a template are rewritten to: each counts what it makes or reads, and then does what the library does.

use super::{
    meter::{failed, make, read},
    print::text,
    value::{ITEM_BYTES, Tree, extent, gathered, is_list, make_text, settled, size, storable},
};
use minijinja::{
    Error, Value,
    machinery::{
        Span,
        ast::{BinOp, BinOpKind, CompareOpKind, Const, Expr, Spanned},
    },
    value::Rest,
};

/// An operator between two values.
pub(super) fn binary(operator: BinOpKind) -> Value {
    Value::from_function(move |left: &Value, right: &Value| apply(operator, left, right))
}

/// A chain of comparisons: `1 < x < 3`.
pub(super) fn chain(operators: Vec<CompareOpKind>) -> Value {
    Value::from_function(move |values: Rest<Value>| {
        for (operator, pair) in operators.iter().zip(values.windows(2)) {
            let (kind, wanted) = match operator {
                CompareOpKind::Eq => (BinOpKind::Eq, true),
                CompareOpKind::Ne => (BinOpKind::Ne, true),
                CompareOpKind::Lt => (BinOpKind::Lt, true),
                CompareOpKind::Lte => (BinOpKind::Lte, true),
                CompareOpKind::Gt => (BinOpKind::Gt, true),
                CompareOpKind::Gte => (BinOpKind::Gte, true),
                CompareOpKind::In => (BinOpKind::In, true),
                CompareOpKind::NotIn => (BinOpKind::In, false),
            };
            if apply(kind, &pair[0], &pair[1])?.is_true() != wanted {
                return Ok(Value::from(false));
            }
        }
        Ok::<_, Error>(Value::from(true))
    })
}

fn apply(operator: BinOpKind, left: &Value, right: &Value) -> Result<Value, Error> {
    match operator {
        BinOpKind::Concat => return join(&text(left)?, &text(right)?),
        BinOpKind::Add => match (left.as_str(), right.as_str()) {
            (Some(left), Some(right)) => return join(left, right),
            _ if is_list(left) && is_list(right) => return gathered(left.try_iter()?.chain(right.try_iter()?)),
            _ => {}
        },
        BinOpKind::Mul if left.is_number() && !right.is_number() => return repeat(right, left),
        BinOpKind::Mul if right.is_number() && !left.is_number() => return repeat(left, right),
        BinOpKind::In => read(size(left).saturating_add(size(right)))?,
        BinOpKind::Eq | BinOpKind::Ne | BinOpKind::Lt | BinOpKind::Lte | BinOpKind::Gt | BinOpKind::Gte => {
            read(size(left).min(size(right)))?;
        }
        _ => {}
    }
    Ok(match operator {
        BinOpKind::Eq => Value::from(left == right),
        BinOpKind::Ne => Value::from(left != right),
        operator => computed(operator, left, right)?,
    })
}

fn join(left: &str, right: &str) -> Result<Value, Error> {
    make_text(left.len() + right.len())?;
    read(left.len() + right.len())?;
    Ok(Value::from([left, right].concat()))
}

/// A text or a list, as often as a number says.
fn repeat(value: &Value, times: &Value) -> Result<Value, Error> {
    let times = times.as_i64().ok_or_else(|| failed("only an integer can say how often a value is repeated"))?;
    let times = usize::try_from(times).unwrap_or(0);
    if let Some(text) = value.as_str() {
        make_text(text.len().saturating_mul(times))?;
        return Ok(Value::from(text.repeat(times)));
    }
    if !is_list(value) {
        return Err(failed(format!("{} cannot be repeated", value.kind())));
    }
    if extent(value) == 0 {
        return Tree::list(Vec::new());
    }
    let mut all = Vec::new();
    for _ in 0..times {
        for item in value.try_iter()? {
            make(ITEM_BYTES)?;
            all.push(item);
        }
    }
    Tree::list(all)
}

/// The library's own result, which it gives for constants.
fn computed(operator: BinOpKind, left: &Value, right: &Value) -> Result<Value, Error> {
    let constant = |value: &Value| Expr::Const(Spanned::new(Const { value: value.clone() }, Span::default()));
    let operation = BinOp { op: operator, left: constant(left), right: constant(right) };
    Expr::BinOp(Spanned::new(operation, Span::default())).as_const().ok_or_else(|| {
        let sign = match operator {
            BinOpKind::Add => "+",
            BinOpKind::Mul => "*",
            BinOpKind::In => "in",
            _ => "and",
        };
        let why = if left.is_number() && right.is_number() { ": the result is too large" } else { "" };
        failed(format!("{} {sign} {} is not possible{why}", left.kind(), right.kind()))
    })
}

/// `value[key]`.
pub(super) fn item() -> Value {
    Value::from_function(|value: &Value, key: &Value| {
        // A text is counted to its character, a map's key is hashed; lists have their items at hand, ranges almost.
        read(key.as_str().map_or(0, str::len) + if key.is_number() { extent_of_walk(value) } else { 0 })?;
        value.get_item(key)
    })
}

fn extent_of_walk(value: &Value) -> usize {
    if value.kind() == minijinja::value::ValueKind::Seq { 0 } else { extent(value) }
}

/// `value[start:stop:step]`, as Python has it.
pub(super) fn slice() -> Value {
    Value::from_function(|value: &Value, start: &Value, stop: &Value, step: &Value| {
        read(extent(value))?;
        if let Some(text) = value.as_str() {
            make(text.len().saturating_mul(size_of::<char>()))?;
            let characters: Vec<char> = text.chars().collect();
            let picked = indices(characters.len(), start, stop, step)?.map(|index| characters[index]);
            return settled(Value::from(picked.collect::<String>()));
        }
        if !is_list(value) {
            return Err(failed(format!("{} cannot be sliced", value.kind())));
        }
        make(extent(value).saturating_mul(size_of::<Value>()))?;
        let items: Vec<Value> = value.try_iter()?.collect();
        let picked = indices(items.len(), start, stop, step)?.map(|index| items[index].clone());
        gathered_shared(picked)
    })
}

/// A list of items that some other list holds already.
fn gathered_shared(items: impl Iterator<Item = Value>) -> Result<Value, Error> {
    let mut list = Vec::new();
    for item in items {
        make(ITEM_BYTES)?;
        list.push(item);
    }
    Tree::list(list)
}

/// The indices that a slice of so many items picks.
fn indices(count: usize, start: &Value, stop: &Value, step: &Value) -> Result<impl Iterator<Item = usize>, Error> {
    let number = |value: &Value| match value.is_none() {
        true => Ok(None),
        false => value.as_i64().map(Some).ok_or_else(|| failed("a slice goes from an integer to an integer")),
    };
    let (count, step) = (count as i64, number(step)?.unwrap_or(1));
    if step == 0 {
        return Err(failed("a slice cannot go in steps of 0"));
    }
    let (lowest, highest) = if step > 0 { (0, count) } else { (-1, count - 1) };
    let bound = |value: Option<i64>, absent: i64| match value {
        None => absent,
        Some(index) if index < 0 => index.saturating_add(count).clamp(lowest, highest),
        Some(index) => index.clamp(lowest, highest),
    };
    let (first, last) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
    let (start, stop) = (bound(number(start)?, first), bound(number(stop)?, last));
    let within = move |index: &i64| if step > 0 { *index < stop } else { *index > stop };
    let next = move |index: &i64| index.checked_add(step);
    Ok(std::iter::successors(Some(start), next).take_while(within).map(|index| index as usize))
}

/// `[a, b]`.
pub(super) fn list() -> Value {
    Value::from_function(|items: Rest<Value>| {
        make(ITEM_BYTES * items.len())?;
        Tree::list(items.to_vec())
    })
}

/// `{a: b}`, as keys and values in turn.
pub(super) fn map() -> Value {
    Value::from_function(|items: Rest<Value>| {
        read(items.iter().step_by(2).map(size).sum())?;
        Tree::map(items.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
    })
}

/// What is assigned to a namespace.
pub(super) fn stored() -> Value {
    Value::from_function(|value: &Value| storable(value).map(|()| value.clone()))
}

/// What a loop goes over. One with a condition gathers what it goes over first.
pub(super) fn walked(gathers: bool) -> Value {
    Value::from_function(move |value: &Value| {
        match gathers {
            true => make(ITEM_BYTES.saturating_mul(extent(value)))?,
            false => read(value.as_str().map_or(0, str::len))?,
        }
        Ok::<_, Error>(value.clone())
    })
}
