//! `remit push` and `remit pull`: packages to registries and from there.

use crate::{exit::CommandError, node::runtime};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use remit_assembly::{
    CarryProgress, Home, Location,
    carrying::{self, CarryError, Pulled},
    package::{Evidence, EvidenceError, disk},
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Send a package, and the signatures beside it, to a registry.
///
/// Logins are those of `docker login`. Registries that are not public ones over TLS are listed in registries.toml in the data folder.
#[derive(Args)]
pub(crate) struct Push {
    /// A file that `remit build` made, with FILE.dsse.json and FILE.sigstore.json beside it
    file: PathBuf,
    /// Where to: REGISTRY/NAME:TAG, or oci:FOLDER:TAG
    to: String,
}

/// Get a package, and what is said to be its signatures, into a file. Nothing is believed of it: see `remit verify`.
#[derive(Args)]
pub(crate) struct Pull {
    /// Where from: REGISTRY/NAME:TAG, REGISTRY/NAME@DIGEST, or oci:FOLDER:TAG
    from: String,
    /// What to write; NAME-VERSION.wasm in this folder without this
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Push {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let (home, to) = (Home::find()?, elsewhere(&self.to)?);
        let bar = Bar::new();
        let pushed = runtime(1)?.block_on(carrying::push(&home, &self.file, &to, &|moved| bar.show(moved)))?;
        bar.done();
        println!("{} is at {}", self.file.display(), self.to);
        println!("  sha256   {}", pushed.package.hex());
        pushed.manifest.iter().for_each(|digest| println!("  manifest {digest}"));
        if Evidence::read(&self.file).is_ok_and(|evidence| evidence.is_empty()) {
            println!("  unsigned: `remit sign` makes a signature, and pushing again sends it");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Pull {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let home = Home::find()?;
        let pulled = pull(&home, &elsewhere(&self.from)?)?;
        let manifest = &pulled.package.manifest;
        let path = self.output.unwrap_or_else(|| PathBuf::from(format!("{}-{}.wasm", manifest.name, manifest.version)));
        write(&path, pulled.package.bytes())?;
        println!("{} {} is in {}", manifest.name, manifest.version, path.display());
        println!("  from     {}", pulled.from);
        println!("  sha256   {}", pulled.package.digest());
        let evidence = pulled.evidence(&home.trust()?);
        let failed = |error: EvidenceError| CommandError::Machine(error.to_string());
        evidence.write(&path).map_err(failed)?;
        if evidence.is_empty() {
            println!("  unsigned: there was no signature with it");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Where a package is. What lies in this folder is meant before what a registry has.
pub(crate) fn place(text: &str) -> Result<Location, CommandError> {
    if Path::new(text).exists() {
        return Ok(Location::File(text.into()));
    }
    Ok(Location::parse(text).map_err(CarryError::from)?)
}

/// Gets a package, and shows how far that is.
pub(crate) fn pull(home: &Home, from: &Location) -> Result<Pulled, CommandError> {
    let bar = Bar::new();
    let pulled = runtime(1)?.block_on(carrying::pull(home, from, &|moved| bar.show(moved)))?;
    bar.done();
    Ok(pulled)
}

/// Where a package is, if that is no file.
fn elsewhere(text: &str) -> Result<Location, CommandError> {
    match Location::parse(text).map_err(CarryError::from)? {
        Location::File(_) => {
            Err(CommandError::Usage(format!("{text:?} is a file: write REGISTRY/NAME:TAG, or oci:FOLDER:TAG")))
        }
        place => Ok(place),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    disk::replace(path, bytes).map_err(|error| CommandError::Machine(format!("{}: {error}", path.display())))
}

/// How far it is, on standard error: a bar on a terminal, silence elsewhere.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        let template = "{bytes}/{total_bytes} {wide_bar} {bytes_per_sec}";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is fixed"));
        Self(bar)
    }

    fn show(&self, moved: CarryProgress) {
        self.0.set_length(moved.total);
        self.0.set_position(moved.done);
    }

    fn done(self) {
        self.0.finish_and_clear();
    }
}
