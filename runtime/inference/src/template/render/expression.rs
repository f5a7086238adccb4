//! Evaluates expressions.

use super::Renderer;
use crate::template::{
    filters,
    meter::{Meter, Outcome, Stop, failed},
    methods, operators, predicates,
    print::text,
    syntax::{Access, Arguments, Expression},
    value::{Function, List, Map, Text, Value},
};
use std::{cell::RefCell, rc::Rc};

/// What `range` gives at most, as in the sandbox of Jinja2.
const RANGE_MAX: i64 = 100_000;

/// The arguments of a call.
#[derive(Debug, Default)]
pub(in crate::template) struct Given<'a> {
    pub(in crate::template) positional: Vec<Value<'a>>,
    pub(in crate::template) named: Vec<(&'a str, Value<'a>)>,
}

impl<'a> Given<'a> {
    /// The arguments by their names, in this order. More than these are an error of `called`.
    pub(in crate::template) fn bind<const N: usize>(
        self,
        called: &str,
        names: [&str; N],
    ) -> Outcome<[Option<Value<'a>>; N]> {
        if self.positional.len() > N {
            return failed(format!("{called} takes {N} arguments at most"));
        }
        let mut bound = [const { None }; N];
        for (place, value) in bound.iter_mut().zip(self.positional) {
            *place = Some(value);
        }
        for (name, value) in self.named {
            match names.iter().position(|known| *known == name) {
                Some(at) if bound[at].is_none() => bound[at] = Some(value),
                Some(_) => return failed(format!("{called} is given {name} twice")),
                None => return failed(format!("{called} takes no argument {name}")),
            }
        }
        Ok(bound)
    }

    /// The first positional argument, taken out.
    pub(in crate::template) fn take_first(&mut self) -> Option<Value<'a>> {
        (!self.positional.is_empty()).then(|| self.positional.remove(0))
    }
}

impl<'a> Renderer<'a> {
    pub(super) fn evaluate(&mut self, expression: &'a Expression) -> Outcome<Value<'a>> {
        let meter = self.meter.clone();
        meter.steps(1)?;
        match expression {
            Expression::None => Ok(Value::None),
            Expression::Bool(value) => Ok(Value::Bool(*value)),
            Expression::Int(number) => Ok(Value::Int(*number)),
            Expression::Float(number) => Ok(Value::Float(*number)),
            Expression::Text(text) => Ok(Value::from(&**text)),
            Expression::Name(name) => self.look_up(name),
            nested => meter.deeper(|| self.nested(nested)),
        }
    }

    fn nested(&mut self, expression: &'a Expression) -> Outcome<Value<'a>> {
        let meter = self.meter.clone();
        match expression {
            Expression::List(expressions) => {
                let mut list = List::new(&meter)?;
                for expression in expressions {
                    list.push(self.evaluate(expression)?)?;
                }
                Ok(list.into())
            }
            Expression::Map(pairs) => {
                let mut map = Map::new(&meter)?;
                for (key, value) in pairs {
                    let key = self.evaluate(key)?;
                    map.insert(key, self.evaluate(value)?)?;
                }
                Ok(map.into())
            }
            Expression::Chain(value, accesses) => {
                let value = self.evaluate(value)?;
                self.accessed(value, accesses)
            }
            Expression::Not(value) => Ok(Value::Bool(!self.evaluate(value)?.is_true())),
            Expression::Minus(value) => match self.evaluate(value)?.defined()? {
                Value::Float(number) => Ok(Value::Float(-number)),
                other => match other.as_int().and_then(i64::checked_neg) {
                    Some(number) => Ok(Value::Int(number)),
                    None => failed(format!("{} has no negative", other.kind())),
                },
            },
            Expression::Plus(value) => match self.evaluate(value)?.defined()? {
                number if number.as_float().is_some() => Ok(number),
                other => failed(format!("{} is no number", other.kind())),
            },
            Expression::Arithmetic(first, others) => {
                let mut value = self.evaluate(first)?;
                for (operator, other) in others {
                    let other = self.evaluate(other)?;
                    value = operators::arithmetic(*operator, value, other, &meter)?;
                }
                Ok(value)
            }
            Expression::Compare(first, others) => {
                let mut left = self.evaluate(first)?;
                for (operator, other) in others {
                    let right = self.evaluate(other)?;
                    if !operators::compares(*operator, &left, &right, &meter)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Ok(Value::Bool(true))
            }
            Expression::And(all) => self.first(all, |value| !value.is_true()),
            Expression::Or(all) => self.first(all, Value::is_true),
            Expression::Choice(choice) => {
                let (value, test, other) = &**choice;
                match (self.evaluate(test)?.is_true(), other) {
                    (true, _) => self.evaluate(value),
                    (false, Some(other)) => self.evaluate(other),
                    (false, None) => Ok(Value::Undefined("the value behind if")),
                }
            }
            plain => self.evaluate(plain),
        }
    }

    /// The first value that decides, else the last one.
    fn first(&mut self, all: &'a [Expression], decides: impl Fn(&Value<'a>) -> bool) -> Outcome<Value<'a>> {
        let mut last = Value::None;
        for expression in all {
            last = self.evaluate(expression)?;
            if decides(&last) {
                break;
            }
        }
        Ok(last)
    }

    /// A value with what follows it.
    pub(super) fn accessed(&mut self, mut value: Value<'a>, accesses: &'a [Access]) -> Outcome<Value<'a>> {
        for access in accesses {
            self.meter.steps(1)?;
            value = self.access(value, access)?;
        }
        Ok(value)
    }

