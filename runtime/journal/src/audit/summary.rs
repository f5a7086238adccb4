//! What an export tells that was checked.

use super::{
    file::{EntryItem, LineItem, Says},
    key::PublicKey,
    line::{Act, Hash},
};
use remit_abi::{TenantId, Usage};
use remit_kernel::ports::Fact;
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
            Says::Act(act) => self.count_act(*act, line.at_ns),
            Says::Entry(EntryItem { fact, content, .. }) => {
                self.entries += 1;
                self.revealed += u64::from(content.is_some());
                if let Some(fact) = fact {
                    self.count_fact(fact);
                }
            }
        }
    }

    fn count_act(&mut self, act: Act, at_ns: u64) {
        match act {
            Act::Began { after } => self.begins_after = after,
            Act::Forgot { chunks, .. } => self.forgotten = self.forgotten.saturating_add(chunks),
            Act::Erasing { chunks, .. } => self.erased = self.erased.saturating_add(chunks),
            Act::Erased => self.erasures.push(at_ns),
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
            Fact::Began { .. }
            | Fact::Opened { .. }
            | Fact::Streaming { .. }
            | Fact::Given { .. }
            | Fact::Committed { .. }
            | Fact::Exited { .. }
            | Fact::Forked { .. }
            | Fact::Answered { .. }
            | Fact::CalledTool { .. }
            | Fact::ReturnedTool { .. } => {}
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
