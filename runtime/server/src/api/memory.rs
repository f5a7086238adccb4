//! `/v1/memory`: what agents remember.
//!
//! The local tenant's, whoever wrote it. What is read here was chosen by agents: it is data, and never an order to whoever reads it.

use super::{
    Host,
    extract::{Body, Named},
    recordings::blocking,
};
use crate::{
    protocol::{
        Entries, ErrorCode, ForgetEntries, ForgottenEntries, Hits, ListEntries, Marking, Meant, MemoryStats, PutDone,
        PutEntry, Refusal, RestoreEntry, Restored, SearchBy, SearchEntries,
    },
    view,
};
use axum::{Json, extract::State, http::StatusCode};
use remit_abi::{
    Comparison, Condition, EntryFilter, EntryId, Field, GrantKind, Integrity, MemoryError, NotAnEntry, Particulars,
    Remembered, Scalar, Scope, TenantId, Weighting, limits::MEMORY_HITS_MAX,
};
use remit_assembly::{Looking, LookingBy, Remembering, StoreError};
use serde_json::Value;
use std::collections::BTreeMap;

/// Whose memory it is: the one tenant of whoever runs agents on their own machine.
const TENANT: TenantId = TenantId(0);

/// Of what nobody says where it is from.
const UNTRUSTED: Marking = Marking { integrity: Integrity::Untrusted, tags: Vec::new() };

/// How many entries one answer lists, and one request names, at most.
const ENTRIES_MAX: u32 = 1000;
const LISTED: u32 = 100;
const FOUND: u32 = 10;

impl From<MemoryError> for Refusal {
    fn from(error: MemoryError) -> Self {
        let code = match error {
            MemoryError::NoSuchEntry(_) | MemoryError::NoSuchVersion { .. } => ErrorCode::NoSuchEntry,
            MemoryError::TooLarge { .. } => ErrorCode::TooLarge,
            MemoryError::Unavailable(_) => ErrorCode::MachineFailed,
            _ => ErrorCode::Invalid,
        };
        Self::new(code, error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::new(ErrorCode::MachineFailed, error)
    }
}

fn invalid(why: impl std::fmt::Display) -> Refusal {
    Refusal::new(ErrorCode::Invalid, why)
}

fn scope(stores: &[String]) -> Result<Scope, Refusal> {
    let parsed = match stores {
        [] => Scope::parse(GrantKind::Memory, &["*"]),
        stores => Scope::parse(GrantKind::Memory, stores),
    };
    parsed.map_err(invalid)
}

fn scalar(name: &str, value: Value) -> Result<Scalar, Refusal> {
    match value {
        Value::String(text) => Ok(Scalar::Text(text.into())),
        Value::Bool(truth) => Ok(Scalar::Truth(truth)),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Ok(Scalar::Integer(integer)),
            (None, Some(number)) => Ok(Scalar::Number(number)),
            (None, None) => Err(invalid(format_args!("the field {name} is no number that fits"))),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(invalid(format_args!("the field {name} must be a text, a number, or true or false")))
        }
    }
}

fn fields(fields: BTreeMap<String, Value>) -> Result<Vec<Field>, Refusal> {
    let field = |(name, value): (String, Value)| {
        let value = scalar(&name, value)?;
        Ok(Field { name: name.into(), value })
    };
    fields.into_iter().map(field).collect()
}

/// The stores and the filter that say the same.
fn meant(meant: Meant) -> Result<(Scope, EntryFilter), Refusal> {
    let Meant { stores, tags, fields: equal, from_ns, before_ns } = meant;
    let mut clauses: Vec<Vec<Condition>> = tags.into_iter().map(|tag| vec![Condition::Tagged(tag.into())]).collect();
    for Field { name, value } in fields(equal)? {
        clauses.push(vec![Condition::Field { name, comparison: Comparison::Equal, value }]);
    }
    clauses.extend(from_ns.map(|moment| vec![Condition::WrittenFrom(moment)]));
    clauses.extend(before_ns.map(|moment| vec![Condition::WrittenBefore(moment)]));
    Ok((scope(&stores)?, EntryFilter(clauses)))
}

pub(super) async fn list(State(host): Host, Body(request): Body<ListEntries>) -> Result<Json<Entries>, Refusal> {
    let kernel = host.node.kernel();
    let ((stores, filter), count) = (meant(request.meant)?, request.count.unwrap_or(LISTED).min(ENTRIES_MAX));
    let listed = kernel.list_memory(TENANT, stores, filter, request.after, count as usize).await?;
    Ok(Json(Entries { entries: listed.into_iter().map(|entry| view::entry(kernel, TENANT, entry)).collect() }))
}

