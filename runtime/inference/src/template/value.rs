//! The values of a rendering: Python's, as far as templates see them.
//!
//! What a template makes is held by a [`Meter`](super::meter::Meter). Lists and maps never change, so that nothing contains itself; a
//! `namespace` does change, and so nothing can contain one.

use super::{
    meter::{Buffer, Meter, Outcome, Pile, failed, nest},
    syntax::{For, Macro},
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// What does not exist, by the name that it was looked for.
    Undefined(&'a str),
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Text<'a>),
    List(Rc<List<'a>>),
    Map(Rc<Map<'a>>),
    /// What `namespace()` makes.
    Space(Rc<RefCell<Map<'a>>>),
    /// The variable `loop`.
    Loop(Rc<Loop<'a>>),
    Macro(&'a Macro),
    Function(Function),
}

/// What the environment brings along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Range,
    Dict,
    Namespace,
    RaiseException,
}

/// A text, or a part of one.
#[derive(Clone, Debug)]
pub(super) enum Text<'a> {
    /// Of the template, or of the conversation.
    Borrowed(&'a str),
    /// Of the rendering: the bytes from the first number to the second.
    Made(Rc<Buffer>, u32, u32),
}

impl<'a> Text<'a> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Made(buffer, begin, end) => &buffer[*begin as usize..*end as usize],
        }
    }

    /// A part of it, which `part` is a slice of: nothing is copied.
    pub(super) fn part(&self, part: &str) -> Self {
        let from = (part.as_ptr() as usize).wrapping_sub(self.as_str().as_ptr() as usize);
        debug_assert!(from + part.len() <= self.as_str().len(), "it is no slice of this text");
        match self {
            Self::Borrowed(text) => Self::Borrowed(&text[from..from + part.len()]),
            Self::Made(buffer, begin, _) => {
                // Texts are far below 4 GiB: the meter holds less.
                let begin = begin + from as u32;
                Self::Made(buffer.clone(), begin, begin + part.len() as u32)
            }
        }
    }
}

impl<'a> From<Buffer> for Value<'a> {
    fn from(buffer: Buffer) -> Self {
        let end = buffer.len() as u32;
        Value::Text(Text::Made(Rc::new(buffer), 0, end))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(Text::Borrowed(text))
    }
}

impl<'a> From<List<'a>> for Value<'a> {
    fn from(list: List<'a>) -> Self {
        Value::List(Rc::new(list))
    }
}

impl<'a> From<Map<'a>> for Value<'a> {
    fn from(map: Map<'a>) -> Self {
        Value::Map(Rc::new(map))
    }
}

/// A list under way, or made.
#[derive(Debug)]
pub(super) struct List<'a> {
    items: Pile<Value<'a>>,
    depth: usize,
}

impl<'a> List<'a> {
    pub(super) fn new(meter: &Rc<Meter>) -> Outcome<Self> {
        Ok(Self { items: Pile::new(meter)?, depth: 1 })
    }

    pub(super) fn push(&mut self, item: Value<'a>) -> Outcome<()> {
        self.depth = self.depth.max(nest(item.depth()?)?);
        self.items.push(item)
    }

    pub(super) fn items(&self) -> &[Value<'a>] {
        &self.items
    }

    /// For those who bring the items into another order.
    pub(super) fn items_mut(&mut self) -> &mut [Value<'a>] {
        self.items.as_mut_slice()
    }
}

/// A map under way, or made: pairs in the order of their making. It is searched from the front, which costs steps.
#[derive(Debug)]
pub(super) struct Map<'a> {
    pairs: Pile<(Value<'a>, Value<'a>)>,
    depth: usize,
    meter: Rc<Meter>,
}

impl<'a> Map<'a> {
    pub(super) fn new(meter: &Rc<Meter>) -> Outcome<Self> {
        Ok(Self { pairs: Pile::new(meter)?, depth: 1, meter: meter.clone() })
    }

    /// Sets a key.
    pub(super) fn insert(&mut self, key: Value<'a>, value: Value<'a>) -> Outcome<()> {
        self.depth = self.depth.max(nest(key.depth()?.max(value.depth()?))?);
        match self.find(&key)? {
            Some(at) => self.pairs.as_mut_slice()[at].1 = value,
            None => self.pairs.push((key, value))?,
        }
        Ok(())
    }

    pub(super) fn get(&self, key: &Value<'a>) -> Outcome<Option<Value<'a>>> {
        Ok(self.find(key)?.map(|at| self.pairs[at].1.clone()))
    }

    pub(super) fn get_name(&self, name: &str) -> Outcome<Option<Value<'a>>> {
        for (key, value) in self.pairs.iter() {
            self.meter.steps(1)?;
            if matches!(key, Value::Text(key) if key.as_str() == name) {
                return Ok(Some(value.clone()));
            }
        }
        Ok(None)
    }

