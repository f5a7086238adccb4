//! The store that is put in order: its entries of one label, and what is like one of them.

use crate::{
    marks::{FACT, SUMMARY, Source, is_page, run_of, sources_of},
    runs::is_of,
};
use remit::{
    LlmError, MemoryError, Message, Model, Part, Stop, Value, ValueError,
    memory::{Condition, EntryId, Filter, Hit, Particulars, Store},
    value::Label,
};
use std::{collections::BTreeSet, time::Duration};

/// As much of a text as a search takes.
const WORDS_BYTES_MAX: usize = 8 << 10;

/// Entries that one is compared with: what is there more often is found again from those that are left.
const ALIKE_MAX: u32 = 8;

/// From this cosine on two texts are shown to the model. With the model `minilm` paraphrases begin at about 0.8, and sentences that differ
/// in a name or a number stand at 0.9 too: so it is the model that decides, and this only says whom to ask about.
const NEAR: f32 = 0.85;

/// How often the model is asked about one entry: it answers worse with each that is less alike.
const JUDGED_MAX: usize = 2;

const JUDGE: &str = "You are shown two notes. Answer yes if they say the same, so that one of them can go and nothing is lost: no name, \
                     number, date or detail. Otherwise answer no.";

/// An entry that was read.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) entry: EntryId,
    pub(crate) version: u32,
    pub(crate) content: Value,
    pub(crate) text: String,
    /// When its newest version was written.
    pub(crate) written_at: Duration,
    pub(crate) particulars: Particulars,
}

impl Member {
    /// What it stands for: itself, unless a run has made it of others.
    pub(crate) fn sources(&self) -> BTreeSet<Source> {
        let listed = sources_of(&self.particulars);
        if run_of(&self.particulars).is_some() && !listed.is_empty() {
            return listed;
        }
        BTreeSet::from([Source { entry: self.entry, version: self.version }])
    }
}

/// The entries of one label in one store.
pub(crate) struct Group {
    pub(crate) store: Store,
    pub(crate) label: Label,
    /// What judges and writes, where it was granted.
    pub(crate) model: Option<Model>,
}

impl Group {
    /// What people and agents wrote: neither summaries nor facts.
    pub(crate) fn notes() -> Filter {
        Filter::from(Condition::untagged(SUMMARY)).and(Condition::untagged(FACT))
    }

    /// Reads an entry. None where it is of another label, no text, a page of a context, or has changed meanwhile.
    pub(crate) fn member(&self, hit: Hit) -> Result<Option<Member>, Stop> {
        if !is_of(&hit, &self.label) {
            return Ok(None);
        }
        let text = match hit.content.text() {
            Err(ValueError::NotText { .. }) => return Ok(None),
            text => text?,
        };
        let described = match self.store.describe(hit.entry) {
            Err(MemoryError::NoSuchEntry) => return Ok(None),
            described => described?,
        };
        if described.version != hit.version || text.trim().is_empty() || is_page(&described.particulars) {
            return Ok(None);
        }
        let Hit { entry, version, content, written_at, .. } = hit;
        Ok(Some(Member { entry, version, content, text, written_at, particulars: described.particulars }))
    }

    /// Those that say what a text says: word by word, or so like it that the model says that they do. `but` are left out.
    pub(crate) fn same(&self, text: &str, only: &Filter, but: &BTreeSet<EntryId>) -> Result<Vec<Member>, Stop> {
        let (mut found, mut judged) = (Vec::new(), 0);
        for hit in self.alike(text, only)?.into_iter().filter(|hit| !but.contains(&hit.entry)) {
            let near = hit.similarity.is_some_and(|similarity| similarity >= NEAR);
            let Some(member) = self.member(hit)? else { continue };
            let is_equal = member.text.split_whitespace().eq(text.split_whitespace());
            if is_equal || (near && judged < JUDGED_MAX && self.judges(text, &member.content, &mut judged)?) {
                found.push(member);
            }
        }
        Ok(found)
    }

    /// The likest entries by words and by meaning, all that are alike: none makes way for another one that says the same.
    fn alike(&self, text: &str, only: &Filter) -> Result<Vec<Hit>, Stop> {
        let words = &text[..text.floor_char_boundary(WORDS_BYTES_MAX)];
        let search = || {
            let search = self.store.search(words).only(only.clone()).within(self.label.clone());
            search.count(ALIKE_MAX).diversity(0.0)
        };
        let found = match search().find() {
            // The model that embeds is not there: what is equal is found by its words.
            Err(MemoryError::Unavailable(_)) => search().by_words().find(),
            found => found,
        };
        match found {
            // There is nothing in it that could be looked for.
            Err(MemoryError::Invalid(_)) => Ok(Vec::new()),
            found => Ok(found?),
        }
    }

    /// Whether two texts say the same, as the model sees it.
    fn judges(&self, one: &str, other: &Value, judged: &mut usize) -> Result<bool, Stop> {
        let Some(model) = &self.model else { return Ok(false) };
        *judged += 1;
        let notes = Message::user(format!("First note: {one}\n\nSecond note: ")).with(Part::Text(other.into()));
        let messages = [Message::system(JUDGE), notes.with(Part::Text("\n\nDo they say the same?".into()))];
        match model.chat(&messages).max_tokens(2).choice(&["yes", "no"]).send() {
            Err(error) if passes_over(&error) => Ok(false),
            answer => Ok(answer?.text()?.trim().eq_ignore_ascii_case("yes")),
        }
    }
}

/// Whether a model will never do what it was asked: its grant does not let in data of this label, or it is too much.
pub(crate) fn passes_over(error: &LlmError) -> bool {
    matches!(error, LlmError::Denied(_) | LlmError::TooLong { .. } | LlmError::Invalid(_))
}
