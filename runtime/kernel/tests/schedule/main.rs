//! The run queue, on a machine that is simulated: what is run takes no time, and is counted all the same.

mod machine;
mod order;
mod shares;
mod waits;
