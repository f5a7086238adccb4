//! `remit:kernel/budget`: what a process can spend.

use crate::{
    bindings::remit::kernel::budget,
    guest::{Guest, dead, mismatch},
    row::AccountRow,
};
use remit_abi::{BudgetReply, BudgetRequest, Reply, Request};
use wasmtime::{Result, component::Resource};

impl Guest {
    fn call_budget(&self, request: BudgetRequest) -> Result<BudgetReply> {
        match self.call(&Request::Budget(request))? {
            Reply::Budget(Ok(reply)) => Ok(reply),
            Reply::Budget(Err(_)) => Err(dead("account")),
            _ => Err(mismatch("budget")),
        }
    }
}

impl budget::Host for Guest {
    fn own_account(&mut self) -> Result<Resource<AccountRow>> {
        match self.call_budget(BudgetRequest::OwnAccount)? {
            BudgetReply::Account(account) => self.push(AccountRow(account)),
            BudgetReply::Remaining(_) => Err(mismatch("budget.own-account")),
        }
    }
}

impl budget::HostAccount for Guest {
    fn get_remaining(&mut self, handle: Resource<AccountRow>) -> Result<u64> {
        let AccountRow(account) = self.row(&handle)?;
        match self.call_budget(BudgetRequest::Remaining { account })? {
            BudgetReply::Remaining(tokens) => Ok(tokens.micro()),
            BudgetReply::Account(_) => Err(mismatch("account.get-remaining")),
        }
    }

    /// A handle on an account owns nothing: closing it is the kernel's, at the process's end.
    fn drop(&mut self, handle: Resource<AccountRow>) -> Result<()> {
        self.remove(handle).map(drop)
    }
}
