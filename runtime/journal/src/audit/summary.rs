//! What an export tells that was checked.

use super::{
    file::{EntryItem, LineItem, Says},
    key::PublicKey,
    line::{Act, Hash},
};
use remit_abi::{TenantId, Usage};
use remit_kernel::ports::{Fact, OutcomeKind};
use std::collections::BTreeMap;

/// A chain as far as one of its lines, which its host vouched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose chain.
    pub tenant: TenantId,
    /// The host's.
    pub key: PublicKey,
    /// Of the last line.
    pub number: u64,
    /// When it was signed, in nanoseconds since 1970-01-01T00:00:00Z.
    pub at_ns: u64,
    pub(crate) head: Hash,
}

impl Checkpoint {
    /// The last line's link, in hexadecimal: two chains with the same one have the same lines.
    #[must_use]
    pub fn head(&self) -> String {
        hex::encode(self.head)
    }
}

/// What a model did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelTotal {
    /// Answers that ended.
    pub generations: u64,
    /// Answers that broke off.
    pub broken: u64,
    /// Calls for vectors.
    pub embeddings: u64,
    /// Prompt tokens that were computed, or embedded.
    pub input: u64,
    /// Prompt tokens that were at hand.
    pub cached: u64,
    /// Tokens that were written.
    pub output: u64,
}

/// What a tool was called for, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToolTotal {
    /// Calls that were written down.
    pub calls: u64,
    /// Of these and earlier ones, those of which the caller took that they were done.
    pub done: u64,
    /// Those that failed, or were stopped when their time was over.
    pub failed: u64,
    /// Those that were never begun, or withdrawn.
    pub not_done: u64,
    /// Those of which it is not known whether they acted, or what they returned.
    pub uncertain: u64,
    /// Those that were begun more than once.
    pub repeated: u64,
    /// Those that a person decided about.
    pub decided: u64,
}

/// What somebody was shown who looked through what processes were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecallTotal {
    /// How often they looked.
    pub questions: u64,
    /// Texts that they were shown, all times together.
    pub hits: u64,
}

/// What a chain tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its end, to compare a later export with.
    pub checkpoint: Checkpoint,
    /// Signatures over it on the way there.
    pub checkpoints: u64,
    /// Entries of processes; all other lines are acts.
    pub entries: u64,
    /// Of these those whose contents are in the export, and are what was written down.
    pub revealed: u64,
    /// What the log had up to this position is in no line; 0 where nothing was.
    pub begins_after: u64,
    /// Processes that were made.
    pub processes: u64,
    /// Rights that were missing.
    pub denials: u64,
    /// By name and digest.
    pub models: BTreeMap<(Box<str>, Box<str>), ModelTotal>,
    /// By name. Under none is what came of calls that are not in the export.
    pub tools: BTreeMap<Option<Box<str>>, ToolTotal>,
    /// Calls of which nothing came yet, by their numbers.
    open_calls: BTreeMap<u64, Box<str>>,
    /// Citations whose quotation stands in what is cited.
    pub supported_citations: u64,
    /// Citations whose quotation does not.
    pub unsupported_citations: u64,
    /// Who looked through what processes were told, by their names.
    pub recalls: BTreeMap<Box<str>, RecallTotal>,
    /// Chunks that were forgotten for their age.
    pub forgotten: u64,
    /// Chunks that were deleted when the tenant was erased.
    pub erased: u64,
    /// When erasures were complete, in nanoseconds since 1970-01-01T00:00:00Z.
    pub erasures: Vec<u64>,
    /// The earliest and the latest time of a line, in nanoseconds since 1970-01-01T00:00:00Z.
    pub times_ns: Option<(u64, u64)>,
}

impl Summary {
    pub(crate) fn new(checkpoint: Checkpoint) -> Self {
        Self {
            checkpoint,
            checkpoints: 0,
            entries: 0,
            revealed: 0,
            begins_after: 0,
            processes: 0,
            denials: 0,
            models: BTreeMap::new(),
            tools: BTreeMap::new(),
            open_calls: BTreeMap::new(),
            supported_citations: 0,
            unsupported_citations: 0,
            recalls: BTreeMap::new(),
            forgotten: 0,
            erased: 0,
            erasures: Vec::new(),
            times_ns: None,
        }
    }

    /// Counts a line that is as it was written down.
    pub(crate) fn count(&mut self, line: &LineItem) {
        let (first, last) = self.times_ns.unwrap_or((line.at_ns, line.at_ns));
        self.times_ns = Some((first.min(line.at_ns), last.max(line.at_ns)));
        match &line.says {
            Says::Act(act) => self.count_act(act, line.at_ns),
            Says::Entry(EntryItem { fact, content, .. }) => {
                self.entries += 1;
                self.revealed += u64::from(content.is_some());
                if let Some(fact) = fact {
                    self.count_fact(fact);
                }
            }
        }
    }

