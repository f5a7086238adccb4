//! Ids as the database keeps them: unsigned numbers, bit by bit in SQLite's signed ones.

use remit_abi::{AccountId, GenerationId, GrantId, Pid, TenantId};

/// As SQLite stores it.
pub(crate) const fn stored(number: u64) -> i64 {
    number.cast_signed()
}

/// As it was stored.
pub(crate) const fn read(number: i64) -> u64 {
    number.cast_unsigned()
}

/// The number of an id: it counts how many were made before. No id has the generation 0.
const fn counted(index: u32, generation: u32) -> u64 {
    (generation.wrapping_sub(1) as u64) << 32 | index as u64
}

/// Index and generation of a number.
const fn parts(number: u64) -> (u32, u32) {
    (number as u32, ((number >> 32) as u32).wrapping_add(1))
}

pub(crate) const fn account(id: AccountId) -> u64 {
    counted(id.index, id.generation)
}

pub(crate) const fn account_id(number: u64) -> AccountId {
    let (index, generation) = parts(number);
    AccountId { index, generation }
}

pub(crate) const fn grant(id: GrantId) -> u64 {
    counted(id.index, id.generation)
}

pub(crate) const fn grant_id(number: u64) -> GrantId {
    let (index, generation) = parts(number);
    GrantId { index, generation }
}

pub(crate) const fn generation(id: GenerationId) -> u64 {
    counted(id.index, id.generation)
}

pub(crate) const fn generation_id(number: u64) -> GenerationId {
    let (index, generation) = parts(number);
    GenerationId { index, generation }
}

pub(crate) const fn process(pid: Pid) -> u64 {
    counted(pid.index, pid.generation)
}

/// Of a tenant's column and a number's.
pub(crate) const fn pid(tenant: u32, number: i64) -> Pid {
    let (index, generation) = parts(read(number));
    Pid { tenant: TenantId(tenant), index, generation }
}
