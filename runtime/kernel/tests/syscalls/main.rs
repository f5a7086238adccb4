//! The kernel behind its Door, without WebAssembly: guests are scripts of requests, and every port is a fake that can be
//! told to fail.

mod authority;
mod budget;
mod children;
mod durability;
mod fakes;
mod guest;
mod labels;
mod limits;
mod llm;
mod spawning;
mod stage;
mod waiting;
