//! Renders a template: its statements one after the other.

mod expression;

pub(super) use expression::Given;

use super::{
    OUTPUT_BYTES_MAX,
    meter::{Buffer, Meter, Outcome, Pile, Stop, failed},
    print::print,
    syntax::{Block, Expression, For, Macro, Statement, Target},
    value::{Function, List, Loop, Value},
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

/// Names that are compared in one step.
const NAMES_PER_STEP: usize = 8;

/// Names and their values.
type Frame<'a> = Pile<(&'a str, Value<'a>)>;

/// A rendering under way.
pub(super) struct Renderer<'a> {
    pub(super) meter: Rc<Meter>,
    /// The first one is the template's own; the others are those of loops, blocks and macros inside each other.
    frames: Vec<Frame<'a>>,
    /// The lowest frame, besides the first, that is in sight: a macro does not see its caller's.
    floor: usize,
    /// What is written, and inside of it what is written apart. Never empty.
    outputs: Vec<Buffer>,
    line: u32,
}

/// What follows a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

impl<'a> Renderer<'a> {
    pub(super) fn new(meter: &Rc<Meter>) -> Outcome<Self> {
        let mut renderer = Self {
            meter: meter.clone(),
            frames: vec![Pile::new(meter)?],
            floor: 1,
            outputs: vec![Buffer::new(meter)?],
            line: 1,
        };
        for (name, function) in [
            ("range", Function::Range),
            ("dict", Function::Dict),
            ("namespace", Function::Namespace),
            ("raise_exception", Function::RaiseException),
        ] {
            renderer.assign_name(name, Value::Function(function))?;
        }
        Ok(renderer)
    }

    /// Gives the template a variable.
    pub(super) fn assign_name(&mut self, name: &'a str, value: Value<'a>) -> Outcome<()> {
        let Some(frame) = self.frames.last_mut() else { return failed("there is no frame") };
        self.meter.steps(frame.len() / NAMES_PER_STEP)?;
        for (known, place) in frame.as_mut_slice() {
            if *known == name {
                *place = value;
                return Ok(());
            }
        }
        frame.push((name, value))
    }

    /// What the template writes.
    pub(super) fn render(&mut self, template: &'a Block) -> Outcome<String> {
        self.block(template)?;
        Ok(self.outputs.pop().map(Buffer::into_text).unwrap_or_default())
    }

    /// Of the statement that runs, or ran last.
    pub(super) const fn line(&self) -> u32 {
        self.line
    }

    fn block(&mut self, block: &'a Block) -> Outcome<Flow> {
        let meter = self.meter.clone();
        meter.deeper(|| {
            for node in block {
                self.line = node.line;
                meter.steps(1)?;
                let flow = self.statement(&node.statement)?;
                if flow != Flow::Next {
                    return Ok(flow);
                }
            }
            Ok(Flow::Next)
        })
    }

