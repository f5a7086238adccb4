//! One run: duplicates first, then episodes, each step written down before it is done.

use crate::{
    episodes::{FACTS_FORM, FACTS_MAX, Moment, SUMMARISED_MIN, facts},
    marks::{EPISODE, FACT, SUMMARY, Source, derived, joined, run_of, sources_of},
    record::{Change, Kind, Step},
    runs::{Cursor, Runs, all},
    store::{Group, Member, passes_over},
};
use remit::{
    Completion, FinishReason, LlmError, MemoryError, Message, Model, Part, Stop, Value, emit_text,
    memory::{Comparison, Condition, EntryId, Filter, Particulars},
    process::{self, Signal},
    progress,
};
use std::collections::BTreeSet;

/// Entries that are listed at once: each is a value of the process until it was looked at.
const PAGE: u32 = 32;

const SUMMARY_TOKENS_MAX: u32 = 160;
const FACTS_TOKENS_MAX: u32 = 40 * FACTS_MAX as u32;

/// How much of a note a plan shows, in characters.
const SHOWN_CHARS_MAX: usize = 60;

const SUMMARISE: &str =
    "Summarise the notes below in a few sentences. Keep names, numbers and dates, and add nothing that is not in them.";

const EXTRACT: &str = "List the facts in the notes below that will hold later too. One a line, each a whole sentence that can be \
                       understood alone, behind the numbers of the notes that it is from, like this: [1, 3] The fact.";

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    merged: usize,
    kept: usize,
    summaries: usize,
    facts: usize,
    facts_known: usize,
    /// Only of a plan: episodes that a model would be asked about.
    episodes: usize,
}

impl Done {
    pub(crate) fn said(&self) -> String {
        let Self { merged, kept, summaries, facts, facts_known, episodes } = *self;
        let mut said = Vec::new();
        if kept > 0 {
            said.push(format!("{merged} duplicates merged into {kept} entries"));
        }
        for (count, what) in [
            (summaries, "summaries written"),
            (facts, "facts written"),
            (facts_known, "facts with further sources"),
            (episodes, "episodes to be summarised and asked for facts"),
        ] {
            if count > 0 {
                said.push(format!("{count} {what}"));
            }
        }
        if said.is_empty() { "nothing to do".to_owned() } else { said.join(", ") }
    }
}

/// A run, or the plan of one.
pub(crate) struct Work {
    pub(crate) group: Group,
    pub(crate) runs: Runs,
    /// Whether nothing is written, and the plan is shown.
    pub(crate) is_plan: bool,
    pub(crate) done: Done,
    /// How far it came.
    at: Cursor,
    gone: BTreeSet<EntryId>,
}

impl Work {
    pub(crate) fn new(group: Group, runs: Runs, is_plan: bool) -> Self {
        let done = Done::default();
        let at = runs.cursor();
        Self { group, runs, is_plan, done, at, gone: BTreeSet::new() }
    }

    /// Goes through what is new. False where it was asked to stop before the end.
    pub(crate) fn all(&mut self) -> Result<bool, Stop> {
        Ok(self.duplicates()? && self.episodes()?)
    }

    /// Writes down how far it came.
    pub(crate) fn save(&mut self) -> Result<(), Stop> {
        if self.is_plan { Ok(()) } else { self.runs.keep(self.at) }
    }

    fn duplicates(&mut self) -> Result<bool, Stop> {
        loop {
            let (after, notes) = (Some(self.at.compared), Group::notes());
            let page = self.group.store.entries_within(&self.group.label, &notes, after, PAGE)?;
            if page.is_empty() {
                return Ok(true);
            }
            for hit in page {
                if is_asked_to_stop() {
                    return Ok(false);
                }
                let entry = hit.entry;
                progress(entry, None, "looking for duplicates")?;
                if !self.gone.contains(&entry)
                    && let Some(member) = self.group.member(hit)?
                {
                    self.compare(member)?;
                }
                self.at.compared = entry;
            }
            self.save()?;
        }
    }

    /// Merges all that say what a note says.
    fn compare(&mut self, member: Member) -> Result<(), Stop> {
        let mut but = self.gone.clone();
        but.insert(member.entry);
        let mut same = self.group.same(&member.text, &Group::notes(), &but)?;
        if same.is_empty() {
            return Ok(());
        }
        same.push(member);
        // The oldest number stays, since others may have noted it; the latest words do, since what was said last holds.
        same.sort_by_key(|member| member.entry);
        let sources = same.iter().flat_map(Member::sources).collect();
        let latest = same.iter().enumerate().max_by_key(|(place, member)| (member.written_at, *place));
        let content = latest.map_or(0, |(place, _)| place);
        self.merge(&same, content, &sources)
    }

