//! A context as bytes, to be had again in a later run.
//!
//! The bytes are the agent's from then on, and an allegation when they come back: whoever could change them had read them, so that their label
//! goes into all that they say.

use super::{Body, Names, OpenContext};
use crate::process::OpenModel;
use remit_abi::{ContextError, ContextId, ContextOptions, Label};
use remit_context::{Context, SegmentId, Snapshot};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};

/// Of a value that holds a snapshot.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.remit.context";

/// The form that is written.
const FORM: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Kept {
    form: u32,
    names: Names,
    first_out: Vec<SegmentId>,
    filed: BTreeSet<u64>,
    unfiled: BTreeSet<u64>,
    context: Snapshot<Body>,
}

fn invalid(why: impl Into<Box<str>>) -> ContextError {
    ContextError::Invalid(why.into())
}

impl OpenContext {
    /// All of it.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, ContextError> {
        let kept = Kept {
            form: FORM,
            names: self.names.clone(),
            first_out: self.first_out.clone(),
            filed: (*self.filed).clone(),
            unfiled: self.unfiled.clone(),
            context: self.context.snapshot(),
        };
        postcard::to_allocvec(&kept).map_err(|error| invalid(format!("it cannot be written: {error}")))
    }

    /// The context that bytes of this label say, on another model and under a new name.
    pub(crate) fn of_bytes(
        bytes: &[u8],
        label: Label,
        (model, options): (OpenModel, ContextOptions),
        (base, id): (&str, ContextId),
    ) -> Result<Self, ContextError> {
        let damaged = "the value is no snapshot of a context, or is damaged";
        let kept: Kept = postcard::from_bytes(bytes).map_err(|_| invalid(damaged))?;
        let Kept { form: FORM, names, first_out, filed, unfiled, context: mut snapshot } = kept else {
            return Err(invalid("another version of Remit wrote the snapshot"));
        };
        if !names.are_possible() {
            return Err(invalid(damaged));
        }
        snapshot.taint(label);
        let context = Context::restore(snapshot).map_err(|error| invalid(error.to_string()))?;
        let count = context.len() as u64;
        let known = |ids: BTreeSet<u64>| ids.into_iter().filter(|id| *id < count).collect::<BTreeSet<_>>();
        let mut restored = Self {
            model,
            options,
            names: names.branch(Some(base), id, count),
            first_out,
            calls: Arc::default(),
            filed: Arc::new(known(filed)),
            unfiled: known(unfiled),
            bytes: 0,
            context,
        };
        for id in (0..count).map(SegmentId) {
            let Some(body) = restored.context.segment(id).map(|segment| segment.body.clone()) else { continue };
            restored.bytes = restored.bytes.saturating_add(super::cost_of(&body));
            restored.note_calls(id, &body.kind);
        }
        let blocks = restored.context.blocks().iter().map(|block| block.text.len() as u64).sum::<u64>();
        restored.bytes = restored.bytes.saturating_add(blocks);
        Ok(restored)
    }
}