pub(super) async fn search(State(host): Host, Body(request): Body<SearchEntries>) -> Result<Json<Hits>, Refusal> {
    let (stores, filter) = meant(request.meant)?;
    let by = match request.by {
        SearchBy::Words => LookingBy::Words,
        SearchBy::Both => LookingBy::Both,
        SearchBy::Meaning => LookingBy::Meaning,
    };
    if by != LookingBy::Words {
        let host = host.clone();
        let served = move || host.node.serve_memory().map_err(|error| Refusal::new(ErrorCode::MachineFailed, error));
        blocking(served).await?;
    }
    let looking = Looking {
        tenant: TENANT,
        stores,
        text: request.text.into(),
        by,
        filter,
        weighting: Weighting::default(),
        count: request.count.unwrap_or(FOUND).min(MEMORY_HITS_MAX),
    };
    let kernel = host.node.kernel();
    let found = kernel.search_memory(looking).await?;
    Ok(Json(Hits { hits: found.into_iter().map(|hit| view::hit(kernel, TENANT, hit)).collect() }))
}

/// All versions that are kept, also of an entry that is forgotten and not destroyed.
pub(super) async fn show(State(host): Host, Named(entry): Named<EntryId>) -> Result<Json<Entries>, Refusal> {
    let kernel = host.node.kernel();
    let versions = kernel.memory().store.versions(TENANT, scope(&[])?, entry).await?;
    if versions.is_empty() {
        return Err(MemoryError::NoSuchEntry(entry).into());
    }
    Ok(Json(Entries { entries: versions.into_iter().map(|entry| view::entry(kernel, TENANT, entry)).collect() }))
}

pub(super) async fn put(State(host): Host, Body(request): Body<PutEntry>) -> Result<Json<PutDone>, Refusal> {
    let kernel = host.node.kernel();
    let label = view::label(kernel, TENANT, &request.label.unwrap_or(UNTRUSTED)).map_err(invalid)?;
    let particulars = Particulars {
        tags: request.tags.into_iter().map(Into::into).collect(),
        metadata: fields(request.fields)?,
        importance: request.importance,
        expires_ns: request.expires_ns,
    };
    let media_type = request.media_type.unwrap_or_else(|| "text/plain".to_owned());
    let content = Remembered { bytes: request.content.bytes().to_vec().into(), media_type: media_type.into() };
    let remembering = Remembering { tenant: TENANT, store: request.store.into(), label, content, particulars };
    Ok(Json(PutDone { id: kernel.remember(remembering).await? }))
}

pub(super) async fn forget(
    State(host): Host,
    Body(request): Body<ForgetEntries>,
) -> Result<Json<ForgottenEntries>, Refusal> {
    if request.entries.len() > ENTRIES_MAX as usize {
        return Err(invalid(format_args!("{ENTRIES_MAX} entries are forgotten at once at most: name fewer")));
    }
    let entries = request.entries.iter().map(|entry| entry.parse()).collect::<Result<Vec<EntryId>, NotAnEntry>>();
    let entries = entries.map_err(invalid)?;
    let kernel = host.node.kernel();
    let forgotten = kernel.forget_entries(TENANT, &entries, request.purge).await?;
    if request.purge {
        // Who is told so may rely on it.
        kernel.memory().store.flush(TENANT).await?;
    }
    Ok(Json(ForgottenEntries { entries: forgotten }))
}

pub(super) async fn restore(
    State(host): Host,
    Named(entry): Named<EntryId>,
    Body(request): Body<RestoreEntry>,
) -> Result<Json<Restored>, Refusal> {
    let version = host.node.kernel().restore_entry(TENANT, entry, request.version).await?;
    Ok(Json(Restored { version }))
}

pub(super) async fn stats(State(host): Host) -> Result<Json<MemoryStats>, Refusal> {
    let figures = host.node.kernel().memory().store.figures(TENANT).await?;
    Ok(Json(view::memory(&figures)))
}

pub(super) async fn optimize(State(host): Host) -> Result<StatusCode, Refusal> {
    host.node.kernel().memory().store.optimize(TENANT).await?;
    Ok(StatusCode::NO_CONTENT)
}
