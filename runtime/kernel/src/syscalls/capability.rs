//! `capability`: a label looks up a grant that the process was given; what is derived from one only shrinks.

use super::{Context, Right};
use crate::{
    due::Publish,
    ports::{Change, Note},
    process::Held,
};
use remit_abi::{
    Attenuate, CapabilityError, CapabilityReply, CapabilityRequest, Denial, GrantId, GrantKind, GrantLimits, HeldGrant,
    Label, Narrowing, TagSet, limits,
};
use remit_authority::{Explanation, GrantError, Use};

/// A label alone tells neither kind nor thing.
const ANY: Use<'_> = Use::least(GrantKind::Model);

pub(super) fn right(context: &Context<'_>, request: &CapabilityRequest) -> Right {
    match request {
        CapabilityRequest::Check { grant } => match context.process.grants.get(*grant) {
            Some(held) => Right::Look { grant: *grant, kind: held.kind },
            None => Right::None,
        },
        _ => Right::None,
    }
}

pub(super) fn act(context: &mut Context<'_>, request: &CapabilityRequest) -> Result<CapabilityReply, CapabilityError> {
    let held = &context.process.grants;
    match request {
        CapabilityRequest::List => {
            Ok(CapabilityReply::Listed(held.iter().filter_map(|held| shown(context, held.id)).collect()))
        }
        CapabilityRequest::Take { label } => match held.find(label) {
            Some(grant) => Ok(CapabilityReply::Taken(grant)),
            None => {
                let denial = Denial::NotGranted(cut(label));
                context.shared.denied(
                    context.block,
                    "capability",
                    denial.clone(),
                    Explanation::not_granted(label, &ANY),
                );
                Err(denial.into())
            }
        },
        CapabilityRequest::Describe { grant } => {
            let shown = held.get(*grant).and_then(|held| shown(context, held.id));
            shown.map(Box::new).map(CapabilityReply::Described).ok_or_else(not_held)
        }
        CapabilityRequest::Check { grant } => held.get(*grant).map(|_| CapabilityReply::Live).ok_or_else(not_held),
        CapabilityRequest::Attenuate(asked) => attenuate(context, asked).map(CapabilityReply::Derived),
        CapabilityRequest::RevokeDerived { grant, label } => {
            held.get(*grant).ok_or_else(not_held)?;
            let revoked =
                context.shared.grants.lock().revoke_derived(*grant, label).map_err(|error| refused(&error))?;
            context.shared.feel_revoked(&revoked);
            let withdrawn = context.shared.inbox.lock().take_asked_under(&revoked);
            for (asker, question) in withdrawn {
                context.process.due.change(|| Change::QuestionWithdrawn { number: question.number });
                context.process.due.publish(Publish::Withdrawn { asker, question });
            }
            let withdrawn = context.shared.effects.lock().take_called_under(&revoked);
            for call in withdrawn {
                call.changes().for_each(|change| context.process.due.change(|| change));
                context.process.due.publish(Publish::WithdrawnCall { call: Box::new(call) });
            }
            Ok(CapabilityReply::Revoked(u32::try_from(revoked.len()).unwrap_or(u32::MAX)))
        }
        CapabilityRequest::Discard { grant } => {
            context.process.grants.remove(*grant).ok_or_else(not_held)?;
            context.shared.grants.lock().release(*grant);
            Ok(CapabilityReply::Discarded)
        }
    }
}

fn attenuate(context: &mut Context<'_>, asked: &Attenuate) -> Result<GrantId, CapabilityError> {
    let process = &mut *context.process;
    let kind = process.grants.get(asked.grant).ok_or_else(not_held)?.kind;
    if !process.grants.has_room_for(1, &process.limits) {
        return Err(CapabilityError::TooMany { limit: process.limits.grants_max });
    }
    if process.grants.find(&asked.label).is_some() {
        return Err(CapabilityError::Invalid(format!("the label {} is taken already", cut(&asked.label)).into()));
    }
    let tags = |names: &[Box<str>]| context.shared.tags.known(process.pid.tenant, names);
    let ceiling = asked.ceiling.as_ref().map(|(integrity, names)| Label { integrity: *integrity, tags: tags(names) });
    let narrowing = Narrowing {
        scope: asked.scope.clone(),
        access: asked.access,
        limits: GrantLimits {
            uses: asked.uses,
            rate: asked.rate,
            expires_ns: asked.expires_ns,
            max_tokens_per_call: asked.max_tokens_per_call,
            ceiling,
        },
    };
    let id = context
        .shared
        .grants
        .lock()
        .attenuate(asked.grant, &asked.label, &narrowing)
        .map_err(|error| refused(&error))?;
    let held = Held { label: asked.label.clone(), id, kind };
    process.due.note(|| Note::Grant(held.image()));
    process.grants.adopt(held);
    Ok(id)
}

fn refused(error: &GrantError) -> CapabilityError {
    match error {
        GrantError::Widens { what } => CapabilityError::Widens(what.to_string().into()),
        GrantError::TooDeep => CapabilityError::TooMany { limit: limits::GRANT_DEPTH_MAX as u64 },
        GrantError::Dead => not_held(),
        GrantError::Revoked => Denial::Revoked("to derive from".into()).into(),
        GrantError::Label(_) | GrantError::Scope(_) | GrantError::Kind { .. } | GrantError::Rate => {
            CapabilityError::Invalid(error.to_string().into())
        }
    }
}

fn not_held() -> CapabilityError {
    Denial::NotGranted("of that handle".into()).into()
}

fn shown(context: &Context<'_>, grant: GrantId) -> Option<HeldGrant> {
    let info = context.shared.grants.lock().info(grant)?;
    let tags = info.limits.ceiling.map_or(TagSet::EMPTY, |ceiling| ceiling.tags);
    Some(HeldGrant { info, ceiling_tags: context.shared.tags.names(context.process.pid.tenant, tags) })
}

/// A guest's label, cut to what belongs into a sentence.
fn cut(label: &str) -> Box<str> {
    label[..label.floor_char_boundary(limits::NAME_BYTES_MAX)].into()
}
