//! End-to-end tests: real guests in the real sandbox on the real kernel. One binary, since each one links the whole host.

mod agents;
mod cli;
mod companion;
mod consolidator;
mod contexts;
mod drafter;
mod heavy;
mod hostile;
mod layers;
mod librarian;
mod neighbours;
mod operator;
mod processes;
mod programs;
mod questions;
mod stage;
mod team;
mod tested;
mod up;
