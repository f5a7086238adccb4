//! `remit:kernel/capability`: the grants of a process.
//!
//! A handle on a grant owns nothing: the grant stays in the process's table, under its label, until it is discarded or
//! passed on. So a process can hold two handles on one grant, and of one that it gave away the other handle opens nothing.

use crate::{
    bindings::remit::kernel::{capability, types},
    guest::{Guest, mismatch},
    row::GrantRow,
    value::label_to_wit,
};
use remit_abi::{
    Access, Attenuate, CapabilityError, CapabilityReply, CapabilityRequest, Denial, GrantId, HeldGrant, Integrity,
    NamedGrant, Rate, Reply, Request,
};
use wasmtime::{Result, component::Resource};

/// What the guest is told where it asked for a grant.
pub(crate) type Derived = Result<std::result::Result<Resource<GrantRow>, capability::AttenuationError>>;

impl Guest {
    fn call_capability(
        &self,
        request: CapabilityRequest,
    ) -> Result<std::result::Result<CapabilityReply, CapabilityError>> {
        match self.call(&Request::Capability(request))? {
            Reply::Capability(reply) => Ok(reply),
            _ => Err(mismatch("capability")),
        }
    }

    /// Takes the handles of grants that the guest passes on.
    pub(crate) fn passed_on(&mut self, grants: Vec<capability::NamedGrant>) -> Result<Vec<NamedGrant>> {
        let named = |named: capability::NamedGrant| {
            let GrantRow(grant) = self.remove(named.grant)?;
            Ok(NamedGrant { label: named.label.into(), grant })
        };
        grants.into_iter().map(named).collect()
    }

    /// Makes handles on grants that were passed to the guest.
    pub(crate) fn received(&mut self, grants: Vec<NamedGrant>) -> Result<Vec<capability::NamedGrant>> {
        let named = |named: NamedGrant| {
            let grant = self.push(GrantRow(named.grant))?;
            Ok(capability::NamedGrant { label: named.label.into(), grant })
        };
        grants.into_iter().map(named).collect()
    }

    /// The answer to whatever makes a grant.
    pub(crate) fn derived(&mut self, answer: std::result::Result<GrantId, CapabilityError>) -> Derived {
        match answer {
            Ok(grant) => self.push(GrantRow(grant)).map(Ok),
            Err(error) => Ok(Err(error_to_wit(error))),
        }
    }
}

impl capability::Host for Guest {
    fn list(&mut self) -> Result<Vec<capability::GrantInfo>> {
        match self.call_capability(CapabilityRequest::List)? {
            Ok(CapabilityReply::Listed(grants)) => Ok(grants.into_iter().map(info_to_wit).collect()),
            _ => Err(mismatch("capability.list")),
        }
    }

    fn take(&mut self, label: String) -> Result<std::result::Result<Resource<GrantRow>, types::Denial>> {
        match self.call_capability(CapabilityRequest::Take { label: label.into() })? {
            Ok(CapabilityReply::Taken(grant)) => self.push(GrantRow(grant)).map(Ok),
            Err(CapabilityError::Denied(denial)) => Ok(Err(denial_to_wit(denial))),
            _ => Err(mismatch("capability.take")),
        }
    }
}

impl capability::HostGrant for Guest {
    fn get_info(
        &mut self,
        handle: Resource<GrantRow>,
    ) -> Result<std::result::Result<capability::GrantInfo, types::Denial>> {
        let GrantRow(grant) = self.row(&handle)?;
        match self.call_capability(CapabilityRequest::Describe { grant })? {
            Ok(CapabilityReply::Described(held)) => Ok(Ok(info_to_wit(*held))),
            Err(CapabilityError::Denied(denial)) => Ok(Err(denial_to_wit(denial))),
            _ => Err(mismatch("grant.get-info")),
        }
    }

    fn check(&mut self, handle: Resource<GrantRow>) -> Result<std::result::Result<(), types::Denial>> {
        let GrantRow(grant) = self.row(&handle)?;
        match self.call_capability(CapabilityRequest::Check { grant })? {
            Ok(CapabilityReply::Live) => Ok(Ok(())),
            Err(CapabilityError::Denied(denial)) => Ok(Err(denial_to_wit(denial))),
            _ => Err(mismatch("grant.check")),
        }
    }

    fn attenuate(&mut self, handle: Resource<GrantRow>, label: String, narrowing: capability::Narrowing) -> Derived {
        let GrantRow(grant) = self.row(&handle)?;
        let request = CapabilityRequest::Attenuate(Box::new(attenuate(grant, label, narrowing)));
        let answer = match self.call_capability(request)? {
            Ok(CapabilityReply::Derived(grant)) => Ok(grant),
            Ok(_) => return Err(mismatch("grant.attenuate")),
            Err(error) => Err(error),
        };
        self.derived(answer)
    }

