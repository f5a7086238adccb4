//! Packages on their way, through registries that lie, stall and point elsewhere.

mod fake;
mod folders;
mod hostile;
mod lists;
mod logins;
mod transfers;
mod world;
