//! Carries one package from one place to another, and says what it was: for trying a registry, and for `cargo xtask suite registry`.
//!
//! ```text
//! carry push FILE TO [ENVELOPE]...
//! carry pull FROM FILE
//! ```
//!
//! Registries on this machine (`127.0.0.1:PORT`) are spoken to without TLS. Logins are taken from docker's config in `$DOCKER_CONFIG`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to a person")]

use remit_egress::{Config, Connector, Local};
use remit_registry::{Client, Credentials, Description, Digest, Location, Parcel};
use std::{error::Error, path::Path, process::ExitCode};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["push", file, to, envelopes @ ..] => push(file, to, envelopes).await,
        ["pull", from, file] => pull(from, file).await,
        _ => Err("carry push FILE TO [ENVELOPE]..., or carry pull FROM FILE".into()),
    };
    match done {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn push(file: &str, to: &str, envelopes: &[&str]) -> Result<String, Box<dyn Error>> {
    let to = Location::parse(to)?;
    let envelopes: Vec<Vec<u8>> = envelopes.iter().map(std::fs::read).collect::<Result<_, _>>()?;
    let description = Description::default();
    let parcel = Parcel { package: Path::new(file), description: &description, envelopes: &envelopes, bundles: &[] };
    let pushed = client(&to)?.push(&to, &parcel, &|_| ()).await?;
    Ok(line(pushed.manifest.as_ref(), &pushed.package, &[]))
}

async fn pull(from: &str, file: &str) -> Result<String, Box<dyn Error>> {
    let from = Location::parse(from)?;
    let pulled = client(&from)?.pull(&from, Path::new(file), &|_| ()).await?;
    Ok(line(pulled.manifest.as_ref(), &pulled.package, &pulled.envelopes))
}

/// The manifest's digest, the package's, and those of the envelopes in ascending order.
fn line(manifest: Option<&Digest>, package: &Digest, envelopes: &[Vec<u8>]) -> String {
    let mut digests: Vec<String> = envelopes.iter().map(|envelope| Digest::of(envelope).to_string()).collect();
    digests.sort();
    let manifest = manifest.map_or("none".to_owned(), Digest::to_string);
    [manifest, package.to_string()].into_iter().chain(digests).collect::<Vec<_>>().join(" ")
}

fn client(place: &Location) -> Result<Client, Box<dyn Error>> {
    let mut config = Config::default();
    let mut without_tls = Vec::new();
    if let Location::Registry(reference) = place
        && reference.registry().starts_with("127.0.0.1:")
    {
        without_tls.push(reference.registry().to_owned());
        config.locals.push(Local::new(&without_tls, &["127.0.0.0/8".parse()?])?);
    }
    let client = Client::new(Connector::new(config)?).without_tls(&without_tls);
    Ok(match std::env::var_os("DOCKER_CONFIG") {
        Some(folder) => client.credentials(Credentials::docker(Path::new(&folder), std::env::var_os("PATH"))?),
        None => client,
    })
}
