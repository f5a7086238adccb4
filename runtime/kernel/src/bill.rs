//! Who pays for a process's work, and what it came to.
//!
//! A [`Bill`] is shared by a process and by everything that works for it, so that a piece of work settles itself when it
//! is dropped, whether the process still lives or not.

use crate::treasury::Treasury;
use parking_lot::Mutex;
use remit_abi::{AccountId, Fuel, Shortfall, Tokens, Usage};
use remit_authority::{AccountError, ModelPrices, PriceList};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Citations of entries of memories, by whether the quotation stands in what was cited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Citations {
    /// It does.
    pub supported: u64,
    /// It does not.
    pub unsupported: u64,
}

impl Citations {
    /// With one more.
    #[must_use]
    pub(crate) const fn with(self, is_supported: bool) -> Self {
        let Self { supported, unsupported } = self;
        match is_supported {
            true => Self { supported: supported.saturating_add(1), unsupported },
            false => Self { supported, unsupported: unsupported.saturating_add(1) },
        }
    }
}

/// What a process did and paid so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// What models did for it.
    pub usage: Usage,
    /// Fuel that it bought, less what it gave back.
    pub fuel: Fuel,
    /// All that it paid.
    pub paid: Tokens,
    /// The version of the price list that it was charged by.
    pub price_version: u32,
    /// What it cited.
    pub citations: Citations,
}

/// The account of one process, its prices and its ledger.
#[derive(Debug)]
pub(crate) struct Bill {
    accounts: Arc<Treasury>,
    account: AccountId,
    pub(crate) prices: Arc<PriceList>,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    ledger: Ledger,
    /// Fuel bought in this run, which its end settles.
    bought: Fuel,
    /// What was paid, and what came back, since somebody last wrote it down.
    unwritten: (Tokens, Tokens),
    /// What was paid since its process was last told something.
    untold: Tokens,
}

impl Books {
    fn pay(&mut self, amount: Tokens) {
        self.ledger.paid = self.ledger.paid.saturating_add(amount);
        self.unwritten.0 = self.unwritten.0.saturating_add(amount);
        self.untold = self.untold.saturating_add(amount);
    }
}

/// What work may cost: at least the one, at most the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quote {
    pub(crate) least: Tokens,
    pub(crate) most: Tokens,
    /// What must stay in the account when more than the least is reserved.
    pub(crate) spare: Tokens,
}

impl Quote {
    /// A price that is known beforehand.
    pub(crate) const fn exactly(price: Tokens) -> Self {
        Self { least: price, most: price, spare: Tokens::ZERO }
    }
}

impl Bill {
    pub(crate) fn new(accounts: Arc<Treasury>, account: AccountId, prices: Arc<PriceList>) -> Self {
        let ledger = Ledger { price_version: prices.version, ..Ledger::default() };
        Self { accounts, account, prices, books: Mutex::new(Books { ledger, ..Books::default() }) }
    }

    /// A bill of what is not there any more: it can pay nothing.
    pub(crate) fn of_nobody() -> Self {
        Self::new(Arc::default(), AccountId { index: 0, generation: 0 }, Arc::new(PriceList::built_in()))
    }

    pub(crate) fn account(&self) -> AccountId {
        self.account
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.books.lock().ledger
    }

    pub(crate) fn remaining(&self) -> Tokens {
        self.accounts.lock().remaining(self.account).unwrap_or_default()
    }

    /// Sets aside as much of a quote as the account can pay.
    pub(crate) fn reserve(self: &Arc<Self>, quote: Quote) -> Result<Reservation, Shortfall> {
        if quote.most == Tokens::ZERO {
            return Ok(Reservation { bill: self.clone(), amount: Tokens::ZERO });
        }
        let mut accounts = self.accounts.lock();
        let remaining = accounts.remaining(self.account).unwrap_or_default();
        let amount = remaining.saturating_sub(quote.spare).min(quote.most).max(quote.least);
        accounts.reserve(self.account, amount).map_err(|error| shortfall(error, amount))?;
        Ok(Reservation { bill: self.clone(), amount })
    }

    /// Pays for fuel before it is used.
    pub(crate) fn buy_fuel(&self, fuel: Fuel) -> Result<(), Shortfall> {
        let price = self.prices.fuel(fuel);
        self.accounts.lock().charge(self.account, price).map_err(|error| shortfall(error, price))?;
        let books = &mut *self.books.lock();
        books.bought = Fuel(books.bought.0.saturating_add(fuel.0));
        books.ledger.fuel = Fuel(books.ledger.fuel.0.saturating_add(fuel.0));
        books.pay(price);
        Ok(())
    }

    /// What was paid since the process's last entry, for whoever writes the next one.
    pub(crate) fn take_untold(&self) -> Tokens {
        std::mem::take(&mut self.books.lock().untold)
    }

    /// What was paid, and what came back, since somebody last wrote it down, for whoever does so now.
    pub(crate) fn take_unwritten(&self) -> (Tokens, Tokens) {
        std::mem::take(&mut self.books.lock().unwritten)
    }

    /// A bill whose process did and paid that already, before it was put together again.
    pub(crate) fn with_ledger(self, ledger: Ledger) -> Self {
        self.books.lock().ledger = ledger;
        self
    }

    /// Goes back to what was done and paid when a run began. What was paid since somebody last wrote it down is given back: it is paid
    /// again.
    pub(crate) fn rewind(&self, ledger: Ledger) {
        let books = &mut *self.books.lock();
        let (paid, refunded) = std::mem::take(&mut books.unwritten);
        *books = Books { ledger, ..Books::default() };
        // Its process keeps the account open, and it holds at least what was refunded.
        let _open = self.accounts.lock().refund(self.account, paid.saturating_sub(refunded));
    }

