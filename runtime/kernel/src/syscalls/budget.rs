//! `budget`: what the process can spend, and how it divides it.

use super::Context;
use crate::ports::Change;
use remit_abi::{AccountId, BudgetError, BudgetReply, BudgetRequest, limits};
use remit_authority::AccountError;

pub(super) fn act(context: &mut Context<'_>, request: &BudgetRequest) -> Result<BudgetReply, BudgetError> {
    let process = &mut *context.process;
    let held = |account: AccountId| if process.holds_account(account) { Ok(account) } else { Err(BudgetError::Dead) };
    match request {
        BudgetRequest::OwnAccount => Ok(BudgetReply::Account(process.bill.account())),
        BudgetRequest::Remaining { account } => {
            let remaining = context.shared.accounts.lock().remaining(held(*account)?);
            remaining.map(BudgetReply::Remaining).map_err(refused)
        }
        BudgetRequest::Split { account, amount } => {
            let from = held(*account)?;
            let part = context.shared.accounts.lock().split(from, *amount).map_err(refused)?;
            process.due.change(|| Change::Split { from, account: part, amount: *amount });
            process.parts.push(part);
            Ok(BudgetReply::Split(part))
        }
        BudgetRequest::Merge { account } if *account == process.bill.account() => Err(BudgetError::Own),
        BudgetRequest::Merge { account } => {
            let merged = context.shared.accounts.lock().merge(held(*account)?).map_err(refused)?;
            process.due.change(|| Change::Closed { account: *account });
            process.parts.retain(|part| part != account);
            Ok(BudgetReply::Merged(merged))
        }
        BudgetRequest::Transfer { from, to, amount } => {
            let (from, to) = (held(*from)?, held(*to)?);
            context.shared.accounts.lock().transfer(from, to, *amount).map_err(refused)?;
            process.due.change(|| Change::Moved { from, to, amount: *amount });
            Ok(BudgetReply::Done)
        }
        BudgetRequest::SetSoftLimit { account, threshold } => {
            let set = context.shared.accounts.set_soft_limit(held(*account)?, *threshold, &context.block.signals);
            set.map(|()| BudgetReply::Done).map_err(refused)
        }
    }
}

/// Gives a part back that was to fund a child which was not started. Nothing happens where it is not the process's.
pub(super) fn give_back(context: &mut Context<'_>, account: AccountId) {
    let process = &mut *context.process;
    if let Some(index) = process.parts.iter().position(|part| *part == account) {
        process.parts.swap_remove(index);
        // A part is open as long as it is held.
        let _held = context.shared.accounts.lock().close(account);
        process.due.change(|| Change::Closed { account });
    }
}

fn refused(error: AccountError) -> BudgetError {
    match error {
        AccountError::Shortfall(shortfall) => shortfall.into(),
        AccountError::Nothing => BudgetError::Nothing,
        AccountError::TooMany => BudgetError::TooMany { limit: limits::ACCOUNT_CHILDREN_MAX as u64 },
        AccountError::TooDeep => BudgetError::TooMany { limit: limits::ACCOUNT_DEPTH_MAX as u64 },
        AccountError::Root => BudgetError::Own,
        AccountError::Dead | AccountError::Overflow | AccountError::NotRoot | AccountError::Foreign => {
            BudgetError::Dead
        }
    }
}
