//! `remit:kernel/budget`: what a process can spend.
//!
//! A part that was split off has one handle and lives as long: dropping it gives the part back. Handles on the process's
//! own account own nothing.

use crate::{
    bindings::remit::kernel::{budget, types},
    guest::{Guest, gone, mismatch},
    row::AccountRow,
};
use remit_abi::{BudgetError, BudgetReply, BudgetRequest, Reply, Request, Shortfall, Tokens};
use wasmtime::{Result, component::Resource};

/// What the guest is told.
type Told<T> = Result<std::result::Result<T, budget::BudgetError>>;

impl Guest {
    fn call_budget(&self, request: BudgetRequest) -> Result<std::result::Result<BudgetReply, BudgetError>> {
        match self.call(&Request::Budget(request))? {
            Reply::Budget(reply) => Ok(reply),
            _ => Err(mismatch("budget")),
        }
    }

    /// As [`Guest::call_budget`], with errors as the guest is told them.
    fn tell_budget(&self, request: BudgetRequest) -> Told<BudgetReply> {
        match self.call_budget(request)? {
            Ok(reply) => Ok(Ok(reply)),
            Err(error) => error_to_wit(error).map(Err),
        }
    }

    /// Gives back what nobody has a handle on any more. What is gone already is given back.
    pub(crate) fn give_back(&self, row: AccountRow) -> Result<()> {
        let AccountRow::Part(account) = row else { return Ok(()) };
        match self.call_budget(BudgetRequest::Merge { account })? {
            Ok(BudgetReply::Merged(_)) | Err(_) => Ok(()),
            Ok(_) => Err(mismatch("account.drop")),
        }
    }
}

impl budget::Host for Guest {
    fn own_account(&mut self) -> Result<Resource<AccountRow>> {
        match self.call_budget(BudgetRequest::OwnAccount)? {
            Ok(BudgetReply::Account(account)) => self.push(AccountRow::Own(account)),
            _ => Err(mismatch("budget.own-account")),
        }
    }
}

impl budget::HostAccount for Guest {
    fn get_remaining(&mut self, handle: Resource<AccountRow>) -> Result<u64> {
        let account = self.row(&handle)?.id();
        match self.call_budget(BudgetRequest::Remaining { account })? {
            Ok(BudgetReply::Remaining(tokens)) => Ok(tokens.micro()),
            Err(BudgetError::Dead) => Err(gone("an account")),
            _ => Err(mismatch("account.get-remaining")),
        }
    }

    fn split(&mut self, handle: Resource<AccountRow>, amount: u64) -> Told<Resource<AccountRow>> {
        let account = self.row(&handle)?.id();
        match self.tell_budget(BudgetRequest::Split { account, amount: Tokens::from_micro(amount) })? {
            Ok(BudgetReply::Split(part)) => self.push(AccountRow::Part(part)).map(Ok),
            Ok(_) => Err(mismatch("account.split")),
            Err(error) => Ok(Err(error)),
        }
    }

    fn merge(&mut self, handle: Resource<AccountRow>) -> Told<u64> {
        let account = self.remove(handle)?.id();
        match self.tell_budget(BudgetRequest::Merge { account })? {
            Ok(BudgetReply::Merged(tokens)) => Ok(Ok(tokens.micro())),
            Ok(_) => Err(mismatch("account.merge")),
            Err(error) => Ok(Err(error)),
        }
    }

    fn transfer(&mut self, handle: Resource<AccountRow>, to: Resource<AccountRow>, amount: u64) -> Told<()> {
        let (from, to) = (self.row(&handle)?.id(), self.row(&to)?.id());
        match self.tell_budget(BudgetRequest::Transfer { from, to, amount: Tokens::from_micro(amount) })? {
            Ok(BudgetReply::Done) => Ok(Ok(())),
            Ok(_) => Err(mismatch("account.transfer")),
            Err(error) => Ok(Err(error)),
        }
    }

    fn set_soft_limit(&mut self, handle: Resource<AccountRow>, threshold: u64) -> Result<()> {
        let account = self.row(&handle)?.id();
        match self.call_budget(BudgetRequest::SetSoftLimit { account, threshold: Tokens::from_micro(threshold) })? {
            Ok(BudgetReply::Done) => Ok(()),
            Err(BudgetError::Dead) => Err(gone("an account")),
            _ => Err(mismatch("account.set-soft-limit")),
        }
    }

    fn drop(&mut self, handle: Resource<AccountRow>) -> Result<()> {
        let row = self.remove(handle)?;
        self.give_back(row)
    }
}

pub(crate) fn shortfall_to_wit(shortfall: Shortfall) -> types::Shortfall {
    types::Shortfall { needed: shortfall.needed.micro(), remaining: shortfall.remaining.micro() }
}

fn error_to_wit(error: BudgetError) -> Result<budget::BudgetError> {
    Ok(match error {
        BudgetError::Dead => return Err(gone("an account")),
        BudgetError::Shortfall(shortfall) => budget::BudgetError::Shortfall(shortfall_to_wit(shortfall)),
        BudgetError::Nothing => budget::BudgetError::Nothing,
        BudgetError::TooMany { limit } => budget::BudgetError::TooMany(limit),
        BudgetError::Own => budget::BudgetError::Own,
    })
}
