//! The store of runs: heads, steps, and how far the store was gone through.

use crate::{
    marks::RUN,
    record::{Kind, Step},
};
use remit::{
    MemoryError, Stop, Value,
    memory::{Comparison, Condition, EntryId, Filter, Hit, Scalar, Store},
    value::Label,
};

/// No text to the kernel: nobody looks for a record by its words, and no vector is computed for it.
const MEDIA_TYPE: &str = "application/vnd.remit.consolidation";

const HEAD: &str = "run";
const STEP: &str = "step";
const CURSOR: &str = "cursor";

/// Fields of the cursor.
const COMPARED: &str = "compared";
const TOLD: &str = "told";

/// Records that are read at once.
const PAGE: u32 = 64;

/// Up to which entries a store was gone through: those with higher numbers are new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// In search of duplicates.
    pub(crate) compared: EntryId,
    /// For summaries and facts.
    pub(crate) told: EntryId,
}

/// What a run writes down, of one label.
pub(crate) struct Runs {
    store: Store,
    label: Label,
    /// The head of this run, once there is something to be written down.
    pub(crate) run: Option<EntryId>,
    /// The entry of the cursor, and what it says.
    cursor: Option<(EntryId, Cursor)>,
}

impl Runs {
    pub(crate) fn open(store: Store, label: Label) -> Result<Self, Stop> {
        let mut runs = Self { store, label, run: None, cursor: None };
        if let Some(hit) = runs.all(&Filter::tagged(CURSOR))?.pop() {
            let fields = runs.store.describe(hit.entry)?.particulars.fields;
            let number = |wanted: &str| {
                let field = fields.iter().find(|(name, _)| name == wanted);
                field.map_or(0, |(_, value)| if let Scalar::Integer(id) = value { id.cast_unsigned() } else { 0 })
            };
            runs.cursor = Some((hit.entry, Cursor { compared: number(COMPARED), told: number(TOLD) }));
        }
        Ok(runs)
    }

    pub(crate) fn cursor(&self) -> Cursor {
        self.cursor.map(|(_, cursor)| cursor).unwrap_or_default()
    }

    /// Writes down how far the store was gone through. Before that everything is looked at again, which changes nothing.
    pub(crate) fn keep(&mut self, cursor: Cursor) -> Result<(), Stop> {
        if self.cursor() == cursor {
            return Ok(());
        }
        let text = record("how far the store was gone through")?;
        let note = self.store.note(&text).tag(CURSOR);
        let note = note.field(COMPARED, cursor.compared.cast_signed()).field(TOLD, cursor.told.cast_signed());
        let entry = match self.cursor {
            Some((entry, _)) => note.update(entry, None).map(|_| entry)?,
            None => note.put()?,
        };
        self.cursor = Some((entry, cursor));
        Ok(())
    }

    /// The number of this run; its head is written where there is none yet.
    pub(crate) fn begun(&mut self) -> Result<EntryId, Stop> {
        if let Some(run) = self.run {
            return Ok(run);
        }
        let run = self.store.note(&record("a consolidation that did not come to its end")?).tag(HEAD).put()?;
        self.run = Some(run);
        Ok(run)
    }

    /// Writes down how this run ended; nothing, where it has written nothing.
    pub(crate) fn ended(&self, how: &str) -> Result<(), Stop> {
        match self.run {
            Some(run) => self.says(run, how),
            None => Ok(()),
        }
    }

    /// Writes something else in a head.
    pub(crate) fn says(&self, head: EntryId, what: &str) -> Result<(), Stop> {
        self.store.note(&record(what)?).tag(HEAD).update(head, None)?;
        Ok(())
    }

    /// Whether there is a head of this number and of this label.
    pub(crate) fn knows(&self, run: EntryId) -> Result<bool, Stop> {
        let hit = match self.store.get(run) {
            Err(MemoryError::NoSuchEntry) => return Ok(false),
            found => found?,
        };
        Ok(is_of(&hit, &self.label) && self.store.describe(run)?.particulars.tags.iter().any(|tag| tag == HEAD))
    }

    /// Writes down a step that is about to be done.
    #[allow(clippy::redundant_closure_for_method_calls, reason = "the method by its name is of one lifetime")]
    pub(crate) fn plans(&mut self, step: &Step) -> Result<EntryId, Stop> {
        let run = self.begun()?;
        self.step(run, step, |note| note.put())
    }

    /// Writes down what came of it.
    pub(crate) fn did(&mut self, planned: EntryId, step: &mut Step) -> Result<(), Stop> {
        let run = self.begun()?;
        step.is_done = true;
        self.step(run, step, |note| note.update(planned, None))?;
        Ok(())
    }

    fn step<T>(
        &self,
        run: EntryId,
        step: &Step,
        write: impl FnOnce(remit::memory::Note<'_>) -> Result<T, MemoryError>,
    ) -> Result<T, Stop> {
        let kind = match step.kind {
            Kind::Merge => "merge",
            Kind::Summary => "summary",
            Kind::Facts => "facts",
        };
        let text = record(&step.written())?;
        Ok(write(self.store.note(&text).tag(STEP).field("kind", kind).field(RUN, run.cast_signed()))?)
    }

    /// The steps of a run, in their order.
    pub(crate) fn steps(&self, run: EntryId) -> Result<Vec<Step>, Stop> {
        let of_run = Condition::field(RUN, Comparison::Equal, run.cast_signed());
        let mut steps = Vec::new();
        for hit in self.all(&Filter::tagged(STEP).and(of_run))? {
            steps.extend(Step::read(&hit.content.text()?));
        }
        Ok(steps)
    }

    /// All records of this label that a filter means.
    fn all(&self, filter: &Filter) -> Result<Vec<Hit>, Stop> {
        all(&self.store, &self.label, filter, PAGE)
    }
}

fn record(text: &str) -> Result<Value, Stop> {
    Ok(Value::from_bytes(text.as_bytes(), MEDIA_TYPE)?)
}

/// All entries of a label, and of no other one, that a filter means.
pub(crate) fn all(store: &Store, label: &Label, filter: &Filter, page: u32) -> Result<Vec<Hit>, Stop> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let listed = store.entries_within(label, filter, after, page)?;
        let Some(last) = listed.last() else { return Ok(found) };
        after = Some(last.entry);
        found.extend(listed.into_iter().filter(|hit| is_of(hit, label)));
    }
}

/// Whether an entry has this label, and not a lower one that flows there.
pub(crate) fn is_of(hit: &Hit, label: &Label) -> bool {
    let found = hit.content.label();
    found.integrity == label.integrity && found.tags == label.tags
}