    /// Gives back what was paid since somebody last wrote it down: it will be paid again.
    pub(crate) fn give_back_unwritten(&self) {
        let books = &mut *self.books.lock();
        let (paid, refunded) = std::mem::take(&mut books.unwritten);
        let back = paid.saturating_sub(refunded);
        books.ledger.paid = books.ledger.paid.saturating_sub(back);
        books.untold = books.untold.saturating_sub(back);
        // Its process keeps the account open, and it holds at least what was refunded.
        let _open = self.accounts.lock().refund(self.account, back);
    }

    /// Begins to count: what was done and paid so far was another one's. The fuel that its run bought is still part of it.
    pub(crate) fn begins(&self) {
        let price_version = self.prices.version;
        self.books.lock().ledger = Ledger { price_version, ..Ledger::default() };
    }

    /// Counts fuel that a run bought before it was put together again: it is paid.
    pub(crate) fn bought_before(&self, fuel: Fuel) {
        let books = &mut *self.books.lock();
        books.bought = Fuel(books.bought.0.saturating_add(fuel.0));
        books.ledger.fuel = Fuel(books.ledger.fuel.0.saturating_add(fuel.0));
    }

    /// Counts what a run paid before it was put together again.
    pub(crate) fn paid_before(&self, paid: Tokens) {
        let ledger = &mut self.books.lock().ledger;
        ledger.paid = ledger.paid.saturating_add(paid);
    }

    /// Counts what a model did for a run before it was put together again.
    pub(crate) fn did_before(&self, usage: Usage) {
        let ledger = &mut self.books.lock().ledger;
        ledger.usage = ledger.usage.plus(usage);
    }

    /// Counts what the process cited, now or before it was put together again.
    pub(crate) fn cited(&self, is_supported: bool) {
        let ledger = &mut self.books.lock().ledger;
        ledger.citations = ledger.citations.with(is_supported);
    }

    /// As [`Bill::paid_before`], where the log says what it was in all.
    pub(crate) fn had_paid(&self, paid: Tokens) {
        self.books.lock().ledger.paid = paid;
    }

    /// Pays for something that is done at once.
    pub(crate) fn charge(&self, price: Tokens) -> Result<(), Shortfall> {
        self.accounts.lock().charge(self.account, price).map_err(|error| shortfall(error, price))?;
        self.books.lock().pay(price);
        Ok(())
    }

    /// Makes what a run paid for fuel exactly the price of what it used. More can be used than was bought where one
    /// instruction works on many bytes: that is paid as far as the account goes.
    pub(crate) fn settle_fuel(&self, used: Fuel) {
        let bought = std::mem::take(&mut self.books.lock().bought);
        let (bought_for, used_for) = (self.prices.fuel(bought), self.prices.fuel(used));
        let unused = bought_for.saturating_sub(used_for).min(self.ledger().paid);
        let missing = used_for.saturating_sub(bought_for).min(self.remaining());
        // Of the two at least one is nothing; neither can fail while the account is open, which its process keeps it.
        let settled = {
            let mut accounts = self.accounts.lock();
            accounts.refund(self.account, unused).and_then(|()| accounts.charge(self.account, missing))
        };
        let books = &mut *self.books.lock();
        let fuel = books.ledger.fuel.0.saturating_add(used.0).saturating_sub(bought.0);
        books.ledger.fuel = Fuel(fuel);
        if settled.is_ok() {
            books.pay(missing);
            books.ledger.paid = books.ledger.paid.saturating_sub(unused);
            books.unwritten.1 = books.unwritten.1.saturating_add(unused);
        }
    }

    /// Ends a run whose count of fuel was lost: what it bought is what it used, and so much besides.
    pub(crate) fn forfeit_fuel(&self, besides: Fuel) {
        let bought = self.books.lock().bought;
        self.settle_fuel(Fuel(bought.0.saturating_add(besides.0)));
    }

    /// Closes the account: what is left goes back to where it came from.
    pub(crate) fn close(&self) -> Tokens {
        self.accounts.lock().close(self.account).unwrap_or_default()
    }
}

fn shortfall(error: AccountError, needed: Tokens) -> Shortfall {
    match error {
        AccountError::Shortfall(shortfall) => shortfall,
        _ => Shortfall { needed, remaining: Tokens::ZERO },
    }
}

/// Tokens set aside for one piece of work. Dropped unsettled, it goes back whole.
#[derive(Debug)]
pub(crate) struct Reservation {
    bill: Arc<Bill>,
    amount: Tokens,
}

impl Reservation {
    /// How much was set aside.
    pub(crate) fn amount(&self) -> Tokens {
        self.amount
    }

    /// Pays all of it.
    pub(crate) fn settle_whole(self) -> Tokens {
        let amount = self.amount;
        self.settle(amount, Usage::default())
    }

    /// Pays for what a model did; the rest goes back.
    pub(crate) fn settle_usage(self, usage: Usage, prices: &ModelPrices) -> Tokens {
        self.settle(prices.of(usage), usage)
    }

    fn settle(mut self, price: Tokens, usage: Usage) -> Tokens {
        let reserved = std::mem::take(&mut self.amount);
        let paid = self.bill.accounts.lock().settle(self.bill.account, reserved, price);
        let books = &mut *self.bill.books.lock();
        books.ledger.usage = books.ledger.usage.plus(usage);
        books.pay(paid);
        paid
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.amount > Tokens::ZERO {
            self.bill.accounts.lock().settle(self.bill.account, self.amount, Tokens::ZERO);
        }
    }
}
