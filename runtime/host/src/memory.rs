//! `remit:kernel/memory`: what agents remember. Linked only where a grant of kind `memory` was given.

use crate::{
    bindings::remit::kernel::{memory, types, value},
    budget::shortfall_to_wit,
    capability::denial_to_wit,
    guest::{Guest, gone, mismatch},
    row::{GrantRow, ValueRow},
};
use remit_abi::{
    Cited, Citing, Comparison, Condition, Description, EntryFilter, EntryId, Field, Forgetting, Hit, Integrity,
    KeptVersion, Likeness, Listing, MemoryError, MemoryReply, MemoryRequest, Particulars, Reply, Request, Rewriting,
    Scalar, Seeking, Weighting, Writing,
};
use wasmtime::{Result, component::Resource};

/// What who asks is told.
type Told<T> = Result<std::result::Result<T, memory::MemoryError>>;

impl Guest {
    async fn call_memory(&mut self, request: MemoryRequest) -> Told<MemoryReply> {
        match self.call_waiting(Request::Memory(request)).await? {
            Reply::Memory(Ok(reply)) => Ok(Ok(reply)),
            Reply::Memory(Err(error)) => error_to_wit(error).map(Err),
            _ => Err(mismatch("memory")),
        }
    }

    fn writing(
        &self,
        store: &Resource<GrantRow>,
        content: value::Content,
        particulars: memory::Particulars,
        vector: Option<Vec<f32>>,
    ) -> Result<Writing> {
        let GrantRow(grant) = self.row(store)?;
        let (content, particulars) = (self.content(content)?, particulars_from_wit(particulars));
        Ok(Writing { grant, content, particulars, vector: vector.map(Into::into) })
    }

    fn likeness(&self, likeness: memory::Likeness) -> Result<Likeness> {
        Ok(match likeness {
            memory::Likeness::Words(text) => Likeness::Words(self.content(text)?),
            memory::Likeness::Meaning(text) => Likeness::Meaning(self.content(text)?),
            memory::Likeness::Both(text) => Likeness::Both(self.content(text)?),
            memory::Likeness::Vector(vector) => Likeness::Vector(vector.into()),
        })
    }

    fn hit_to_wit(&mut self, hit: &Hit) -> Result<memory::Hit> {
        let Hit { entry: EntryId(entry), version, content, written_ns, score, similarity, relevance } = *hit;
        let content = self.push(ValueRow(content))?;
        Ok(memory::Hit { entry, version, content, written_at_ns: written_ns, score, similarity, relevance })
    }