    fn merge(&mut self, same: &[Member], content: usize, sources: &BTreeSet<Source>) -> Result<(), Stop> {
        let [kept, others @ ..] = same else { return Ok(()) };
        if self.is_plan {
            let names: Vec<_> = others.iter().map(|member| format!("m{}", member.entry)).collect();
            emit_text(format!("merge {} into m{}: {}\n", names.join(", "), kept.entry, shown(&same[content].text)))?;
        } else if !self.put_in_place(kept, others, &same[content].content, sources)? {
            return Ok(());
        }
        self.gone.extend(others.iter().map(|member| member.entry));
        self.done.merged += others.len();
        self.done.kept += 1;
        Ok(())
    }

    /// Writes a version of an entry that stands for others too, and forgets these. False where that cannot be.
    fn put_in_place(
        &mut self,
        kept: &Member,
        others: &[Member],
        content: &Value,
        sources: &BTreeSet<Source>,
    ) -> Result<bool, Stop> {
        let run = self.runs.begun()?;
        let all: Vec<_> = std::iter::once(kept).chain(others).map(|member| member.particulars.clone()).collect();
        let Some(particulars) = joined(&all, sources, run) else { return Ok(false) };
        let mut step = Step::new(Kind::Merge);
        step.changes.push(Change::Kept { entry: kept.entry, before: kept.version, after: kept.version + 1 });
        step.changes.extend(others.iter().map(|member| Change::Gone { entry: member.entry, version: member.version }));
        let planned = self.runs.plans(&step)?;
        let store = &self.group.store;
        match store.note(content).particulars(particulars).update(kept.entry, Some(kept.version)) {
            // Somebody was faster: it is another entry now.
            Err(MemoryError::Conflict { .. } | MemoryError::NoSuchEntry) => return Ok(false),
            written => written?,
        };
        for other in others {
            // What was changed meanwhile says something else.
            if self.group.store.describe(other.entry).is_ok_and(|now| now.version == other.version) {
                store.forget(other.entry)?;
            }
        }
        self.runs.did(planned, &mut step)?;
        Ok(true)
    }

    fn episodes(&mut self) -> Result<bool, Stop> {
        if self.group.model.is_none() {
            return Ok(true);
        }
        let mut after = self.at.told;
        let mut episode: Vec<(Member, Moment)> = Vec::new();
        loop {
            let page = self.group.store.entries_within(&self.group.label, &Group::notes(), Some(after), PAGE)?;
            let is_end = page.is_empty();
            for hit in page {
                after = hit.entry;
                if self.gone.contains(&after) {
                    continue;
                }
                let Some(member) = self.group.member(hit)? else { continue };
                let moment = Moment { at: self.noted_at(&member)?, bytes: member.text.len() };
                if moment.is_too_long() {
                    continue;
                }
                let moments: Vec<_> = episode.iter().map(|(_, moment)| *moment).collect();
                if moment.begins_another(&moments) && !self.tell(&mut episode)? {
                    return Ok(false);
                }
                episode.push((member, moment));
            }
            if is_end {
                while !episode.is_empty() {
                    if !self.tell(&mut episode)? {
                        return Ok(false);
                    }
                }
                // Those that were merged are gone, and are no episode of their own where that is undone.
                self.at.told = self.at.told.max(after).max(self.at.compared);
                self.save()?;
                return Ok(true);
            }
        }
    }

    /// When a note was written first: a run that merged it wrote it again.
    fn noted_at(&self, member: &Member) -> Result<std::time::Duration, Stop> {
        if run_of(&member.particulars).is_none() {
            return Ok(member.written_at);
        }
        let versions = self.group.store.versions(member.entry)?;
        Ok(versions.first().map_or(member.written_at, |first| std::time::Duration::from_nanos(first.written_at_ns)))
    }

    /// Summarises an episode, takes it from the list, and asks for its facts. False where it was asked to stop before.
    fn tell(&mut self, episode: &mut Vec<(Member, Moment)>) -> Result<bool, Stop> {
        if is_asked_to_stop() {
            return Ok(false);
        }
        let Some((first, _)) = episode.first() else { return Ok(true) };
        let name = format!("m{}", first.entry);
        let known = if self.is_plan { None } else { self.summarised(&name)? };
        // A run that broke off may have summarised fewer than have come by now: these are an episode of their own.
        let until = known.as_ref().and_then(|sources| sources.last()).map_or(EntryId::MAX, |last| last.entry);
        let length = episode.partition_point(|(member, _)| member.entry <= until).max(1);
        let members: Vec<_> = episode.drain(..length).map(|(member, _)| member).collect();
        progress(members[0].entry, None, "summarising")?;
        if self.is_plan {
            let line = format!("tell of {} notes from {name} on: {}\n", members.len(), shown(&members[0].text));
            emit_text(line)?;
            self.done.episodes += 1;
            return Ok(true);
        }
        if known.is_none() && members.len() >= SUMMARISED_MIN {
            self.summarise(&name, &members)?;
        }
        self.extract(&name, &members)?;
        self.at.told = members.last().map_or(0, |member| member.entry);
        self.save()?;
        Ok(true)
    }

