//! Which models may answer a request, in which order: a pure function of what is asked and of how the models are.
//!
//! | step | what decides | what comes out |
//! | --- | --- | --- |
//! | choose | the first rule whose conditions all hold, else the default | a list of models |
//! | order | how each model is: resting, not open, its context too short | the same list, with what is passed over marked |
//!
//! A rule never looks at how a model is: so what an operator wrote can be told from the request alone.

use super::turns::RetryRules;
use remit_abi::{Priority, TenantId, Tokens};
use serde::Serialize;
use std::fmt;

/// What the rule is called that holds where no other does.
pub const DEFAULT_RULE: &str = "default";

/// What a rule sees of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestClass {
    /// What it is for: the label of the grant that the route was opened under. A guest makes a label of its own by
    /// attenuating, so this is what it says, and opens nothing.
    pub task: Box<str>,
    /// Of the prompt, counted by the first model of the default.
    pub prompt_tokens: u32,
    /// How many tokens of output it asks for, at most.
    pub output_tokens: u32,
    /// Of its process.
    pub priority: Priority,
    /// Of its process.
    pub tenant: TenantId,
    /// What its process could still spend when it asked.
    pub budget: Tokens,
}

/// Two ends of a range, both in it; one that is not said bounds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bounds<T> {
    /// The lowest value.
    pub min: Option<T>,
    /// The highest value.
    pub max: Option<T>,
}

impl<T> Default for Bounds<T> {
    /// Every value.
    fn default() -> Self {
        Self { min: None, max: None }
    }
}

impl<T: Copy + PartialOrd> Bounds<T> {
    /// Whether it bounds nothing.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.min.is_none() && self.max.is_none()
    }

    fn holds(&self, value: T) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }
}

impl<T: fmt::Display> fmt::Display for Bounds<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.min, &self.max) {
            (Some(min), Some(max)) => write!(f, "between {min} and {max}"),
            (Some(min), None) => write!(f, "at least {min}"),
            (None, Some(max)) => write!(f, "at most {max}"),
            (None, None) => f.write_str("anything"),
        }
    }
}

/// Conditions of a rule: all of them hold, or the rule does not. An empty list lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct When {
    /// One of these tasks.
    pub tasks: Vec<Box<str>>,
    /// So long a prompt.
    pub prompt_tokens: Bounds<u32>,
    /// So long an output, at most.
    pub output_tokens: Bounds<u32>,
    /// One of these priorities.
    pub priorities: Vec<Priority>,
    /// One of these tenants.
    pub tenants: Vec<TenantId>,
    /// So much left to spend.
    pub budget: Bounds<Tokens>,
}

/// A condition that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The task.
    Task,
    /// The prompt's length.
    PromptTokens,
    /// The output's length.
    OutputTokens,
    /// The priority.
    Priority,
    /// The tenant.
    Tenant,
    /// What is left to spend.
    Budget,
}

impl When {
    /// The first condition that does not hold.
    #[must_use]
    pub fn miss(&self, class: &RequestClass) -> Option<Miss> {
        let among = |empty: bool, found: bool| empty || found;
        let conditions = [
            (Miss::Task, among(self.tasks.is_empty(), self.tasks.contains(&class.task))),
            (Miss::PromptTokens, self.prompt_tokens.holds(class.prompt_tokens)),
            (Miss::OutputTokens, self.output_tokens.holds(class.output_tokens)),
            (Miss::Priority, among(self.priorities.is_empty(), self.priorities.contains(&class.priority))),
            (Miss::Tenant, among(self.tenants.is_empty(), self.tenants.contains(&class.tenant))),
            (Miss::Budget, self.budget.holds(class.budget)),
        ];
        conditions.into_iter().find(|(_, holds)| !holds).map(|(miss, _)| miss)
    }

    /// A miss in words: what was asked for, and what the rule is for.
    #[must_use]
    pub fn told(&self, miss: Miss, class: &RequestClass) -> String {
        match miss {
            Miss::Task => format!("the task is {}, and it is for {}", class.task, self.tasks.join(", ")),
            Miss::PromptTokens => {
                format!("the prompt has {} tokens, and it is for {}", class.prompt_tokens, self.prompt_tokens)
            }
            Miss::OutputTokens => {
                format!("{} tokens of output are asked for, and it is for {}", class.output_tokens, self.output_tokens)
            }
            Miss::Priority => {
                let names: Vec<_> = self.priorities.iter().map(|priority| name_of(*priority)).collect();
                format!("the priority is {}, and it is for {}", name_of(class.priority), names.join(", "))
            }
            Miss::Tenant => {
                let names: Vec<_> = self.tenants.iter().map(|tenant| tenant.0.to_string()).collect();
                format!("the tenant is {}, and it is for {}", class.tenant.0, names.join(", "))
            }
            Miss::Budget => format!("{} tokens are left to spend, and it is for {}", class.budget, self.budget),
        }
    }