    fn count_act(&mut self, act: &Act, at_ns: u64) {
        match act {
            Act::Began { after } => self.begins_after = *after,
            Act::Forgot { chunks, .. } => self.forgotten = self.forgotten.saturating_add(*chunks),
            Act::Erasing { chunks, .. } => self.erased = self.erased.saturating_add(*chunks),
            Act::Erased => self.erasures.push(at_ns),
            Act::Recalled { by, hits, .. } => {
                let total = self.recalls.entry(by.clone()).or_default();
                total.questions += 1;
                total.hits = total.hits.saturating_add(u64::from(*hits));
            }
        }
    }

    fn count_fact(&mut self, fact: &Fact) {
        match fact {
            Fact::Created { .. } => self.processes += 1,
            Fact::Denied { .. } => self.denials += 1,
            Fact::Generated { model, digest, usage, .. } => {
                self.used(model, digest, *usage, |total| total.generations += 1);
            }
            Fact::Broken { model, digest, usage, .. } => self.used(model, digest, *usage, |total| total.broken += 1),
            Fact::Embedded { model, digest, usage } => self.used(model, digest, *usage, |total| total.embeddings += 1),
            Fact::CalledTool { number, tool, .. } => {
                self.tools.entry(Some(tool.clone())).or_default().calls += 1;
                self.open_calls.insert(*number, tool.clone());
            }
            Fact::ReturnedTool { number, attempts, outcome, decided } => {
                let total = self.tools.entry(self.open_calls.remove(number)).or_default();
                total.repeated += u64::from(*attempts > 1);
                total.decided += u64::from(decided.is_some());
                match outcome {
                    OutcomeKind::Done => total.done += 1,
                    OutcomeKind::Failed | OutcomeKind::TimedOut => total.failed += 1,
                    OutcomeKind::Unavailable | OutcomeKind::Withdrawn => total.not_done += 1,
                    OutcomeKind::Uncertain | OutcomeKind::Lost => total.uncertain += 1,
                }
            }
            Fact::Cited { supported: true } => self.supported_citations += 1,
            Fact::Cited { supported: false } => self.unsupported_citations += 1,
            Fact::Began { .. }
            | Fact::Opened { .. }
            | Fact::Streaming { .. }
            | Fact::Given { .. }
            | Fact::Committed { .. }
            | Fact::Exited { .. }
            | Fact::Forked { .. }
            | Fact::Answered { .. } => {}
        }
    }

    fn used(&mut self, model: &str, digest: &str, usage: Usage, count: impl FnOnce(&mut ModelTotal)) {
        let total = self.models.entry((model.into(), digest.into())).or_default();
        count(total);
        total.input += u64::from(usage.input);
        total.cached += u64::from(usage.cached);
        total.output += u64::from(usage.output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_kernel::ports::{Decided, Effect, Verdict};

    fn called(number: u64, tool: &str) -> Fact {
        Fact::CalledTool { number, tool: tool.into(), effect: Effect::Once, key: "k".into() }
    }

    #[test]
    fn calls_of_tools_are_counted_with_what_came_of_them() {
        let checkpoint =
            Checkpoint { tenant: TenantId(1), key: PublicKey([0; 32]), number: 0, at_ns: 0, head: [0; 32] };
        let mut summary = Summary::new(checkpoint);
        let decided = Some(Decided { by: "ann".into(), at_ns: 1, verdict: Verdict::DoItNow });
        let returned = |number, attempts, outcome| Fact::ReturnedTool { number, attempts, outcome, decided: None };
        let facts = [
            called(1, "order"),
            called(2, "order"),
            called(3, "stock"),
            returned(2, 1, OutcomeKind::Done),
            Fact::ReturnedTool { number: 1, attempts: 2, outcome: OutcomeKind::Lost, decided },
            returned(3, 1, OutcomeKind::TimedOut),
            called(4, "stock"),
            returned(99, 1, OutcomeKind::Withdrawn),
        ];
        facts.iter().for_each(|fact| summary.count_fact(fact));
        let zero = ToolTotal::default();
        let expected = [
            (None, ToolTotal { not_done: 1, ..zero }),
            (Some("order".into()), ToolTotal { calls: 2, done: 1, uncertain: 1, repeated: 1, decided: 1, ..zero }),
            (Some("stock".into()), ToolTotal { calls: 2, failed: 1, ..zero }),
        ];
        assert_eq!(summary.tools, BTreeMap::from(expected));
        [true, false, true].iter().for_each(|supported| summary.count_fact(&Fact::Cited { supported: *supported }));
        assert_eq!((summary.supported_citations, summary.unsupported_citations), (2, 1));
    }
}
