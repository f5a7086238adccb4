//! The batcher on a simulated machine, which computes a hash of all tokens before each position and keeps it where the plan says.
//! So whatever is read from the wrong place, was overwritten, or is another namespace's, shows at once; and what is drawn depends on
//! the prompt alone.

mod adversity;
mod fairness;
mod machine;
mod runs;
mod snapshots;
