//! Who pays for a task: an account of its own, out of nothing but the operator's word.

use remit_abi::AccountId;
use remit_kernel::Kernel;

/// The deposit for one task: what comes back of it is withdrawn, however the task ends.
pub(crate) struct Payment {
    pub(crate) kernel: Kernel,
    pub(crate) payer: AccountId,
}

impl Drop for Payment {
    fn drop(&mut self) {
        self.kernel.withdraw(self.payer);
    }
}
