//! Routes as an operator writes them down, in TOML, and everything that can be wrong with them.
//!
//! ```toml
//! [breaker]                           # of every model; may be left out, and so may each of its keys
//! failures = 5                        # so many failures
//! window_ms = 30_000                  # within so long keep requests away from a model
//! pause_ms = 10_000                   # for so long; then one of them finds out whether it is well again
//!
//! [route.assist]                      # a name that stands where a model's does
//! default = ["small", "large"]        # who may answer where no rule holds: the preferred one first
//!
//! [route.assist.retry]                # may be left out, and so may each of its keys
//! again = 2                           # where all refused: how often those that may be well again are tried once more
//! pause_ms = 100                      # after a pause of at most this, which doubles each time
//! pause_ms_max = 2_000                # up to this
//! within_ms = 10_000                  # no try begins later than this after the first
//!
//! [[route.assist.rule]]               # the first rule decides whose conditions all hold
//! name = "long"                       # what records call it; "rule 1" without this
//! use = ["large"]                     # who may answer then
//! [route.assist.rule.when]            # at least one of these
//! task = ["summarise", "translate"]   # labels of the grant that the route was opened under
//! prompt_tokens = { min = 2_000 }     # min, max or both, both of them in it; counted by the first model of the default
//! output_tokens = { max = 500 }       # what the request asks for, at most
//! priority = ["high", "normal"]       # background, low, normal, high
//! tenant = [0]
//! budget = { min = 100 }              # in tokens that its process can still spend
//! ```
//!
//! Every model is known, and none is a route: so a request ends at a model, and nothing goes in circles. An unknown key is an
//! error, since a misspelt condition would let everything through.

mod section;

use super::{
    breaker::BreakerRules,
    policy::{Bounds, DEFAULT_RULE, Route, Rule, When, name_of},
    turns::RetryRules,
};
use remit_abi::{Priority, TenantId, Tokens, is_name};
use section::{Section, Texts};
use std::{collections::BTreeMap, fmt::Write};
use thiserror::Error;
use toml::de::DeTable;

/// Bytes of a file of routes, at most: the limits below allow no sensible one that is longer.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Routes in one file, at most: a person keeps an overview of fewer.
const ROUTES_MAX: usize = 100;

/// Rules of one route, at most: each is looked at for each request.
const RULES_MAX: usize = 100;

/// Models of one rule, at most: the prompt is counted by each of them before the first is tried.
const MODELS_MAX: usize = 8;

/// Names in one condition, at most.
const NAMES_MAX: usize = 64;

/// Times that a request is tried again, at most: with doubling pauses the last would be some 17 minutes behind the first second.
const AGAIN_MAX: u64 = 10;

/// An hour, in milliseconds: nobody waits longer for a try.
const MS_MAX: u64 = 3_600_000;

/// Failures that a breaker counts, at most: each is kept.
const FAILURES_MAX: u64 = 1_000;

const NS_PER_MS: u64 = 1_000_000;

/// What is wrong with a file of routes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {sentence}")]
pub struct ReadError {
    /// Where, from 1 on.
    pub line: usize,
    /// What.
    pub sentence: String,
}

/// What an operator wrote down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    /// Of every model.
    pub breaker: BreakerRules,
    /// Routes by name.
    pub routes: BTreeMap<Box<str>, Route>,
}

impl Definitions {
    /// Reads a file of routes over these models.
    ///
    /// # Errors
    /// [`ReadError`], the first one in the order of reading.
    pub fn read(text: &str, models: &[&str]) -> Result<Self, ReadError> {
        if text.len() > FILE_BYTES_MAX {
            let sentence = format!("the file has {} bytes, and {FILE_BYTES_MAX} are the most", text.len());
            return Err(ReadError { line: 1, sentence });
        }
        let document = DeTable::parse(text).map_err(|error| {
            let line = section::line_of(text, error.span().map_or(0, |span| span.start));
            ReadError { line, sentence: format!("this is no TOML: {}", error.message()) }
        })?;
        let top = Section::new(text, document.get_ref(), 0, String::new());
        top.knows(&["breaker", "route"])?;
        let breaker = top.section("breaker")?.map(|section| breaker(&section)).transpose()?.unwrap_or_default();
        let mut routes = BTreeMap::new();
        if let Some(named) = top.section("route")? {
            for section in named.sections()? {
                let name = section.last_name().to_owned();
                let read = route(&section, &name, models)?;
                routes.insert(name.into(), read);
            }
            if routes.len() > ROUTES_MAX {
                return Err(named.wrong(&format!("has {} routes, and {ROUTES_MAX} are the most", routes.len())));
            }
        }
        Ok(Self { breaker, routes })
    }
}

