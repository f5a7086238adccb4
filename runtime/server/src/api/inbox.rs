//! `/v1/inbox`, `/v1/notices`, `/v1/approvals`: people, and what they say.

use super::{
    Host,
    extract::{Body, Named},
};
use crate::{
    protocol::{AnswerRequest, Approval, Approvals, ErrorCode, Inbox, Notices, Refusal, WithdrawRequest},
    socket::Caller,
    view,
};
use axum::{Extension, Json, extract::State, http::StatusCode};
use remit_assembly::InboxError;

impl From<InboxError> for Refusal {
    fn from(error: InboxError) -> Self {
        let (code, hint) = match error {
            InboxError::NoQuestion(_) => (ErrorCode::NoSuchQuestion, "; `remit inbox` shows those that wait"),
            InboxError::NoApproval(_) => {
                (ErrorCode::NoSuchApproval, "; `remit inbox approvals` shows those that stand")
            }
            InboxError::TooLarge => (ErrorCode::TooLarge, ""),
            InboxError::Nameless | InboxError::Unfit { .. } | InboxError::TooMany(_) => (ErrorCode::Invalid, ""),
            InboxError::Journal(_) => (ErrorCode::MachineFailed, ""),
        };
        Self::new(code, format_args!("{error}{hint}"))
    }
}

pub(super) async fn questions(State(host): Host) -> Json<Inbox> {
    let kernel = host.node.kernel();
    let questions = kernel.inbox(None).iter().map(|question| view::question(kernel, question)).collect();
    Json(Inbox { questions })
}

pub(super) async fn answer(
    State(host): Host,
    Extension(caller): Extension<Caller>,
    Named(number): Named<u64>,
    Body(request): Body<AnswerRequest>,
) -> Result<StatusCode, Refusal> {
    let by = caller.signature(request.by.as_deref());
    host.node.kernel().answer(number, &by, request.response.into())?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn notices(State(host): Host) -> Json<Notices> {
    let kernel = host.node.kernel();
    Json(Notices { notices: kernel.notices(None).iter().map(|notice| view::notice(kernel, notice)).collect() })
}

pub(super) async fn approvals(State(host): Host) -> Json<Approvals> {
    let kernel = host.node.kernel();
    let approvals = kernel.approvals(None).iter().map(|approval| view::approval(kernel, approval)).collect();
    Json(Approvals { approvals })
}

pub(super) async fn withdraw(
    State(host): Host,
    Extension(caller): Extension<Caller>,
    Named(number): Named<u64>,
    Body(request): Body<WithdrawRequest>,
) -> Result<Json<Approval>, Refusal> {
    let kernel = host.node.kernel();
    let withdrawn = kernel.withdraw_approval(number, &caller.signature(request.by.as_deref()))?;
    Ok(Json(view::approval(kernel, &withdrawn)))
}