    fn statement(&mut self, statement: &'a Statement) -> Outcome<Flow> {
        match statement {
            Statement::Text(text) => self.write(|out| out.push(text))?,
            Statement::Print(expression) => {
                let value = self.evaluate(expression)?;
                self.write(|out| print(&value, out))?;
            }
            Statement::If(branches, otherwise) => {
                for (test, block) in branches {
                    if self.evaluate(test)?.is_true() {
                        return self.block(block);
                    }
                }
                return self.block(otherwise);
            }
            Statement::For(run) => {
                let list = self.evaluate(&run.list)?;
                return self.run(run, &list, 0);
            }
            Statement::Set(target, expression) => {
                let value = self.evaluate(expression)?;
                self.assign(target, value)?;
            }
            Statement::SetBlock(target, filters, body) => {
                let text = self.apart(|renderer| renderer.framed(|renderer| renderer.block(body)))?;
                let text = self.accessed(text, filters)?;
                self.assign(target, text)?;
            }
            Statement::Macro(defined) => self.assign_name(&defined.name, Value::Macro(defined))?,
            Statement::With(bindings, body) => {
                return self.framed(|renderer| {
                    for (target, expression) in bindings {
                        let value = renderer.evaluate(expression)?;
                        renderer.assign(target, value)?;
                    }
                    renderer.block(body)
                });
            }
            Statement::Filter(filters, body) => {
                let text = self.apart(|renderer| renderer.framed(|renderer| renderer.block(body)))?;
                let text = self.accessed(text, filters)?;
                self.write(|out| print(&text, out))?;
            }
            Statement::Generation(body) => return self.block(body),
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn write(&mut self, write: impl FnOnce(&mut Buffer) -> Outcome<()>) -> Outcome<()> {
        let is_prompt = self.outputs.len() == 1;
        let Some(out) = self.outputs.last_mut() else { return failed("there is no output") };
        write(out)?;
        if is_prompt && out.len() > OUTPUT_BYTES_MAX { Err(Stop::Output) } else { Ok(()) }
    }

    /// What something writes, as a value.
    fn apart<T>(&mut self, act: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<Value<'a>> {
        self.outputs.push(Buffer::new(&self.meter)?);
        let done = act(self);
        let written = self.outputs.pop();
        done?;
        written.map_or_else(|| failed("there is no output"), |written| Ok(written.into()))
    }

    /// Does something with names of its own.
    fn framed<T>(&mut self, act: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        self.frames.push(Pile::new(&self.meter)?);
        let done = act(self);
        self.frames.pop();
        done
    }

    /// The value of a name.
    fn look_up(&self, name: &'a str) -> Outcome<Value<'a>> {
        let inner = self.frames[self.floor.min(self.frames.len())..].iter().rev();
        for frame in inner.chain(self.frames.first()) {
            for (at, (known, value)) in frame.iter().enumerate() {
                if *known == name {
                    self.meter.steps(at / NAMES_PER_STEP)?;
                    return Ok(value.clone());
                }
            }
            self.meter.steps(frame.len() / NAMES_PER_STEP)?;
        }
        Ok(Value::Undefined(name))
    }

    fn assign(&mut self, target: &'a Target, value: Value<'a>) -> Outcome<()> {
        match target {
            Target::Name(name) => self.assign_name(name, value),
            Target::Several(targets) => {
                let items = value.items(&self.meter)?;
                if items.items().len() != targets.len() {
                    let (names, values) = (targets.len(), items.items().len());
                    return failed(format!("{names} names are given {values} values"));
                }
                targets.iter().zip(items.items()).try_for_each(|(target, item)| self.assign(target, item.clone()))
            }
            Target::Attribute(space, name) => match self.look_up(space)? {
                Value::Space(space) => {
                    let key = Value::from(&**name);
                    space.try_borrow_mut().map_or_else(
                        |_| failed("a namespace is changed while it is read"),
                        |mut space| space.insert(key, value),
                    )
                }
                other => failed(format!("{} has no attributes to set: only a namespace has", other.kind())),
            },
        }
    }

    /// Runs a loop over a list.
    fn run(&mut self, run: &'a For, list: &Value<'a>, outer: usize) -> Outcome<Flow> {
        let items = list.items(&self.meter)?;
        let items = match &run.test {
            Some(test) => self.passing(&run.target, test, &items)?,
            None => items,
        };
        if items.items().is_empty() {
            return self.framed(|renderer| renderer.block(&run.otherwise));
        }
        let again = run.recursive.then_some(run);
        let state = Loop { items, index: Cell::new(0), outer, again, seen: RefCell::new(None) };
        let state = Rc::new(state);
        for (index, item) in state.items.items().iter().enumerate() {
            self.meter.steps(1)?;
            state.index.set(index);
            let flow = self.framed(|renderer| {
                renderer.assign_name("loop", Value::Loop(state.clone()))?;
                renderer.assign(&run.target, item.clone())?;
                renderer.block(&run.body)
            })?;
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    fn passing(&mut self, target: &'a Target, test: &'a Expression, items: &Rc<List<'a>>) -> Outcome<Rc<List<'a>>> {
        let mut passing = List::new(&self.meter)?;
        for item in items.items() {
            let passes = self.framed(|renderer| {
                renderer.assign(target, item.clone())?;
                Ok(renderer.evaluate(test)?.is_true())
            })?;
            if passes {
                passing.push(item.clone())?;
            }
        }
        Ok(Rc::new(passing))
    }

    /// Calls a macro: what it writes.
    fn call_macro(&mut self, called: &'a Macro, given: Given<'a>) -> Outcome<Value<'a>> {
        let line = self.line;
        let floor = std::mem::replace(&mut self.floor, self.frames.len().max(1));
        let written = self.apart(|renderer| {
            renderer.framed(|renderer| {
                renderer.bind(called, given)?;
                renderer.block(&called.body)
            })
        });
        self.floor = floor;
        let written = written?;
        self.line = line;
        Ok(written)
    }

    fn bind(&mut self, called: &'a Macro, given: Given<'a>) -> Outcome<()> {
        let mut positional = given.positional.into_iter();
        let mut named = given.named;
        for (name, default) in &called.parameters {
            let by_name = named.iter().position(|(given, _)| *given == &**name).map(|at| named.swap_remove(at).1);
            let value = match (positional.next(), by_name, default) {
                (Some(_), Some(_), _) => return failed(format!("{} is given {name} twice", called.name)),
                (Some(value), None, _) | (None, Some(value), _) => value,
                (None, None, Some(default)) => self.evaluate(default)?,
                (None, None, None) => Value::Undefined(name),
            };
            self.assign_name(name, value)?;
        }
        match (positional.next(), named.first()) {
            (None, None) => Ok(()),
            (Some(_), _) => failed(format!("{} takes {} arguments at most", called.name, called.parameters.len())),
            (_, Some((name, _))) => failed(format!("{} takes no argument {name}", called.name)),
        }
    }
}