fn breaker(section: &Section<'_>) -> Result<BreakerRules, ReadError> {
    section.knows(&["failures", "window_ms", "pause_ms"])?;
    let BreakerRules { failures, window_ns, pause_ns } = BreakerRules::default();
    Ok(BreakerRules {
        failures: section.number("failures", 1..=FAILURES_MAX)?.map_or(failures, small),
        window_ns: section.number("window_ms", 1..=MS_MAX)?.map_or(window_ns, |ms| ms * NS_PER_MS),
        pause_ns: section.number("pause_ms", 1..=MS_MAX)?.map_or(pause_ns, |ms| ms * NS_PER_MS),
    })
}

fn route(section: &Section<'_>, name: &str, models: &[&str]) -> Result<Route, ReadError> {
    if !is_name(name) {
        return Err(section.wrong("is no name for a route: use ASCII letters, digits and -._/:@"));
    }
    if models.contains(&name) {
        return Err(section.wrong("has the name of a model: give the route another"));
    }
    section.knows(&["default", "retry", "rule"])?;
    let default = section.texts("default", 1..=MODELS_MAX)?;
    let default = default.ok_or_else(|| section.wrong("has no `default`, which it needs"))?;
    let default = known(&default, models)?;
    let retry = section.section("retry")?.map(|section| retry(&section)).transpose()?.unwrap_or_default();
    let mut rules: Vec<Rule> = Vec::new();
    for (index, section) in section.list("rule", RULES_MAX)?.iter().enumerate() {
        let rule = rule(section, index, models)?;
        if *rule.name == *DEFAULT_RULE || rules.iter().any(|earlier| earlier.name == rule.name) {
            return Err(section.wrong(&format!("is called {:?}, and so is another: rename it", rule.name)));
        }
        rules.push(rule);
    }
    Ok(Route { rules, default, retry })
}

fn retry(section: &Section<'_>) -> Result<RetryRules, ReadError> {
    section.knows(&["again", "pause_ms", "pause_ms_max", "within_ms"])?;
    let usual = RetryRules::default();
    let ms = |key: &str, usual_ns: u64| {
        Ok(section.number(key, 0..=MS_MAX)?.map_or(usual_ns, |ms| ms.saturating_mul(NS_PER_MS)))
    };
    let rules = RetryRules {
        again: section.number("again", 0..=AGAIN_MAX)?.map_or(usual.again, small),
        pause_ns_min: ms("pause_ms", usual.pause_ns_min)?,
        pause_ns_max: ms("pause_ms_max", usual.pause_ns_max)?,
        within_ns: ms("within_ms", usual.within_ns)?,
    };
    match rules.pause_ns_min > rules.pause_ns_max {
        true => Err(section.wrong("has a `pause_ms` above its `pause_ms_max`: the first pause is the shortest")),
        false => Ok(rules),
    }
}

fn rule(section: &Section<'_>, index: usize, models: &[&str]) -> Result<Rule, ReadError> {
    section.knows(&["name", "use", "when"])?;
    let name = match section.text("name")? {
        Some(name) if is_name(name) => name.into(),
        Some(_) => return Err(section.wrong("has no plain `name`: use ASCII letters, digits and -._/:@")),
        None => format!("rule {}", index + 1).into(),
    };
    let candidates = section.texts("use", 1..=MODELS_MAX)?;
    let candidates = candidates.ok_or_else(|| section.wrong("has no `use`, which it needs"))?;
    let when = section.section("when")?.map(|section| when(&section)).transpose()?.unwrap_or_default();
    if when.is_empty() {
        let why = "has no condition in `when`, and hides all rules behind it: make it the default";
        return Err(section.wrong(why));
    }
    Ok(Rule { name, when, models: known(&candidates, models)? })
}

fn when(section: &Section<'_>) -> Result<When, ReadError> {
    section.knows(&["task", "prompt_tokens", "output_tokens", "priority", "tenant", "budget"])?;
    let tasks = section.texts("task", 1..=NAMES_MAX)?.unwrap_or_default();
    if let Some((task, line)) = tasks.iter().find(|(task, _)| !is_name(task)) {
        let sentence = format!("{task:?} is no task: a task is the label of a grant");
        return Err(ReadError { line: *line, sentence });
    }
    let priority = |(text, line): &(&str, usize)| {
        let all = [Priority::Background, Priority::Low, Priority::Normal, Priority::High];
        all.into_iter().find(|priority| name_of(*priority) == *text).ok_or_else(|| {
            let names = all.map(name_of).join(", ");
            ReadError { line: *line, sentence: format!("{text:?} is no priority: there are {names}") }
        })
    };
    let priorities = section.texts("priority", 1..=NAMES_MAX)?.unwrap_or_default();
    let tokens = |whole: u64| Tokens::from_whole(whole).unwrap_or(Tokens::MAX);
    Ok(When {
        tasks: tasks.iter().map(|(task, _)| (*task).into()).collect(),
        prompt_tokens: bounds(section, "prompt_tokens", u32::MAX.into(), small)?,
        output_tokens: bounds(section, "output_tokens", u32::MAX.into(), small)?,
        priorities: priorities.iter().map(priority).collect::<Result<_, _>>()?,
        tenants: section.numbers("tenant", NAMES_MAX)?.into_iter().map(TenantId).collect(),
        budget: bounds(section, "budget", u64::MAX / Tokens::MICRO, tokens)?,
    })
}

