//! The host behind a scripted door: what is loaded, what is refused, how guests run, wait and end.

mod door;
mod fuel;
mod interfaces;
mod killing;
mod limits;
mod loading;
mod program;
mod stage;
mod suspending;
mod waiting;
