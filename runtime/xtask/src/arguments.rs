//! The command line: one command, few arguments, and what follows `--` is handed on as it is.

use anyhow::{Result, bail};

/// What `cargo xtask --help` prints.
pub(crate) const HELP: &str = "\
cargo xtask COMMAND: set up what this machine lacks, then do COMMAND

Commands:
  demo               build everything, then show one agent after the other at work
  test [-- ARGS]     build everything, then run all tests (ARGS go to `cargo test`); with `--lint`, clippy does the build
  soak [KILLS]       kill a host at so many random moments (1000), and see that its processes lose nothing
  fuzz [SECONDS]     search for files that the readers of models do not survive, so long for each reader (60)
  suite NAME         tests against other people's programs (without NAME: list them)
  lint               formatting and clippy, without a build
  dist               make the archive that is handed out, and try it (`--dev`: of what the tests build, which is quick)
  agents             build the agents and the test programs as components
  bench NAME         run one benchmark (without NAME: list them; names of its parts go behind `--`)
  doctor             say what is there and what is missing, and change nothing

Environment:
  REMIT_HOME             the data folder (default: the platform's own for `remit`)
  REMIT_GUEST_COMPILER   `host` (this toolchain, through rustup if need be) or `debian` (Debian's packages,
                         unpacked into the data folder); without it, what is there or works first
  PROTOC                 the protoc to use
  NO_COLOR               no colours";

/// Kills of a long run: a quarter of an hour, and some 50 at each step that a team comes to.
const SOAK_KILLS: u32 = 1000;

/// Seconds for each target: enough to see that all of them work; a search takes hours.
const FUZZ_SECONDS: u32 = 60;

/// What the user asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Help,
    Agents,
    Bench { name: String, parts: Vec<String> },
    Demo,
    Dist { dev: bool },
    Doctor,
    Fuzz { seconds: u32 },
    Lint,
    Soak { kills: u32 },
    Suite { name: String },
    Test { lints: bool, extra: Vec<String> },
}

/// Reads a command line without the program's own name.
///
/// # Errors
///
/// An unknown command, or arguments that the command does not take.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Task> {
    let mut own: Vec<String> = arguments.collect();
    let extra = match own.iter().position(|argument| argument == "--") {
        Some(separator) => own.split_off(separator).split_off(1),
        None => Vec::new(),
    };
    if own.is_empty() || own.iter().any(|argument| argument == "--help" || argument == "-h" || argument == "help") {
        return Ok(Task::Help);
    }
    let words: Vec<&str> = own.iter().map(String::as_str).collect();
    let task = match words.as_slice() {
        ["test"] => return Ok(Task::Test { lints: false, extra }),
        ["test", "--lint"] => return Ok(Task::Test { lints: true, extra }),
        ["agents"] => Task::Agents,
        ["bench"] => Task::Bench { name: String::new(), parts: Vec::new() },
        ["bench", name] => return Ok(Task::Bench { name: (*name).to_owned(), parts: extra }),
        ["demo"] => Task::Demo,
        ["dist"] => Task::Dist { dev: false },
        ["dist", "--dev"] => Task::Dist { dev: true },
        ["doctor"] => Task::Doctor,
        ["fuzz"] => Task::Fuzz { seconds: FUZZ_SECONDS },
        ["fuzz", seconds] => match seconds.parse() {
            Ok(seconds) if seconds > 0 => Task::Fuzz { seconds },
            _ => bail!("`fuzz` takes a number of seconds, and `{seconds}` is none"),
        },
        ["lint"] => Task::Lint,
        ["soak"] => Task::Soak { kills: SOAK_KILLS },
        ["soak", kills] => match kills.parse() {
            Ok(kills) if kills > 0 => Task::Soak { kills },
            _ => bail!("`soak` takes a number of kills, and `{kills}` is none"),
        },
        ["suite"] => Task::Suite { name: String::new() },
        ["suite", name] => Task::Suite { name: (*name).to_owned() },
        ["test", surplus, ..] => bail!("`test` does not take `{surplus}`: put what is for `cargo test` behind `--`"),
        [
            command @ ("agents" | "bench" | "demo" | "dist" | "doctor" | "fuzz" | "lint" | "soak" | "suite"),
            ..,
            surplus,
        ] => {
            bail!("`{command}` does not take `{surplus}`")
        }
        [unknown, ..] => bail!("there is no command `{unknown}`"),
        [] => Task::Help,
    };
    if !extra.is_empty() {
        bail!("only `test` and `bench NAME` hand arguments on: leave out what follows `--`");
    }
    Ok(task)
}

#[cfg(test)]
mod unit_tests {
    use super::{Task, parse};

    #[track_caller]
    fn check(line: &str, expected: &Result<Task, &str>) {
        let parsed = parse(line.split_whitespace().map(str::to_owned)).map_err(|error| error.to_string());
        match (&parsed, expected) {
            (Ok(parsed), Ok(expected)) => assert_eq!(parsed, expected),
            (Err(message), Err(part)) => assert!(message.contains(part), "{message:?} does not contain {part:?}"),
            _ => panic!("{line:?} gave {parsed:?}"),
        }
    }

    #[test]
    fn commands() {
        check("", &Ok(Task::Help));
        check("bench --help", &Ok(Task::Help));
        check("demo", &Ok(Task::Demo));
        check("soak", &Ok(Task::Soak { kills: 1000 }));
        check("dist", &Ok(Task::Dist { dev: false }));
        check("dist --dev", &Ok(Task::Dist { dev: true }));
        check("fuzz", &Ok(Task::Fuzz { seconds: 60 }));
        check("fuzz 600", &Ok(Task::Fuzz { seconds: 600 }));
        check("soak 20", &Ok(Task::Soak { kills: 20 }));
        check("bench spawn", &Ok(Task::Bench { name: "spawn".to_owned(), parts: Vec::new() }));
        let parts = vec!["flood".to_owned(), "wasm".to_owned()];
        check("bench agents -- flood wasm", &Ok(Task::Bench { name: "agents".to_owned(), parts }));
        check("suite registry", &Ok(Task::Suite { name: "registry".to_owned() }));
        check("test", &Ok(Task::Test { lints: false, extra: Vec::new() }));
        let extra = ["-p", "remit-kernel", "--", "--help"].map(str::to_owned).to_vec();
        check("test -- -p remit-kernel -- --help", &Ok(Task::Test { lints: false, extra: extra.clone() }));
        check("test --lint -- -p remit-kernel -- --help", &Ok(Task::Test { lints: true, extra }));
    }

    #[test]
    fn nonsense_is_refused() {
        check("dance", &Err("no command `dance`"));
        check("demo fast", &Err("does not take `fast`"));
        check("fuzz 0", &Err("a number of seconds"));
        check("soak long", &Err("a number of kills"));
        check("test remit-kernel", &Err("behind `--`"));
        check("demo -- fast", &Err("only `test`"));
    }
}
