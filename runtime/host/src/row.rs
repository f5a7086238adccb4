//! What stands in a row of a guest's table of handles: the kernel's id of an object, and never the object itself.

#![allow(unreachable_pub, reason = "the generated bindings export them under names of their own")]

use remit_abi::{AccountId, GenerationId, GrantId, ModelId, ValueId, WaitId};

/// A handle on a value.
#[derive(Clone, Copy, Debug)]
pub struct ValueRow(pub(crate) ValueId);

/// A handle on a grant.
#[derive(Clone, Copy, Debug)]
pub struct GrantRow(pub(crate) GrantId);

/// A handle on an account.
#[derive(Clone, Copy, Debug)]
pub struct AccountRow(pub(crate) AccountId);

/// A handle on an open model.
#[derive(Clone, Copy, Debug)]
pub struct ModelRow(pub(crate) ModelId);

/// A handle on a generation that streams.
#[derive(Clone, Copy, Debug)]
pub struct GenerationRow(pub(crate) GenerationId);

/// A handle on something to wait for.
#[derive(Clone, Copy, Debug)]
pub struct PollableRow(pub(crate) WaitId);
