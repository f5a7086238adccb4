//! Whether what a package asks for is within what a policy lets it ask for.
//!
//! A want is taken apart into its entries, and each has to find a bound that covers it: of its kind, with its entry in scope,
//! and in no limit narrower than the want. Where a bound counts uses, uses over time or children, all wants that lean on it
//! share that: 64 wants of 60 uses a minute are 3,840 a minute.
//!
//! An entry leans on the first bound that covers it and has enough left. Another distribution might fit more; none that is
//! found here is wider than the bounds.

use crate::{
    Expiry, Want,
    form::{entries_key, has_access},
    moment::rate_in_words,
    name::quoted,
};
use remit_abi::{Access, Integrity, Rate, Scope};
use std::fmt;

/// What a want asks for beyond what it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// The want's label.
    pub label: String,
    /// What it asks for and what it may: one sentence without a full stop.
    pub difference: String,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the want {} {}", quoted(&self.label), self.difference)
    }
}

/// A bound, and what the wants before took of it.
struct Left<'b> {
    bound: &'b Want,
    uses: u64,
    children: u64,
    /// Uses at once.
    burst: u64,
    /// Uses in the long run, as [`long_run`] has them.
    long_run: u128,
}

/// Uses are compared over so long, in milliseconds: a thousand days, so that what is rounded is small.
const LONG_MS: u128 = 86_400_000_000;

/// Everything that wants ask for beyond bounds. `now_ns` is nanoseconds since 1970-01-01T00:00:00Z.
#[must_use]
pub fn excesses(wants: &[Want], bounds: &[Want], now_ns: u64) -> Vec<Excess> {
    let left = |bound| Left { bound, uses: 0, children: 0, burst: 0, long_run: 0 };
    let mut all: Vec<Left<'_>> = bounds.iter().map(left).collect();
    let mut excesses = Vec::new();
    for want in wants {
        let mut leans_on = vec![false; all.len()];
        let differences = entries(want).into_iter().filter_map(|entry| {
            let first = all.iter().zip(&leans_on).position(|(left, leans)| {
                covers(left.bound, want, entry.as_ref()) && (*leans || left.narrower(want, now_ns).is_none())
            });
            match first {
                Some(index) => {
                    leans_on[index] = true;
                    None
                }
                None => Some(difference(want, entry.as_ref(), &all, now_ns)),
            }
        });
        let mut differences: Vec<String> = differences.collect();
        differences.dedup();
        let label = &want.label;
        excesses.extend(differences.into_iter().map(|difference| Excess { label: label.clone(), difference }));
        all.iter_mut().zip(leans_on).filter(|(_, leans)| *leans).for_each(|(left, _)| left.take(want));
    }
    excesses
}

/// The entries of a want, each as a scope of its own. `None` is the host's default model.
fn entries(want: &Want) -> Vec<Option<Scope>> {
    let Some(scope) = &want.scope else { return vec![None] };
    // An entry of a scope is a scope.
    scope.entries().iter().filter_map(|entry| Scope::parse(want.kind, &[entry]).ok()).map(Some).collect()
}

/// Whether a bound is about an entry at all.
fn covers(bound: &Want, want: &Want, entry: Option<&Scope>) -> bool {
    bound.kind == want.kind
        && match (&bound.scope, entry) {
            (None, entry) => entry.is_none(),
            (Some(scope), Some(entry)) => scope.covers(entry),
            // The default model is some model.
            (Some(scope), None) => scope.entries().iter().any(|entry| **entry == *"*"),
        }
}

impl Left<'_> {
    /// In what the bound is narrower than a want, as the end of a sentence that begins with the want; `None` in nothing.
    fn narrower(&self, want: &Want, now_ns: u64) -> Option<String> {
        let bound = self.bound;
        if want.access > bound.access {
            return Some("asks to change what it opens, and it may look only".to_owned());
        }
        self.fewer(want).or_else(|| shorter(bound, want, now_ns)).or_else(|| stricter(bound, want))
    }

    /// As [`Left::narrower`], of what all wants share.
    fn fewer(&self, want: &Want) -> Option<String> {
        let limits = &self.bound.limits;
        let counted = |asked: Option<u64>, most: Option<u64>, taken: u64, noun: &str| {
            let most = most?;
            match asked {
                Some(asked) if taken.checked_add(asked).is_some_and(|sum| sum <= most) => None,
                asked => Some(format!("{}, and {}", asks_for(asked, noun), may_have(most, taken))),
            }
        };
        let (children, children_max) = (want.children_max.map(u64::from), self.bound.children_max.map(u64::from));
        counted(want.limits.uses, limits.uses, self.uses, "uses")
            .or_else(|| counted(children, children_max, self.children, "agents alive at a time"))
            .or_else(|| {
                let most = limits.rate?;
                match want.limits.rate {
                    Some(rate)
                        if self.burst + u64::from(rate.uses) <= most.uses.into()
                            && self.long_run + long_run(rate, u128::div_ceil)
                                <= long_run(most, |uses, ms| uses / ms) =>
                    {
                        None
                    }
                    Some(rate) if self.burst == 0 => Some(format!(
                        "asks for use {}, and it may have use {}",
                        rate_in_words(rate),
                        rate_in_words(most)
                    )),
                    Some(rate) => Some(format!(
                        "asks for use {}, and together with the wants before it it may have use {}",
                        rate_in_words(rate),
                        rate_in_words(most)
                    )),
                    None => Some(format!("asks for use without a rate, and it may have use {}", rate_in_words(most))),
                }
            })
    }

    fn take(&mut self, want: &Want) {
        self.uses = self.uses.saturating_add(want.limits.uses.unwrap_or(0));
        self.children = self.children.saturating_add(want.children_max.unwrap_or(0).into());
        if let Some(rate) = want.limits.rate {
            self.burst = self.burst.saturating_add(rate.uses.into());
            self.long_run = self.long_run.saturating_add(long_run(rate, u128::div_ceil));
        }
    }
}

