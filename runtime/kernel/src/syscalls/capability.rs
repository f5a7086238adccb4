//! `capability`: a label looks up a grant that the process was given.

use super::Context;
use remit_abi::{CapabilityError, CapabilityReply, CapabilityRequest, Denial, GrantId, limits};

pub(super) fn act(context: &mut Context<'_>, request: &CapabilityRequest) -> Result<CapabilityReply, CapabilityError> {
    let held = &context.process.grants;
    let info = |id: GrantId| {
        let info = context.shared.grants.lock().info(id)?;
        Some(remit_abi::HeldGrant { info, ceiling_tags: Vec::new() })
    };
    match request {
        CapabilityRequest::List => Ok(CapabilityReply::Listed(held.iter().filter_map(|(_, id)| info(*id)).collect())),
        CapabilityRequest::Take { label } => held
            .iter()
            .find(|(known, _)| **known == **label)
            .map(|(_, id)| CapabilityReply::Taken(*id))
            .ok_or_else(|| Denial::NotGranted(shown(label)).into()),
        CapabilityRequest::Describe { grant } => held
            .iter()
            .find(|(_, id)| id == grant)
            .and_then(|(_, id)| info(*id))
            .map(CapabilityReply::Described)
            .ok_or_else(|| Denial::NotGranted("of that id".into()).into()),
        _ => Err(Denial::NotGranted("anything".into()).into()),
    }
}

/// A guest's label, cut to what belongs into a sentence.
fn shown(label: &str) -> Box<str> {
    label[..label.floor_char_boundary(limits::NAME_BYTES_MAX)].into()
}
