//! What an operator does about the past: exports the audit of a tenant, forgets what is old, erases a tenant.

use crate::node::Node;
use remit_abi::TenantId;
use remit_journal::{
    ExportError, ForgetError, RecallError, SqliteJournal,
    audit::{Detail, Exported},
};
use remit_kernel::{Selection, ports::StoreError};
use std::io::Write;
use thiserror::Error;

/// Something about the past that is not done.
#[derive(Debug, Error)]
pub enum PastError {
    /// Nothing is kept.
    #[error("this host keeps no journal, so that there is nothing to export or to forget")]
    NotKept,
    /// A tenant that is to be erased is at work.
    #[error("tenant {tenant} has {living} processes that have not ended: kill them first, `remit ps` shows them")]
    Living {
        /// Which.
        tenant: TenantId,
        /// How many.
        living: u64,
    },
    /// The audit is not exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The memory is not erased.
    #[error(transparent)]
    Memory(#[from] StoreError),
    /// What was told cannot be looked through.
    #[error(
        "what tenant {0} was told cannot be looked through: a table [tenant.{0}] in the data folder's recall.toml switches that on when the host starts"
    )]
    RecallOff(TenantId),
    /// It is not looked through, or not shown.
    #[error(transparent)]
    Recall(RecallError),
    /// The journal does not forget.
    #[error(transparent)]
    Forget(ForgetError),
}

impl PastError {
    /// Whether what was asked for cannot be, rather than that the machine failed.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        match self {
            Self::NotKept | Self::Living { .. } | Self::Export(ExportError::Empty(_)) | Self::RecallOff(_) => true,
            Self::Recall(error) => matches!(error, RecallError::Wordless | RecallError::TooLong),
            Self::Export(_) | Self::Memory(_) | Self::Forget(_) => false,
        }
    }
}

impl From<ForgetError> for PastError {
    fn from(error: ForgetError) -> Self {
        match error {
            ForgetError::Living { tenant, living } => Self::Living { tenant, living },
            other => Self::Forget(other),
        }
    }
}

impl From<RecallError> for PastError {
    fn from(error: RecallError) -> Self {
        match error {
            RecallError::Off(tenant) => Self::RecallOff(tenant),
            other => Self::Recall(other),
        }
    }
}

impl Node {
    pub(crate) fn kept(&self) -> Result<&SqliteJournal, PastError> {
        self.journal.as_deref().ok_or(PastError::NotKept)
    }

    /// Writes a tenant's audit chain, as far as it goes now, as a file that anybody can check. Blocks.
    ///
    /// # Errors
    /// [`PastError`]; what was written until then is no whole export.
    pub fn export_audit(&self, tenant: TenantId, detail: Detail, out: &mut dyn Write) -> Result<Exported, PastError> {
        Ok(self.kept()?.export_audit(tenant, detail, out)?)
    }

    /// Forgets history that is older than a moment, in nanoseconds since 1970-01-01T00:00:00Z: what processes that have ended were told, and what
    /// living ones were told in runs that are over. Blocks, maybe for minutes. How many pieces of it.
    ///
    /// # Errors
    /// [`PastError`].
    pub fn forget_before(&self, wall_ns: u64) -> Result<u64, PastError> {
        Ok(self.kept()?.forget_before(wall_ns)?)
    }

    /// Erases all that is kept of a tenant, and the keys of every copy. Blocks, maybe for minutes.
    ///
    /// None of its processes may live: to kill them is a decision of its own, and none is started meanwhile.
    ///
    /// # Errors
    /// [`PastError`]; what was begun is done on the next call.
    pub fn erase(&self, tenant: TenantId) -> Result<(), PastError> {
        let (journal, tenants) = (self.kept()?, Selection::Tenant(tenant));
        let was_frozen = self.kernel.frozen().contains(&tenants);
        self.kernel.freeze(&tenants);
        let living = self.kernel.processes().iter().filter(|process| process.pid.tenant == tenant).count() as u64;
        let outcome = match living {
            0 => self.erase_all_of(journal, tenant),
            _ => Err(PastError::Living { tenant, living }),
        };
        if outcome.is_ok() {
            self.kernel.forget_tenant(tenant);
        }
        if !was_frozen {
            self.kernel.thaw(&tenants);
        }
        outcome
    }

    /// The memory goes first: what the journal has of it would be handed over again.
    fn erase_all_of(&self, journal: &SqliteJournal, tenant: TenantId) -> Result<(), PastError> {
        self.runtime.block_on(self.kernel.memory().store.erase(tenant))?;
        Ok(journal.forget_tenant(tenant)?)
    }
}