    async fn found(&mut self, request: MemoryRequest) -> Told<Vec<memory::Hit>> {
        match self.call_memory(request).await? {
            Ok(MemoryReply::Found(hits)) => hits.iter().map(|hit| self.hit_to_wit(hit)).collect::<Result<_>>().map(Ok),
            Ok(_) => Err(mismatch("memory.search")),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn updated(&mut self, request: MemoryRequest) -> Told<u32> {
        match self.call_memory(request).await? {
            Ok(MemoryReply::Updated(version)) => Ok(Ok(version)),
            Ok(_) => Err(mismatch("memory.update")),
            Err(error) => Ok(Err(error)),
        }
    }
}

impl memory::Host for Guest {
    async fn put(
        &mut self,
        store: Resource<GrantRow>,
        content: value::Content,
        particulars: memory::Particulars,
        vector: Option<Vec<f32>>,
    ) -> Told<u64> {
        let writing = self.writing(&store, content, particulars, vector)?;
        match self.call_memory(MemoryRequest::Put(Box::new(writing))).await? {
            Ok(MemoryReply::Put(EntryId(entry))) => Ok(Ok(entry)),
            Ok(_) => Err(mismatch("memory.put")),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn update(
        &mut self,
        store: Resource<GrantRow>,
        entry: u64,
        expected: Option<u32>,
        content: value::Content,
        particulars: memory::Particulars,
        vector: Option<Vec<f32>>,
    ) -> Told<u32> {
        let writing = self.writing(&store, content, particulars, vector)?;
        let rewriting = Rewriting { entry: EntryId(entry), expected, writing };
        self.updated(MemoryRequest::Update(Box::new(rewriting))).await
    }

    async fn get(&mut self, store: Resource<GrantRow>, entry: u64) -> Told<memory::Hit> {
        let GrantRow(grant) = self.row(&store)?;
        match self.call_memory(MemoryRequest::Get { grant, entry: EntryId(entry) }).await? {
            Ok(MemoryReply::Got(hit)) => self.hit_to_wit(&hit).map(Ok),
            Ok(_) => Err(mismatch("memory.get")),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn describe(&mut self, store: Resource<GrantRow>, entry: u64) -> Told<memory::Description> {
        let GrantRow(grant) = self.row(&store)?;
        match self.call_memory(MemoryRequest::Describe { grant, entry: EntryId(entry) }).await? {
            Ok(MemoryReply::Described(description)) => Ok(Ok(description_to_wit(*description))),
            Ok(_) => Err(mismatch("memory.describe")),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn versions(&mut self, store: Resource<GrantRow>, entry: u64) -> Told<Vec<memory::KeptVersion>> {
        let GrantRow(grant) = self.row(&store)?;
        match self.call_memory(MemoryRequest::Versions { grant, entry: EntryId(entry) }).await? {
            Ok(MemoryReply::Versions(versions)) => Ok(Ok(versions.into_iter().map(version_to_wit).collect())),
            Ok(_) => Err(mismatch("memory.versions")),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn restore(&mut self, store: Resource<GrantRow>, entry: u64, version: u32) -> Told<u32> {
        let GrantRow(grant) = self.row(&store)?;
        self.updated(MemoryRequest::Restore { grant, entry: EntryId(entry), version }).await
    }

    async fn forget(&mut self, store: Resource<GrantRow>, which: memory::Selection, purge: bool) -> Told<u64> {
        let GrantRow(grant) = self.row(&store)?;
        let (entries, filter) = match which {
            memory::Selection::Entries(entries) => {
                (Some(entries.into_iter().map(EntryId).collect()), EntryFilter::default())
            }
            memory::Selection::Matching(filter) => match filter_from_wit(filter) {
                Ok(filter) => (None, filter),
                Err(error) => return Ok(Err(error)),
            },
        };
        match self.call_memory(MemoryRequest::Forget(Box::new(Forgetting { grant, entries, filter, purge }))).await? {
            Ok(MemoryReply::Forgotten(count)) => Ok(Ok(count)),
            Ok(_) => Err(mismatch("memory.forget")),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn search(
        &mut self,
        stores: Resource<GrantRow>,
        likeness: memory::Likeness,
        filter: memory::Filter,
        within: Option<types::Label>,
        weighting: memory::Weighting,
        count: u32,
    ) -> Told<Vec<memory::Hit>> {
        let GrantRow(grant) = self.row(&stores)?;
        let likeness = self.likeness(likeness)?;
        let filter = match filter_from_wit(filter) {
            Ok(filter) => filter,
            Err(error) => return Ok(Err(error)),
        };
        let memory::Weighting { recency, half_life_seconds: half_life_s, importance, diversity } = weighting;
        let weighting = Weighting { recency, half_life_s, importance, diversity };
        let within = within.map(within_from_wit);
        let seeking = Seeking { grant, likeness, filter, within, weighting, count };
        self.found(MemoryRequest::Search(Box::new(seeking))).await
    }

    async fn entries(
        &mut self,
        stores: Resource<GrantRow>,
        filter: memory::Filter,
        within: Option<types::Label>,
        after: Option<u64>,
        count: u32,
    ) -> Told<Vec<memory::Hit>> {
        let GrantRow(grant) = self.row(&stores)?;
        let filter = match filter_from_wit(filter) {
            Ok(filter) => filter,
            Err(error) => return Ok(Err(error)),
        };
        let (within, after) = (within.map(within_from_wit), after.map(EntryId));
        self.found(MemoryRequest::List(Box::new(Listing { grant, filter, within, after, count }))).await
    }

    async fn cite(
        &mut self,
        store: Resource<GrantRow>,
        entry: u64,
        version: Option<u32>,
        quotation: value::Content,
    ) -> Told<memory::Citation> {
        let GrantRow(grant) = self.row(&store)?;
        let citing = Citing { grant, entry: EntryId(entry), version, quotation: self.content(quotation)? };
        match self.call_memory(MemoryRequest::Cite(Box::new(citing))).await? {
            Ok(MemoryReply::Cited(Cited { version, offset })) => Ok(Ok(memory::Citation { version, offset })),
            Ok(_) => Err(mismatch("memory.cite")),
            Err(error) => Ok(Err(error)),
        }
    }
}

fn within_from_wit(label: types::Label) -> (Integrity, Box<[Box<str>]>) {
    let integrity = match label.integrity {
        types::Integrity::Trusted => Integrity::Trusted,
        types::Integrity::Untrusted => Integrity::Untrusted,
    };
    (integrity, label.tags.into_iter().map(Into::into).collect())
}

fn particulars_from_wit(particulars: memory::Particulars) -> Particulars {
    let memory::Particulars { tags, fields, importance, expires_at_ns } = particulars;
    let field = |memory::Field { name, value }| Field { name: name.into(), value: scalar_from_wit(value) };
    Particulars {
        tags: tags.into_iter().map(Into::into).collect(),
        metadata: fields.into_iter().map(field).collect(),
        importance,
        expires_ns: expires_at_ns,
    }
}

fn scalar_from_wit(scalar: memory::Scalar) -> Scalar {
    match scalar {
        memory::Scalar::Text(text) => Scalar::Text(text.into()),
        memory::Scalar::Integer(integer) => Scalar::Integer(integer),
        memory::Scalar::Number(number) => Scalar::Number(number),
        memory::Scalar::Truth(truth) => Scalar::Truth(truth),
    }
}

fn filter_from_wit(filter: memory::Filter) -> std::result::Result<EntryFilter, memory::MemoryError> {
    let clause = |clause: Vec<memory::Condition>| clause.into_iter().map(condition_from_wit).collect();
    filter.into_iter().map(clause).collect::<std::result::Result<_, _>>().map(EntryFilter)
}

fn condition_from_wit(condition: memory::Condition) -> std::result::Result<Condition, memory::MemoryError> {
    Ok(match condition {
        memory::Condition::Tagged(tag) => Condition::Tagged(tag.into()),
        memory::Condition::Untagged(tag) => Condition::Untagged(tag.into()),
        memory::Condition::Field(memory::FieldCondition { name, comparison, value }) => Condition::Field {
            name: name.into(),
            comparison: comparison_from_wit(comparison),
            value: scalar_from_wit(value),
        },
        memory::Condition::WrittenFrom(moment_ns) => Condition::WrittenFrom(moment_ns),
        memory::Condition::WrittenBefore(moment_ns) => Condition::WrittenBefore(moment_ns),
        memory::Condition::ImportanceFrom(importance) => Condition::ImportanceFrom(importance),
        memory::Condition::WrittenBy(pid) => {
            let pid = pid.parse().map_err(|error| memory::MemoryError::Invalid(format!("{pid}: {error}")));
            Condition::WrittenBy(pid?)
        }
    })
}

fn comparison_from_wit(comparison: memory::Comparison) -> Comparison {
    match comparison {
        memory::Comparison::Equal => Comparison::Equal,
        memory::Comparison::Different => Comparison::Different,
        memory::Comparison::Less => Comparison::Less,
        memory::Comparison::AtMost => Comparison::AtMost,
        memory::Comparison::Greater => Comparison::Greater,
        memory::Comparison::AtLeast => Comparison::AtLeast,
    }
}

fn description_to_wit(description: Description) -> memory::Description {
    let Description { version, store, source, written_ns, particulars } = description;
    let Particulars { tags, metadata, importance, expires_ns } = particulars;
    let field = |Field { name, value }| memory::Field { name: name.into(), value: scalar_to_wit(value) };
    memory::Description {
        version,
        store: store.into(),
        source: source.map(|pid| pid.to_string()),
        written_at_ns: written_ns,
        particulars: memory::Particulars {
            tags: tags.into_iter().map(String::from).collect(),
            fields: metadata.into_iter().map(field).collect(),
            importance,
            expires_at_ns: expires_ns,
        },
    }
}

fn scalar_to_wit(scalar: Scalar) -> memory::Scalar {
    match scalar {
        Scalar::Text(text) => memory::Scalar::Text(text.into()),
        Scalar::Integer(integer) => memory::Scalar::Integer(integer),
        Scalar::Number(number) => memory::Scalar::Number(number),
        Scalar::Truth(truth) => memory::Scalar::Truth(truth),
    }
}

fn version_to_wit(kept: KeptVersion) -> memory::KeptVersion {
    let KeptVersion { version, written_ns, source } = kept;
    memory::KeptVersion { version, written_at_ns: written_ns, source: source.map(|pid| pid.to_string()) }
}

fn error_to_wit(error: MemoryError) -> Result<memory::MemoryError> {
    Ok(match error {
        MemoryError::Denied(denial) => memory::MemoryError::Denied(denial_to_wit(denial)),
        MemoryError::NoSuchEntry(_) => memory::MemoryError::NoSuchEntry,
        MemoryError::NoSuchVersion { version } => memory::MemoryError::NoSuchVersion(version),
        MemoryError::Conflict { newest } => memory::MemoryError::Conflict(newest),
        MemoryError::TooLarge { limit } => memory::MemoryError::TooLarge(limit),
        MemoryError::Invalid(why) => memory::MemoryError::Invalid(why.into()),
        MemoryError::Shortfall(shortfall) => memory::MemoryError::Shortfall(shortfall_to_wit(shortfall)),
        MemoryError::NoRoom => memory::MemoryError::NoRoom,
        MemoryError::Unavailable(why) => memory::MemoryError::Unavailable(why.into()),
        MemoryError::Dead => return Err(gone("a grant or a value")),
    })
}
