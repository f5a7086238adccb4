//! The journal on files: what it keeps, what it keeps through crashes and faults, and what it forgets.

mod audit;
mod crash;
mod damage;
mod deployments;
mod disk;
mod fold;
mod forget;
mod memory;
mod model;
mod opening;
mod people;
mod recall;
mod sample;
mod sleepers;
mod snapshots;
mod stage;
mod threads;
mod tool_calls;
mod versions;