    fn find(&self, key: &Value<'a>) -> Outcome<Option<usize>> {
        for (at, (known, _)) in self.pairs.iter().enumerate() {
            if known.equals(key, &self.meter)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    pub(super) fn pairs(&self) -> &[(Value<'a>, Value<'a>)] {
        &self.pairs
    }
}

/// A loop under way.
#[derive(Debug)]
pub(super) struct Loop<'a> {
    pub(super) items: Rc<List<'a>>,
    pub(super) index: Cell<usize>,
    /// Loops that it was called from.
    pub(super) outer: usize,
    /// What `loop(...)` runs again.
    pub(super) again: Option<&'a For>,
    /// What `loop.changed` saw last.
    pub(super) seen: RefCell<Option<List<'a>>>,
}

impl<'a> Loop<'a> {
    pub(super) fn attribute(&self, name: &'a str) -> Value<'a> {
        let (index, length) = (self.index.get(), self.items.items().len());
        let item =
            |at: Option<usize>| at.and_then(|at| self.items.items().get(at)).cloned().unwrap_or(Value::Undefined(name));
        let count = |count: usize| Value::Int(count as i64);
        match name {
            "index" => count(index + 1),
            "index0" => count(index),
            "revindex" => count(length.saturating_sub(index)),
            "revindex0" => count(length.saturating_sub(index + 1)),
            "first" => Value::Bool(index == 0),
            "last" => Value::Bool(index + 1 == length),
            "length" => count(length),
            "depth" => count(self.outer + 1),
            "depth0" => count(self.outer),
            "previtem" => item(index.checked_sub(1)),
            "nextitem" => item(Some(index + 1)),
            _ => Value::Undefined(name),
        }
    }
}

impl<'a> Value<'a> {
    pub(super) fn count(count: usize) -> Self {
        Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// How deep lists and maps stand in it: one for a list of numbers. What changes, or may refer to what changes, cannot be
    /// put anywhere.
    fn depth(&self) -> Outcome<usize> {
        match self {
            Value::List(list) => Ok(list.depth),
            Value::Map(map) => Ok(map.depth),
            Value::Space(_) | Value::Loop(_) => failed(format!("{} cannot be put into another value", self.kind())),
            _ => Ok(0),
        }
    }

    /// For sentences.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Undefined(_) => "undefined",
            Value::None => "none",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Space(_) => "a namespace",
            Value::Loop(_) => "a loop",
            Value::Macro(_) | Value::Function(_) => "a function",
        }
    }

    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::Undefined(_) | Value::None => false,
            Value::Bool(value) => *value,
            Value::Int(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Text(text) => !text.as_str().is_empty(),
            Value::List(list) => !list.items().is_empty(),
            Value::Map(map) => !map.pairs().is_empty(),
            Value::Space(_) | Value::Loop(_) | Value::Macro(_) | Value::Function(_) => true,
        }
    }

    /// As an integer, where it is one or a boolean.
    pub(super) fn as_int(&self) -> Option<i64> {
        match self {
            Value::Bool(value) => Some(i64::from(*value)),
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(number) => Some(*number),
            other => other.as_int().map(|number| number as f64),
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// Where it does not exist, that is an error here.
    pub(super) fn defined(self) -> Outcome<Self> {
        match self {
            Value::Undefined(name) => failed(format!("'{name}' is undefined")),
            value => Ok(value),
        }
    }

    /// Python's `==`.
    pub(super) fn equals(&self, other: &Self, meter: &Meter) -> Outcome<bool> {
        meter.steps(1)?;
        if let (Some(a), Some(b)) = (self.as_int(), other.as_int()) {
            return Ok(a == b);
        }
        if let (Some(a), Some(b)) = (self.as_float(), other.as_float()) {
            return Ok(a == b);
        }
        Ok(match (self, other) {
            (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
            (Value::Text(a), Value::Text(b)) => {
                let (a, b) = (a.as_str(), b.as_str());
                meter.bytes(a.len().min(b.len()))?;
                a == b
            }
            (Value::List(a), Value::List(b)) => {
                if a.items().len() != b.items().len() {
                    return Ok(false);
                }
                for (a, b) in a.items().iter().zip(b.items()) {
                    if !a.equals(b, meter)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Map(a), Value::Map(b)) => {
                if a.pairs().len() != b.pairs().len() {
                    return Ok(false);
                }
                for (key, value) in a.pairs() {
                    let Some(other) = b.get(key)? else { return Ok(false) };
                    if !value.equals(&other, meter)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Space(a), Value::Space(b)) => Rc::ptr_eq(a, b),
            (Value::Loop(a), Value::Loop(b)) => Rc::ptr_eq(a, b),
            (Value::Macro(a), Value::Macro(b)) => std::ptr::eq(*a, *b),
            (Value::Function(a), Value::Function(b)) => a == b,
            _ => false,
        })
    }

    /// What a loop goes through: items, keys, characters.
    pub(super) fn items(&self, meter: &Rc<Meter>) -> Outcome<Rc<List<'a>>> {
        let mut list = match self {
            Value::List(list) => return Ok(list.clone()),
            _ => List::new(meter)?,
        };
        match self {
            Value::Undefined(_) => {}
            Value::Text(text) => {
                for (at, character) in text.as_str().char_indices() {
                    list.push(Value::Text(text.part(&text.as_str()[at..at + character.len_utf8()])))?;
                }
            }
            Value::Map(map) => {
                for (key, _) in map.pairs() {
                    list.push(key.clone())?;
                }
            }
            other => return failed(format!("{} cannot be gone through", other.kind())),
        }
        Ok(Rc::new(list))
    }
}
