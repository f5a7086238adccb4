//! `cargo xtask suite NAME`: tests against other people's programs, each with its own set-up.
//!
//! They are not part of `cargo xtask test`: what they need is fetched from elsewhere, and their results change when others do. Each prints
//! one line for each thing that it saw, and last the row for the table of results in the documents that it names.

mod intoto;
mod languages;
mod python;
mod registry;
mod sigstore;

use crate::command::{new, output};
use anyhow::{Result, bail};

/// A suite that there is.
struct Suite {
    name: &'static str,
    what: &'static str,
    run: fn() -> Result<()>,
}

const SUITES: &[Suite] = &[
    Suite {
        name: "intoto",
        what: "our envelopes before securesystemslib and in-toto, theirs before our policies, our keys before OpenSSL",
        run: intoto::run,
    },
    Suite {
        name: "languages",
        what: "agents in Python and JavaScript: built, tried, run, run again from their logs, denied a connection",
        run: languages::run,
    },
    Suite {
        name: "registry",
        what: "packages through Debian's docker-registry, with skopeo as another reader and writer",
        run: registry::run,
    },
    Suite {
        name: "sigstore",
        what: "our bundles before Sigstore's own library, by a trust root of our own, and spoilt ones before both",
        run: sigstore::run,
    },
];

/// `cargo xtask suite NAME`.
///
/// # Errors
///
/// There is no such suite, what it needs cannot be had, or somebody saw something else than was expected.
pub(crate) fn command(name: &str) -> Result<()> {
    let Some(suite) = SUITES.iter().find(|suite| suite.name == name) else {
        let known: String = SUITES.iter().map(|suite| format!("\n  {:9} {}", suite.name, suite.what)).collect();
        bail!("`cargo xtask suite NAME` knows no suite {name:?}, but these:{known}");
    };
    (suite.run)()
}

/// The day, for the tables of results.
fn today() -> Result<String> {
    Ok(output(new("date").args(["-u", "+%Y-%m-%d"]), "asking for the date")?.trim().to_owned())
}
