//! What the bench `recall` asks about, generated from a seed: no clock, no file, no model. The same seed gives the same on every machine.

pub(crate) mod facts;
pub(crate) mod keys;
pub(crate) mod random;
pub(crate) mod talk;
pub(crate) mod words;
