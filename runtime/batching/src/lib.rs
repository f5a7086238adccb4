//! Continuous batching as decisions over plain numbers: which sequences a step computes, how many tokens of each, and where their
//! keys and values are.
//!
//! Nothing here knows a model, a device, a thread or a clock: times are handed in.
