//! Ids as the database keeps them: unsigned numbers, bit by bit in SQLite's signed ones.

use remit_abi::{AccountId, GrantId, Pid, TenantId};

/// As SQLite stores it.
pub(crate) const fn stored(number: u64) -> i64 {
    number.cast_signed()
}

/// As it was stored.
pub(crate) const fn read(number: i64) -> u64 {
    number.cast_unsigned()
}

pub(crate) const fn account(id: AccountId) -> u64 {
    (id.index as u64) << 32 | id.generation as u64
}

pub(crate) const fn account_id(number: u64) -> AccountId {
    AccountId { index: (number >> 32) as u32, generation: number as u32 }
}

pub(crate) const fn grant(id: GrantId) -> u64 {
    (id.index as u64) << 32 | id.generation as u64
}

pub(crate) const fn grant_id(number: u64) -> GrantId {
    GrantId { index: (number >> 32) as u32, generation: number as u32 }
}

/// Of a tenant's column and a number's.
pub(crate) const fn pid(tenant: u32, number: i64) -> Pid {
    let number = read(number);
    Pid { tenant: TenantId(tenant), index: (number >> 32) as u32, generation: number as u32 }
}
