//! The compiling child as a program of its own, for tests and for hosts that embed this crate.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    remit_host::compile::child_main(env::args_os().skip(1))
}
