//! The kernel behind its Door, without WebAssembly: guests are scripts of requests, and every port is a fake that can be
//! told to fail.

mod authority;
mod budget;
mod calls;
mod children;
mod deadlock;
mod durability;
mod embed;
mod facts;
mod fakes;
mod fork;
mod guest;
mod hibernation;
mod human;
mod human_recovery;
mod labels;
mod limits;
mod llm;
mod mailbox_grants;
mod manage;
mod media;
mod messages;
mod model;
mod properties;
mod recovery;
mod rerun;
mod revocation;
mod routing;
mod runaway;
mod signals_and_alarms;
mod spawning;
mod stage;
mod supervision;
mod toll;
mod tools;
mod waiting;