fn bounds<T>(section: &Section<'_>, key: &str, most: u64, of: impl Fn(u64) -> T) -> Result<Bounds<T>, ReadError> {
    let Some(section) = section.section(key)? else { return Ok(Bounds::default()) };
    section.knows(&["min", "max"])?;
    let (min, max) = (section.number("min", 0..=most)?, section.number("max", 0..=most)?);
    match (min, max) {
        (None, None) => Err(section.wrong("has neither `min` nor `max`: give it one of them")),
        (Some(min), Some(max)) if min > max => Err(section.wrong("holds for nothing: its `min` is above its `max`")),
        _ => Ok(Bounds { min: min.map(&of), max: max.map(of) }),
    }
}

/// Names of models, each one known and there once.
fn known(names: &Texts<'_>, models: &[&str]) -> Result<Vec<Box<str>>, ReadError> {
    let mut known: Vec<Box<str>> = Vec::new();
    for (name, line) in names {
        let wrong = |sentence: String| ReadError { line: *line, sentence };
        if !models.contains(name) {
            let advice = section::advice(name, models);
            return Err(wrong(format!("there is no model {name:?} (and a route names no route): {advice}")));
        }
        if known.iter().any(|earlier| **earlier == **name) {
            return Err(wrong(format!("{name:?} is there twice: one after the other would be tried alike")));
        }
        known.push((*name).into());
    }
    Ok(known)
}

/// A number that is checked to be small.
fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A route as [`Definitions::read`] reads it: the same text for the same route, whoever wrote it down how.
#[must_use]
pub fn written(name: &str, route: &Route) -> String {
    let mut text = String::new();
    // Writing to a text does not fail.
    let _infallible = write_route(&mut text, name, route);
    text
}

fn write_route(text: &mut String, name: &str, route: &Route) -> std::fmt::Result {
    // Names have neither quotes nor control characters, so that each is a TOML text as it stands.
    let Route { rules, default, retry } = route;
    let list = |names: &[Box<str>]| names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let ms = |ns: u64| ns / NS_PER_MS;
    writeln!(text, "[route.\"{name}\"]\ndefault = [{}]", list(default))?;
    writeln!(text, "[route.\"{name}\".retry]\nagain = {}\npause_ms = {}", retry.again, ms(retry.pause_ns_min))?;
    writeln!(text, "pause_ms_max = {}\nwithin_ms = {}", ms(retry.pause_ns_max), ms(retry.within_ns))?;
    for (index, Rule { name: rule, when, models }) in rules.iter().enumerate() {
        writeln!(text, "[[route.\"{name}\".rule]]")?;
        if **rule != *format!("rule {}", index + 1) {
            writeln!(text, "name = \"{rule}\"")?;
        }
        writeln!(text, "use = [{}]\n[route.\"{name}\".rule.when]", list(models))?;
        if !when.tasks.is_empty() {
            writeln!(text, "task = [{}]", list(&when.tasks))?;
        }
        write_bounds(text, "prompt_tokens", when.prompt_tokens, u64::from)?;
        write_bounds(text, "output_tokens", when.output_tokens, u64::from)?;
        if !when.priorities.is_empty() {
            let names: Vec<Box<str>> = when.priorities.iter().map(|priority| name_of(*priority).into()).collect();
            writeln!(text, "priority = [{}]", list(&names))?;
        }
        if !when.tenants.is_empty() {
            let tenants: Vec<_> = when.tenants.iter().map(ToString::to_string).collect();
            writeln!(text, "tenant = [{}]", tenants.join(", "))?;
        }
        write_bounds(text, "budget", when.budget, |tokens| tokens.micro() / Tokens::MICRO)?;
    }
    Ok(())
}

fn write_bounds<T>(text: &mut String, key: &str, bounds: Bounds<T>, number: impl Fn(T) -> u64) -> std::fmt::Result {
    let ends = [("min", bounds.min), ("max", bounds.max)];
    let said = ends.into_iter().filter_map(|(end, value)| Some(format!("{end} = {}", number(value?))));
    let said: Vec<_> = said.collect();
    match said.is_empty() {
        true => Ok(()),
        false => writeln!(text, "{key} = {{ {} }}", said.join(", ")),
    }
}

#[cfg(test)]
mod tests;