    /// Whether there is no condition.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The name of a priority, as files and command lines have it.
#[must_use]
pub const fn name_of(priority: Priority) -> &'static str {
    match priority {
        Priority::Background => "background",
        Priority::Low => "low",
        Priority::Normal => "normal",
        Priority::High => "high",
    }
}

/// One rule of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// What records and explanations call it.
    pub name: Box<str>,
    /// For which requests it is.
    pub when: When,
    /// Which models may answer these, the preferred one first; at least one.
    pub models: Vec<Box<str>>,
}

/// What an operator wrote down for one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Route {
    /// The first one that holds decides.
    pub rules: Vec<Rule>,
    /// Which models may answer where none does, the preferred one first; at least one.
    pub default: Vec<Box<str>>,
    /// How often, and for how long, a request is tried again.
    pub retry: RetryRules,
}

/// What the rules say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice<'a> {
    /// Which one decided.
    pub rule: &'a str,
    /// The models that may answer, the preferred one first.
    pub models: &'a [Box<str>],
}

impl Route {
    /// What the rules say of a request.
    #[must_use]
    pub fn choose(&self, class: &RequestClass) -> Choice<'_> {
        match self.rules.iter().find(|rule| rule.when.miss(class).is_none()) {
            Some(rule) => Choice { rule: &rule.name, models: &rule.models },
            None => Choice { rule: DEFAULT_RULE, models: &self.default },
        }
    }

    /// Whether any rule asks for the length of a prompt: counting it takes a pass of a tokenizer.
    #[must_use]
    pub fn measures_prompts(&self) -> bool {
        self.rules.iter().any(|rule| !rule.when.prompt_tokens.is_open())
    }

    /// Every model that it may use, each once, by the order of the first mention.
    #[must_use]
    pub fn models(&self) -> Vec<&str> {
        let mut models: Vec<&str> = Vec::new();
        for model in self.default.iter().chain(self.rules.iter().flat_map(|rule| &rule.models)) {
            if !models.contains(&&**model) {
                models.push(model);
            }
        }
        models
    }

    /// The rules before the one that decides, each with the condition that did not hold.
    #[must_use]
    pub fn misses(&self, class: &RequestClass) -> Vec<(Box<str>, String)> {
        let missed = |rule: &Rule| {
            let miss = rule.when.miss(class)?;
            Some((rule.name.clone(), rule.when.told(miss, class)))
        };
        self.rules.iter().map_while(missed).collect()
    }
}

/// How a model is, for one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tier {
    /// Whether requests can be put to it at all.
    pub is_open: bool,
    /// For how long its circuit breaker still lets nothing through.
    pub rests_ns: Option<u64>,
    /// Prompt and output together, where that is known.
    pub context_length: Option<u32>,
    /// The prompt, counted by this model, where that is known.
    pub prompt_tokens: Option<u32>,
}

/// Why a model is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skip {
    /// It is not open.
    NotOpen,
    /// Its circuit breaker lets nothing through.
    Resting {
        /// For how long still.
        rests_ns: u64,
    },
    /// The prompt leaves no room for a token.
    TooLong {
        /// Of the prompt.
        tokens: u32,
        /// Of the model's context.
        capacity: u32,
    },
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen => f.write_str("is not open"),
            Self::Resting { rests_ns } => {
                write!(f, "failed too often, and rests for {} ms", rests_ns.div_ceil(1_000_000))
            }
            Self::TooLong { tokens, capacity } => {
                write!(f, "holds {capacity} tokens, and the prompt has {tokens}")
            }
        }
    }
}

/// A model of a choice: to be tried in its turn, or passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ranked {
    /// Its name.
    pub model: Box<str>,
    /// Why it is passed over; `None` where it is not.
    pub skip: Option<Skip>,
}

/// Whether a model is passed over.
#[must_use]
pub fn skip(tier: Tier) -> Option<Skip> {
    if !tier.is_open {
        return Some(Skip::NotOpen);
    }
    if let Some(rests_ns) = tier.rests_ns {
        return Some(Skip::Resting { rests_ns });
    }
    match (tier.prompt_tokens, tier.context_length) {
        (Some(tokens), Some(capacity)) if tokens >= capacity => Some(Skip::TooLong { tokens, capacity }),
        _ => None,
    }
}

/// What a request would get, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Rules that come before, and what did not hold.
    pub missed: Vec<(Box<str>, String)>,
    /// The rule that decides.
    pub rule: Box<str>,
    /// Its models, in the order in which they are tried.
    pub models: Vec<Ranked>,
}

/// What a request of a class would get from a route, with its models as they are.
pub fn explain(route: &Route, class: &RequestClass, tier: impl Fn(&str) -> Tier) -> Explained {
    let choice = route.choose(class);
    let ranked = |model: &str| Ranked { model: model.into(), skip: skip(tier(model)) };
    Explained {
        missed: route.misses(class),
        rule: choice.rule.into(),
        models: choice.models.iter().map(|model| ranked(model)).collect(),
    }
}

#[cfg(test)]
mod tests;
