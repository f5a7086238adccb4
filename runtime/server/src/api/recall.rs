//! `/v1/recall`: what processes were told, found by its words. Each look is in the audit of the tenant, with who it was.

use super::{Host, extract::Body, recordings::blocking};
use crate::{
    protocol::{ErrorCode, RecallRequest, RecalledTexts, Refusal},
    socket::Caller,
    view,
};
use axum::{Extension, Json, extract::State};
use remit_abi::{TenantId, limits::NAME_BYTES_MAX};
use remit_assembly::Recalling;

/// How many texts are found where nobody says.
const FOUND: u32 = 10;

pub(super) async fn recall(
    State(host): Host,
    Extension(caller): Extension<Caller>,
    Body(request): Body<RecallRequest>,
) -> Result<Json<RecalledTexts>, Refusal> {
    let RecallRequest { tenant, text, since_ns, pid, count, by } = request;
    if by.as_ref().is_some_and(|by| by.len() > NAME_BYTES_MAX || by.chars().any(char::is_control)) {
        let why = format_args!("a name has {NAME_BYTES_MAX} bytes at most, in one line: give another one");
        return Err(Refusal::new(ErrorCode::Invalid, why));
    }
    let by = caller.signature(by.as_deref());
    let tenant = TenantId(tenant);
    let shared = host.clone();
    let found = blocking(move || {
        let count = count.unwrap_or(FOUND) as usize;
        let wanted = Recalling { tenant, text: &text, since_ns, pid, count, by: &by };
        Ok(shared.node.recall(&wanted)?)
    });
    let texts = found.await?.into_iter().map(|found| view::recalled(host.node.kernel(), tenant, found)).collect();
    Ok(Json(RecalledTexts { texts }))
}
