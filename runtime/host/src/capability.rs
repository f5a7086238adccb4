//! `remit:kernel/capability`: the grants of a process.

use crate::{
    bindings::remit::kernel::{capability, types},
    guest::{Guest, mismatch},
    row::GrantRow,
};
use remit_abi::{CapabilityError, CapabilityReply, CapabilityRequest, Denial, GrantInfo, Reply, Request};
use wasmtime::{Result, component::Resource};

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
            Ok(_) => Err(mismatch("capability.take")),
            Err(CapabilityError::Denied(denial)) => Ok(Err(denial_to_wit(denial))),
        }
    }
}

impl capability::HostGrant for Guest {
    fn get_info(&mut self, handle: Resource<GrantRow>) -> Result<capability::GrantInfo> {
        let GrantRow(grant) = self.row(&handle)?;
        match self.call_capability(CapabilityRequest::Describe { grant })? {
            Ok(CapabilityReply::Described(info)) => Ok(info_to_wit(info)),
            _ => Err(mismatch("grant.get-info")),
        }
    }

    /// A handle on a grant owns nothing: the grant stays in the process's table.
    fn drop(&mut self, handle: Resource<GrantRow>) -> Result<()> {
        self.remove(handle).map(drop)
    }
}

fn info_to_wit(info: GrantInfo) -> capability::GrantInfo {
    capability::GrantInfo {
        label: info.label.into(),
        kind: info.kind.into(),
        scope: info.scope.into(),
        max_tokens_per_call: info.max_tokens_per_call,
    }
}

pub(crate) fn denial_to_wit(denial: Denial) -> types::Denial {
    match denial {
        Denial::NotGranted(grant) => types::Denial::NotGranted(grant.into()),
        Denial::Revoked(grant) => types::Denial::Revoked(grant.into()),
        Denial::Exceeded(grant) => types::Denial::Exceeded(grant.into()),
    }
}
