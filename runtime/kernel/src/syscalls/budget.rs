//! `budget`: what the process can spend.

use super::Context;
use remit_abi::{BudgetError, BudgetReply, BudgetRequest};

pub(super) fn act(context: &mut Context<'_>, request: &BudgetRequest) -> Result<BudgetReply, BudgetError> {
    let bill = &context.process.bill;
    match request {
        BudgetRequest::OwnAccount => Ok(BudgetReply::Account(bill.account())),
        BudgetRequest::Remaining { account } if *account == bill.account() => {
            Ok(BudgetReply::Remaining(bill.remaining()))
        }
        _ => Err(BudgetError::Dead),
    }
}
