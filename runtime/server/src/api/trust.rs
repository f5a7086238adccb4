//! `/v1/trust/reload`.

use super::Host;
use crate::protocol::{CalledBack, CalledBackPackage, ErrorCode, Refusal};
use axum::{Json, extract::State};
use tokio::task;

/// Reads anew whom this host trusts, and parks what may run no longer.
pub(super) async fn reload(State(host): Host) -> Result<Json<CalledBack>, Refusal> {
    match task::spawn_blocking(move || host.node.reload_trust()).await {
        Ok(Ok(recalled)) => {
            let told = |recalled: remit_assembly::CalledBack| CalledBackPackage {
                package: (*recalled.package).into(),
                digest: (*recalled.digest).into(),
                why: recalled.why,
                processes: recalled.processes,
            };
            Ok(Json(CalledBack { packages: recalled.into_iter().map(told).collect() }))
        }
        Ok(Err(error)) => Err(Refusal::new(ErrorCode::Invalid, error)),
        Err(error) => Err(Refusal::new(ErrorCode::MachineFailed, format_args!("the policy was not read: {error}"))),
    }
}
