//! Fuel: bought by the runner, slice by slice, from the same account that pays for tokens.

use super::Context;
use remit_abi::{FuelReply, FuelRequest, limits};

pub(super) fn act(context: &mut Context<'_>, FuelRequest::BuySlice: FuelRequest) -> FuelReply {
    match context.process.bill.buy_fuel(limits::FUEL_SLICE) {
        Ok(()) => FuelReply::Granted,
        Err(shortfall) => FuelReply::Refused(shortfall),
    }
}
