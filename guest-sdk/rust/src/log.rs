//! Log lines, for the agent's author and the operator. They are not part of the answer.
//!
//! The macros [`trace!`](crate::trace!), [`debug!`](crate::debug!), [`info!`](crate::info!), [`warn!`](crate::warn!) and
//! [`error!`](crate::error!) take what `format!` takes. A panic logs its message and place by itself, at level error.
//!
//! ```no_run
//! let pages = 3;
//! remit::info!("read {pages} pages");
//! ```

use crate::bindings::remit::kernel::trace;
use std::fmt;

pub use trace::Level;

/// Writes one line; more than 8 KiB of it are cut. The macros are the shorter way.
///
/// ```no_run
/// use remit::log::{Level, log};
///
/// log(Level::Info, format_args!("{} of {}", 1, 3));
/// ```
pub fn log(level: Level, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(text) => trace::log(level, text),
        None => trace::log(level, &message.to_string()),
    }
}

/// Logs a line for the agent's author, in detail: `remit::trace!("at {offset}")`.
#[macro_export]
macro_rules! trace {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Trace, ::std::format_args!($($message)+)) };
}

/// Logs a line for the agent's author: `remit::debug!("{count} parts")`.
#[macro_export]
macro_rules! debug {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Debug, ::std::format_args!($($message)+)) };
}

/// Logs a line worth knowing: `remit::info!("resumed at part {part}")`.
#[macro_export]
macro_rules! info {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Info, ::std::format_args!($($message)+)) };
}

/// Logs that something is off while the agent goes on: `remit::warn!("no focus was given")`.
#[macro_export]
macro_rules! warn {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Warn, ::std::format_args!($($message)+)) };
}

/// Logs that something failed: `remit::error!("part {part} is lost")`.
#[macro_export]
macro_rules! error {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Error, ::std::format_args!($($message)+)) };
}