    fn access(&mut self, value: Value<'a>, access: &'a Access) -> Outcome<Value<'a>> {
        let meter = self.meter.clone();
        match access {
            Access::Attribute(name) => attribute(&value, name),
            Access::Item(index) => match (&value, self.evaluate(index)?) {
                (Value::Loop(state), Value::Text(Text::Borrowed(name))) => Ok(state.attribute(name)),
                (value, index) => operators::item(value, &index, &meter),
            },
            Access::Slice(parts) => {
                let mut bounds = [None, None, None];
                for (bound, part) in bounds.iter_mut().zip(&**parts) {
                    *bound = part.as_ref().map(|part| self.evaluate(part)).transpose()?;
                }
                operators::slice(&value.defined()?, &bounds, &meter)
            }
            Access::Call(arguments) => {
                let given = self.given(arguments)?;
                self.call(&value, given)
            }
            Access::Method(name, arguments) => {
                let given = self.given(arguments)?;
                match methods::call(&value, name, given, &meter)? {
                    methods::Called::Answered(answer) => Ok(answer),
                    methods::Called::NoMethod(given) => self.call(&attribute(&value, name)?, given),
                }
            }
            Access::Filter(name, arguments) => {
                let given = self.given(arguments)?;
                filters::apply(name, value, given, &meter)
            }
            Access::Is(name, arguments) => {
                let given = self.given(arguments)?;
                predicates::holds(name, &value, given, &meter).map(Value::Bool)
            }
            Access::IsNot(name, arguments) => {
                let given = self.given(arguments)?;
                predicates::holds(name, &value, given, &meter).map(|holds| Value::Bool(!holds))
            }
        }
    }

    fn given(&mut self, arguments: &'a Arguments) -> Outcome<Given<'a>> {
        let mut given = Given::default();
        for argument in &arguments.positional {
            given.positional.push(self.evaluate(argument)?);
        }
        for (name, argument) in &arguments.named {
            given.named.push((name, self.evaluate(argument)?));
        }
        Ok(given)
    }

    fn call(&mut self, called: &Value<'a>, given: Given<'a>) -> Outcome<Value<'a>> {
        match called {
            Value::Macro(called) => {
                let meter = self.meter.clone();
                meter.deeper(|| self.call_macro(called, given))
            }
            Value::Function(function) => self.call_function(*function, given),
            Value::Loop(state) => {
                let Some(run) = state.again else { return failed("a loop calls itself, and is not recursive") };
                let [list] = given.bind("loop", ["list"])?;
                let Some(list) = list else { return failed("loop is called without a list") };
                let outer = state.outer + 1;
                self.apart(|renderer| renderer.run(run, &list, outer))
            }
            Value::Undefined(name) => failed(format!("'{name}' is undefined")),
            other => failed(format!("{} cannot be called", other.kind())),
        }
    }

    fn call_function(&mut self, function: Function, given: Given<'a>) -> Outcome<Value<'a>> {
        match function {
            Function::Range => range(given, &self.meter),
            Function::Dict => Ok(mapping(given, &self.meter)?.into()),
            Function::Namespace => Ok(Value::Space(Rc::new(RefCell::new(mapping(given, &self.meter)?)))),
            Function::RaiseException => {
                let [message] = given.bind("raise_exception", ["message"])?;
                let message = message.map(|message| text(&message, &self.meter)).transpose()?;
                let message = message.as_ref().map_or("the template refuses the conversation", |text| text.as_str());
                Err(Stop::Failed(message.to_owned()))
            }
        }
    }
}

/// `value.name`, where it is not called.
pub(in crate::template) fn attribute<'a>(value: &Value<'a>, name: &'a str) -> Outcome<Value<'a>> {
    let found = match value {
        Value::Undefined(name) => return failed(format!("'{name}' is undefined")),
        Value::Map(map) => map.get_name(name)?,
        Value::Space(space) => space.borrow().get_name(name)?,
        Value::Loop(state) => Some(state.attribute(name)),
        _ => None,
    };
    Ok(found.unwrap_or(Value::Undefined(name)))
}

/// A map of a map, and of named arguments.
fn mapping<'a>(mut given: Given<'a>, meter: &Rc<Meter>) -> Outcome<Map<'a>> {
    let mut map = Map::new(meter)?;
    match given.take_first() {
        None => {}
        Some(Value::Map(first)) => {
            for (key, value) in first.pairs() {
                map.insert(key.clone(), value.clone())?;
            }
        }
        Some(other) => return failed(format!("{} cannot become a mapping", other.kind())),
    }
    for (name, value) in given.named {
        map.insert(Value::from(name), value)?;
    }
    match given.positional.is_empty() {
        true => Ok(map),
        false => failed("a mapping is made of one other at most"),
    }
}

fn range<'a>(given: Given<'a>, meter: &Rc<Meter>) -> Outcome<Value<'a>> {
    let [first, second, step] = given.bind("range", ["start", "stop", "step"])?;
    let number = |value: Option<Value<'a>>| match value.map(|value| value.as_int()) {
        None => Ok(None),
        Some(Some(number)) => Ok(Some(number)),
        Some(None) => failed("range takes integers alone"),
    };
    let (start, stop) = match (number(first)?, number(second)?) {
        (Some(start), Some(stop)) => (start, stop),
        (Some(stop), None) => (0, stop),
        _ => return failed("range is called without a stop"),
    };
    let step = number(step)?.unwrap_or(1);
    if step == 0 {
        return failed("range has a step of zero");
    }
    let mut list = List::new(meter)?;
    let mut next = Some(start);
    while let Some(number) = next.filter(|number| if step > 0 { *number < stop } else { *number > stop }) {
        if list.items().len() as i64 == RANGE_MAX {
            return failed(format!("range gives more than {RANGE_MAX} numbers"));
        }
        list.push(Value::Int(number))?;
        next = number.checked_add(step);
    }
    Ok(list.into())
}
