//! Lists and maps that know how large they are.
//!
//! The library's own share their items, so `[x, x]` forty times over is small in memory and 2⁴⁰ items to whoever compares or
//! writes it. It also has lists that are made anew each time they are read. Every list and map that a template makes is
//! therefore a [`Tree`]: its items are there, and its size as a tree is known when it is made, and bounded.

use super::{
    NESTING_MAX, VALUE_BYTES_MAX,
    meter::{failed, make, read},
};
use minijinja::{
    Error, Value,
    value::{DynObject, Enumerator, Object, ObjectRepr, ValueKind},
};
use serde_json::Value as Json;
use std::sync::Arc;

/// What one item of a list takes while the list grows: 24 bytes, thrice.
pub(super) const ITEM_BYTES: usize = 72;
/// What one pair of a map takes while the map grows.
const PAIR_BYTES: usize = 256;
/// What a value adds to the size of a tree besides its text.
const NODE_BYTES: usize = 16;

/// A list or map of the library's with its size.
#[derive(Debug)]
pub(super) struct Tree {
    content: Value,
    repr: ObjectRepr,
    /// Bytes of all texts in it, each as often as it is there, and [`NODE_BYTES`] for each value.
    bytes: usize,
    /// Lists and maps inside each other, itself included.
    depth: usize,
}

impl Tree {
    fn count(content: Value, inner: (usize, usize)) -> Result<Value, Error> {
        let (bytes, depth) = (inner.0.saturating_add(NODE_BYTES), inner.1 + 1);
        if depth > NESTING_MAX {
            return Err(failed(format!("its lists and mappings nest deeper than {NESTING_MAX} levels")));
        }
        within(bytes)?;
        let repr = content.as_object().map_or(ObjectRepr::Plain, DynObject::repr);
        Ok(Value::from_object(Self { content, repr, bytes, depth }))
    }

    /// A list of values that were counted.
    pub(super) fn list(items: Vec<Value>) -> Result<Value, Error> {
        let inner = measure(items.iter())?;
        Self::count(Value::from(items), inner)
    }

    /// A map of values that were counted.
    pub(super) fn map(pairs: Vec<(Value, Value)>) -> Result<Value, Error> {
        make(PAIR_BYTES * pairs.len())?;
        let inner = measure(pairs.iter().flat_map(|(key, value)| [key, value]))?;
        Self::count(pairs.into_iter().collect(), inner)
    }

    /// What a template is given.
    pub(super) fn of_json(json: &Json) -> Result<Value, Error> {
        Ok(match json {
            Json::Null => Value::from(()),
            Json::Bool(truth) => Value::from(*truth),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Value::from(number),
                (None, Some(number)) => Value::from(number),
                (None, None) => Value::from(number.as_f64()),
            },
            Json::String(text) => Value::from(text.as_str()),
            Json::Array(items) => return Self::list(items.iter().map(Self::of_json).collect::<Result<_, _>>()?),
            Json::Object(members) => {
                let pair = |(key, value): (&String, &Json)| Ok((Value::from(key.as_str()), Self::of_json(value)?));
                return Self::map(members.iter().map(pair).collect::<Result<_, Error>>()?);
            }
        })
    }

    /// A list of numbers that are made as they are asked for.
    pub(super) fn numbers(range: Value) -> Result<Value, Error> {
        let count = range.len().unwrap_or(0);
        Self::count(range, (count * NODE_BYTES, 0))
    }
}

impl Object for Tree {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        self.repr
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.content.as_object()?.get_value(key)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.content.as_object()?.get_value_by_str(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.content.as_object().map_or(Enumerator::NonEnumerable, DynObject::enumerate)
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        self.content.as_object()?.enumerator_len()
    }
}

/// The sizes of values together, and the depth of the deepest. What changes later (a namespace, a loop) or holds what does (a macro)
/// is refused: it could be put into itself.
fn measure<'a>(values: impl Iterator<Item = &'a Value>) -> Result<(usize, usize), Error> {
    let (mut bytes, mut depth) = (0usize, 0);
    for value in values {
        storable(value)?;
        bytes = bytes.saturating_add(size(value));
        depth = depth.max(value.downcast_object_ref::<Tree>().map_or(0, |tree| tree.depth));
    }
    Ok((bytes, depth))
}

/// That a value may be put into another.
pub(super) fn storable(value: &Value) -> Result<(), Error> {
    if value.as_object().is_none_or(DynObject::is::<Tree>) {
        return Ok(());
    }
    Err(failed("a namespace, a loop, a macro or a function cannot be put into another value, and has no text"))
}

/// That a text or tree of so many bytes may be made.
pub(super) fn within(bytes: usize) -> Result<(), Error> {
    if bytes <= VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(failed(format!("a text or list of it has more than {VALUE_BYTES_MAX} bytes; shorten the conversation")))
}

/// Counts a text of so many bytes that is about to be made.
pub(super) fn make_text(bytes: usize) -> Result<(), Error> {
    within(bytes)?;
    make(bytes)
}

/// Bytes of a value as a tree.
pub(super) fn size(value: &Value) -> usize {
    if let Some(text) = value.as_str() {
        return NODE_BYTES + text.len();
    }
    if let Some(tree) = value.downcast_object_ref::<Tree>() {
        return tree.bytes;
    }
    // What is left holds no other such object in what it lists: see `storable`.
    let pairs = value.as_object().and_then(DynObject::try_iter_pairs);
    let listed = pairs.into_iter().flatten();
    listed.fold(NODE_BYTES, |bytes, (key, value)| {
        let inner = value.downcast_object_ref::<Tree>().map_or(NODE_BYTES, |tree| tree.bytes);
        bytes.saturating_add(key.as_str().map_or(NODE_BYTES, str::len) + inner + value.as_str().map_or(0, str::len))
    })
}

/// Items of a list or map, bytes of a text: the work of counting or walking it.
pub(super) fn extent(value: &Value) -> usize {
    match value.as_str() {
        Some(text) => text.len(),
        None => value.len().unwrap_or(0),
    }
}

/// Whether it is a list.
pub(super) fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

/// A value of the library's making, counted: a text within its limit, a list with all its items.
pub(super) fn settled(value: Value) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        make_text(text.len())?;
    } else if is_list(&value) && value.downcast_object_ref::<Tree>().is_none() {
        return gathered(value.try_iter()?);
    }
    Ok(value)
}

/// A list of what comes, counted as it comes.
pub(super) fn gathered(items: impl Iterator<Item = Value>) -> Result<Value, Error> {
    let mut list = Vec::new();
    for item in items {
        read(NODE_BYTES)?;
        make(ITEM_BYTES)?;
        list.push(settled(item)?);
    }
    Tree::list(list)
}
