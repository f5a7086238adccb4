//! The journal on files: what it keeps, what it keeps through crashes and faults, and what it forgets.

mod crash;
mod disk;
mod fold;
mod model;
mod sample;
mod stage;