    /// Of a grant that opens nothing any more nothing derives: what it had is gone with it.
    fn revoke_derived(&mut self, handle: Resource<GrantRow>, label: String) -> Result<u32> {
        let GrantRow(grant) = self.row(&handle)?;
        match self.call_capability(CapabilityRequest::RevokeDerived { grant, label: label.into() })? {
            Ok(CapabilityReply::Revoked(count)) => Ok(count),
            Err(CapabilityError::Denied(_) | CapabilityError::Invalid(_)) => Ok(0),
            _ => Err(mismatch("grant.revoke-derived")),
        }
    }

    /// What is gone already is given up.
    fn discard(&mut self, handle: Resource<GrantRow>) -> Result<()> {
        let GrantRow(grant) = self.remove(handle)?;
        match self.call_capability(CapabilityRequest::Discard { grant })? {
            Ok(CapabilityReply::Discarded) | Err(CapabilityError::Denied(_)) => Ok(()),
            _ => Err(mismatch("grant.discard")),
        }
    }

    fn drop(&mut self, handle: Resource<GrantRow>) -> Result<()> {
        self.remove(handle).map(drop)
    }
}

fn attenuate(grant: GrantId, label: String, narrowing: capability::Narrowing) -> Attenuate {
    let capability::Narrowing { scope, access, limits } = narrowing;
    let names = |names: Vec<String>| names.into_iter().map(Into::into).collect();
    Attenuate {
        grant,
        label: label.into(),
        scope: scope.map(names),
        access: access.map(|access| match access {
            capability::Access::ReadOnly => Access::ReadOnly,
            capability::Access::ReadWrite => Access::ReadWrite,
        }),
        uses: limits.uses,
        rate: limits.rate.map(|rate| Rate { uses: rate.uses, per_ms: rate.per_ms }),
        expires_ns: limits.expires_at,
        max_tokens_per_call: limits.max_tokens_per_call,
        ceiling: limits.ceiling.map(|label| {
            let integrity = match label.integrity {
                types::Integrity::Trusted => Integrity::Trusted,
                types::Integrity::Untrusted => Integrity::Untrusted,
            };
            (integrity, names(label.tags))
        }),
    }
}

fn info_to_wit(held: HeldGrant) -> capability::GrantInfo {
    let HeldGrant { info, ceiling_tags } = held;
    capability::GrantInfo {
        label: info.label.into(),
        kind: info.kind.name().into(),
        scope: info.scope.into_iter().map(Into::into).collect(),
        access: match info.access {
            Access::ReadOnly => capability::Access::ReadOnly,
            Access::ReadWrite => capability::Access::ReadWrite,
        },
        limits: capability::Limits {
            uses: info.limits.uses,
            rate: info.limits.rate.map(|rate| capability::Rate { uses: rate.uses, per_ms: rate.per_ms }),
            expires_at: info.limits.expires_ns,
            max_tokens_per_call: info.limits.max_tokens_per_call,
            ceiling: info.limits.ceiling.map(|label| label_to_wit(label, ceiling_tags)),
        },
    }
}

pub(crate) fn denial_to_wit(denial: Denial) -> types::Denial {
    match denial {
        Denial::NotGranted(grant) => types::Denial::NotGranted(grant.into()),
        Denial::Revoked(grant) => types::Denial::Revoked(grant.into()),
        Denial::Expired(grant) => types::Denial::Expired(grant.into()),
        Denial::Exhausted(grant) => types::Denial::Exhausted(grant.into()),
        Denial::TooFast { grant, retry_after_ms } => {
            types::Denial::TooFast(types::Pace { grant: grant.into(), retry_after_ms })
        }
        Denial::Exceeded(grant) => types::Denial::Exceeded(grant.into()),
        Denial::OutOfScope { grant } => types::Denial::OutOfScope(grant.into()),
        Denial::Tainted { grant } => types::Denial::Tainted(grant.into()),
    }
}

fn error_to_wit(error: CapabilityError) -> capability::AttenuationError {
    match error {
        CapabilityError::Denied(denial) => capability::AttenuationError::Denied(denial_to_wit(denial)),
        CapabilityError::Widens(what) => capability::AttenuationError::Widens(what.into()),
        CapabilityError::Invalid(reason) => capability::AttenuationError::Invalid(reason.into()),
        CapabilityError::TooMany { limit } => capability::AttenuationError::TooMany(limit),
    }
}