    /// The sources of an episode's summary, where there is one.
    fn summarised(&self, episode: &str) -> Result<Option<BTreeSet<Source>>, Stop> {
        let filter = Filter::tagged(SUMMARY).and(Condition::field(EPISODE, Comparison::Equal, episode));
        let Some(hit) = all(&self.group.store, &self.group.label, &filter, PAGE)?.pop() else { return Ok(None) };
        Ok(Some(sources_of(&self.group.store.describe(hit.entry)?.particulars)))
    }

    fn summarise(&mut self, episode: &str, members: &[Member]) -> Result<(), Stop> {
        let Some(answer) = self.ask(SUMMARISE, members, SUMMARY_TOKENS_MAX, None)? else { return Ok(()) };
        if answer.content.is_empty() {
            return Ok(());
        }
        let mut step = Step { episode: Some(episode.to_owned()), ..Step::new(Kind::Summary) };
        let planned = self.runs.plans(&step)?;
        let particulars = self.derived(SUMMARY, episode, &members.iter().collect::<Vec<_>>())?;
        let entry = self.group.store.note(&answer.content).particulars(particulars).put()?;
        step.changes.push(Change::Made { entry });
        self.runs.did(planned, &mut step)?;
        self.done.summaries += 1;
        Ok(())
    }

    fn extract(&mut self, episode: &str, members: &[Member]) -> Result<(), Stop> {
        let answer = self.ask(EXTRACT, members, FACTS_TOKENS_MAX, Some(FACTS_FORM))?;
        let Some(answer) = answer else { return Ok(()) };
        let text = answer.text()?;
        let mut step = Step { episode: Some(episode.to_owned()), ..Step::new(Kind::Facts) };
        let mut planned = None;
        for fact in facts(&text, members.len()) {
            let from: Vec<_> = fact.from.iter().map(|place| &members[*place]).collect();
            let only = Filter::tagged(FACT);
            if let Some(known) = self.group.same(fact.text, &only, &BTreeSet::new())?.into_iter().next() {
                self.add_sources(&known, &from)?;
                continue;
            }
            let particulars = self.derived(FACT, episode, &from)?;
            if planned.is_none() {
                planned = Some(self.runs.plans(&step)?);
            }
            let entry = self.group.store.note(fact.text).particulars(particulars).put()?;
            step.changes.push(Change::Made { entry });
            self.done.facts += 1;
        }
        match planned {
            Some(planned) => self.runs.did(planned, &mut step),
            None => Ok(()),
        }
    }

    fn derived(&mut self, tag: &str, episode: &str, members: &[&Member]) -> Result<Particulars, Stop> {
        let run = self.runs.begun()?;
        let of: Vec<_> = members.iter().map(|member| member.particulars.clone()).collect();
        let sources = members.iter().flat_map(|member| member.sources()).collect();
        Ok(derived(&of, tag, episode, &sources, run))
    }

    /// Notes that a fact which is known already stands in these too.
    fn add_sources(&mut self, known: &Member, from: &[&Member]) -> Result<(), Stop> {
        let mut sources = sources_of(&known.particulars);
        let before = sources.len();
        sources.extend(from.iter().flat_map(|member| member.sources()));
        if sources.len() > before && self.put_in_place(known, &[], &known.content, &sources)? {
            self.done.facts_known += 1;
        }
        Ok(())
    }

    /// What the model says of notes; `None` where it never will.
    fn ask(
        &self,
        what: &str,
        members: &[Member],
        tokens_max: u32,
        form: Option<&str>,
    ) -> Result<Option<Completion>, Stop> {
        let Some(model) = &self.group.model else { return Ok(None) };
        let mut notes = Message { role: remit::Role::User, content: Vec::new() };
        for (number, member) in (1..).zip(members) {
            notes = notes.with(Part::Text(format!("[{number}] ").into()));
            notes = notes.with(Part::Text((&member.content).into())).with(Part::Text("\n".into()));
        }
        let messages = [Message::system(what), notes];
        match answer(model, &messages, tokens_max, form) {
            Err(error) if passes_over(&error) => {
                remit::info!("the notes from m{} on are passed over: {error}", members[0].entry);
                Ok(None)
            }
            // What a budget cut off is written anew by the next run.
            Ok(answer) if answer.summary.finish == FinishReason::Budget => Err(Stop::Budget),
            answer => Ok(Some(answer?)),
        }
    }
}

fn answer(
    model: &Model,
    messages: &[Message<'_>],
    tokens_max: u32,
    form: Option<&str>,
) -> Result<Completion, LlmError> {
    let tokens_max = model.max_tokens_per_call().unwrap_or(u32::MAX).min(tokens_max);
    let call = model.chat(messages).max_tokens(tokens_max);
    match form {
        Some(form) => call.regex(form).send(),
        None => call.send(),
    }
}

fn is_asked_to_stop() -> bool {
    process::signals().any(|signal| signal == Signal::Cancel)
}

/// A note's beginning.
fn shown(text: &str) -> String {
    let mut chars = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    let beginning: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    if chars.next().is_some() { beginning + "…" } else { beginning }
}
