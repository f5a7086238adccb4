//! The host behind a scripted door: what is loaded, what is refused, how guests run, wait and end.

mod alarm;
mod budget;
mod capability;
mod children;
mod door;
mod fuel;
mod human;
mod interfaces;
mod killing;
mod limits;
mod loading;
mod mailbox;
mod places;
mod process;
mod program;
mod seen;
mod stage;
mod suspending;
mod tool;
mod waiting;
