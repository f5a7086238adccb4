//! `cargo xtask test` and `cargo xtask lint`.
//!
//! `cargo xtask lint` is for authors: it checks types alone. `cargo xtask test --lint` is for CI: there both are wanted, and one build gives
//! both, since clippy compiles our own crates. On its own, it would have all that they stand on read a second time.
//!
//! The host is built with all its tests in one go and with the features of the whole workspace: a build of the command
//! line alone would choose other features of shared crates, and the cold build would be paid twice.

use crate::{
    command,
    environment::{EMBEDDER, Environment, LANGUAGE_MODEL},
    vulkan::Vulkan,
};
use anyhow::Result;

/// All programs and tests, as `cargo test --workspace` will want them.
const WHOLE_HOST: &[&str] = &["--workspace", "--bins", "--tests"];

/// `cargo xtask test [--lint] [-- ARGS]`.
///
/// # Errors
///
/// Something that the tests need cannot be had, or a test fails.
pub(crate) fn command(lints: bool, extra: &[String]) -> Result<()> {
    test(lints, extra, &[])
}

/// The test that is the short run of `cargo xtask soak`.
const SOAK: &str = "up::soak::a_team_loses_nothing_however_often_its_host_is_killed";

/// `cargo xtask soak`: one test, for longer.
///
/// # Errors
///
/// Something that it needs cannot be had, or a process lost something.
pub(crate) fn soak_command(kills: u32) -> Result<()> {
    // Of the whole workspace, as in `cargo xtask test`: one package alone would be built with other features, and so would all that it
    // stands on.
    let arguments = ["--test", "remit", "--", "--exact", "--nocapture", SOAK].map(str::to_owned);
    test(false, &arguments, &[("REMIT_SOAK_KILLS", &kills.to_string())])
}

fn test(lints: bool, extra: &[String], variables: &[(&str, &str)]) -> Result<()> {
    let mut environment = Environment::open()?;
    environment.lints = lints;
    let vulkan = Vulkan::ensure(&environment.data)?;
    let prepared = environment.prepare(WHOLE_HOST, &[LANGUAGE_MODEL, EMBEDDER])?;
    if lints {
        command::run(environment.cargo().args(["build", "--workspace", "--benches"]), "linting the benches")?;
        check_cuda(&environment)?;
    }
    let mut cargo = environment.cargo();
    cargo.arg("test");
    if !selects_packages(extra) {
        cargo.arg("--workspace");
    }
    cargo.args(extra).envs(variables.iter().copied());
    prepared.apply(&environment, &mut cargo);
    vulkan.apply(&mut cargo)?;
    command::run(&mut cargo, "testing")
}

/// `cargo xtask lint`.
///
/// # Errors
///
/// A file is not formatted, there is a warning, or the build for CUDA has errors.
pub(crate) fn lint_command() -> Result<()> {
    let mut environment = Environment::open()?;
    command::run(
        environment.cargo().args(["fmt", "--all", "--check"]),
        "checking the formatting (`cargo fmt` repairs it)",
    )?;
    environment.set_up_host_build()?;
    let mut clippy = environment.cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    command::run(&mut clippy, "linting")?;
    check_cuda(&environment)
}

/// Only its types: a build fetches LLVM, which this variable of the build scripts keeps it from.
fn check_cuda(environment: &Environment) -> Result<()> {
    let mut cuda = environment.cargo();
    cuda.args(["check", "--package", "remit-inference", "--features", "cuda"]).env("DOCS_RS", "1");
    command::run(&mut cuda, "checking the types of the build for CUDA")
}

/// Do the arguments for cargo (not those behind `--`) choose packages?
fn selects_packages(arguments: &[String]) -> bool {
    let own = arguments.iter().take_while(|argument| *argument != "--");
    own.into_iter().any(|argument| {
        let flag = argument.split('=').next().unwrap_or_default();
        matches!(flag, "--package" | "--workspace" | "--all") || argument.starts_with("-p")
    })
}

#[cfg(test)]
mod unit_tests {
    use super::selects_packages;

    #[test]
    fn who_selects_packages() {
        let check = |line: &str, expected: bool| {
            let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(selects_packages(&arguments), expected, "{line}");
        };
        check("", false);
        check("-p remit-kernel", true);
        check("-premit-kernel", true);
        check("--package=remit-kernel", true);
        check("some_test -- -p", false);
        check("--test remit", false);
    }
}