/// Uses over [`LONG_MS`], rounded as `divide` does.
fn long_run(rate: Rate, divide: impl Fn(u128, u128) -> u128) -> u128 {
    divide(u128::from(rate.uses) * LONG_MS, u128::from(rate.per_ms.max(1)))
}

fn asks_for(asked: Option<u64>, noun: &str) -> String {
    match asked {
        Some(asked) => format!("asks for {asked} {noun}"),
        None => format!("asks for {noun} without a limit"),
    }
}

fn may_have(most: u64, taken: u64) -> String {
    match taken {
        0 => format!("it may have {most}"),
        taken => format!("{} of {most} are left by the wants before it", most.saturating_sub(taken)),
    }
}

/// When a right ends.
fn shorter(bound: &Want, want: &Want, now_ns: u64) -> Option<String> {
    let most = bound.limits.expires?;
    let is_within = match (want.limits.expires, most) {
        (Some(Expiry::After { ms }), Expiry::After { ms: most }) => ms <= most,
        (Some(Expiry::At { ns }), Expiry::At { ns: most }) => ns <= most,
        // Whoever starts later has less of it.
        (Some(Expiry::At { ns }), most @ Expiry::After { .. }) => ns <= most.moment_ns(now_ns),
        // Whoever starts late enough has it beyond any moment.
        (Some(Expiry::After { .. }) | None, _) => false,
    };
    let asked = want.limits.expires.map_or("for ever".to_owned(), Expiry::in_words);
    (!is_within).then(|| format!("asks for it {asked}, and it may have it {}", most.in_words()))
}

/// How much at a time, and of which data.
fn stricter(bound: &Want, want: &Want) -> Option<String> {
    if let Some(most) = bound.limits.max_tokens_per_call
        && want.limits.max_tokens_per_call.is_none_or(|asked| asked > most)
    {
        let asked = asks_for(want.limits.max_tokens_per_call.map(u64::from), "tokens a call");
        return Some(format!("{asked}, and {}", may_have(most.into(), 0)));
    }
    let most = bound.limits.ceiling.as_ref()?;
    let is_within = want.limits.ceiling.as_ref().is_some_and(|asked| {
        let is_trusted = most.integrity == Integrity::Untrusted || asked.integrity == Integrity::Trusted;
        is_trusted && asked.tags.iter().all(|tag| most.tags.contains(tag))
    });
    let integrity = if most.integrity == Integrity::Trusted { "trusted data" } else { "data of any origin" };
    let tags: Vec<_> = most.tags.iter().map(|tag| quoted(tag)).collect();
    let tags = if tags.is_empty() { "without tags".to_owned() } else { format!("with no tag but {}", tags.join(", ")) };
    (!is_within).then(|| format!("lets more data flow there than it may: {integrity} {tags}"))
}

/// What to say of an entry that no bound lets through.
fn difference(want: &Want, entry: Option<&Scope>, all: &[Left<'_>], now_ns: u64) -> String {
    let near = all.iter().filter(|left| covers(left.bound, want, entry));
    if let Some(narrower) = near.filter_map(|left| left.narrower(want, now_ns)).next() {
        return narrower;
    }
    let asked = match entry.and_then(|scope| scope.entries().first()) {
        Some(entry) => format!("asks for {} {}", want.kind.name(), quoted(entry)),
        None => "asks for the host's default model".to_owned(),
    };
    let of_kind = all.iter().filter(|left| left.bound.kind == want.kind);
    let allowed: Vec<String> = of_kind.map(|left| scope_in_words(left.bound)).collect();
    match allowed.as_slice() {
        [] => format!("{asked}, and it may have no right of the kind {}", want.kind.name()),
        _ => format!("{asked}, and it may have {}", allowed.join(", ")),
    }
}

fn scope_in_words(bound: &Want) -> String {
    let is_look = has_access(bound.kind) && bound.access == Access::ReadOnly;
    match &bound.scope {
        None => "the host's default model".to_owned(),
        Some(scope) => {
            let entries: Vec<_> = scope.entries().iter().map(|entry| quoted(entry)).collect();
            let to_look = if is_look { " to look" } else { "" };
            format!("{} {}{to_look}", entries_key(bound.kind), entries.join(", "))
        }
    }
}
