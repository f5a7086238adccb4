//! `remit build`: an agent's source as its component, and its folder as one file.

use crate::exit::CommandError;
use clap::Args;
use remit_assembly::{
    Home,
    package::{Build as Made, Folder, Packed, Producer, Source, disk},
    revision,
};
use remit_kit::{Built, GuestCompiler, Project, VERSION};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// As large as a package's may be.
const SBOM_BYTES_MAX: u64 = 8 << 20;

/// Make one file of an agent's folder: of remit.toml, the component that it names, and the files below assets/. Where the folder holds a
/// Cargo.toml, the component is compiled before; a compiler that cannot do so yet is set up, where rustup is there.
///
/// The same folder makes the same bytes.
#[derive(Args)]
pub(crate) struct Build {
    /// The agent's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// What to write; NAME-VERSION.wasm in this folder without this
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The licence, as an SPDX expression such as `Apache-2.0 OR MIT`
    #[arg(long, value_name = "SPDX")]
    licence: Option<String>,
    /// Where its source lies
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// The revision that it was built from; git's commit of the folder without this
    #[arg(long, value_name = "COMMIT")]
    revision: Option<String>,
    /// What is in it: a CycloneDX document as JSON
    #[arg(long, value_name = "FILE")]
    sbom: Option<PathBuf>,
    /// Take the component as it is, and compile nothing
    #[arg(long)]
    no_compile: bool,
    /// Before, put the SDK of this program in the place of the project's
    #[arg(long, conflicts_with = "no_compile")]
    update_sdk: bool,
}

impl Build {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        if self.update_sdk {
            Project::open(&self.folder)?.update_sdk()?;
        }
        if !self.no_compile {
            compile_if_source(&self.folder)?;
        }
        let folder = Folder::read(&self.folder)?;
        let revision = self.revision.or_else(|| revision(&self.folder));
        let producers = vec![Producer { name: "remit".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }];
        let source = match (self.source, revision) {
            (url, Some(revision)) => Some(Source { url, revision }),
            (Some(_), None) => {
                let sentence = "--source needs a revision, and the folder is in no git repository: give --revision";
                return Err(CommandError::Usage(sentence.to_owned()));
            }
            (None, None) => None,
        };
        let sbom = self.sbom.as_deref().map(text).transpose()?;
        let bytes = folder.pack(Made { producers, source, licence: self.licence }, sbom.as_deref())?;
        let manifest = folder.manifest();
        let path = self.output.unwrap_or_else(|| PathBuf::from(format!("{}-{}.wasm", manifest.name, manifest.version)));
        disk::replace(&path, &bytes).map_err(|error| failed(&path, error))?;
        println!("{} {}: {} bytes in {}", manifest.name, manifest.version, bytes.len(), path.display());
        if let Ok(packed) = Packed::read(&bytes) {
            println!("sha256  {}", packed.digest());
            println!("assets  {} files", packed.assets().iter().count());
            let source = packed.build().and_then(|build| build.source.as_ref());
            println!("source  {}", source.map_or("not told", |source| &source.revision));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Compiles the agent of a folder, where its source is there. What takes time is said on standard error, and so is what cargo says.
pub(crate) fn compile_if_source(folder: &Path) -> Result<Option<Built>, CommandError> {
    if !Project::is_at(folder) {
        return Ok(None);
    }
    let project = Project::open(folder)?;
    if let Some(version) = project.sdk_version().filter(|version| version != VERSION) {
        eprintln!(
            "remit: the project has the SDK of {version}, and this is {VERSION}: `remit build --update-sdk` replaces it"
        );
    }
    let compiler = GuestCompiler::ensure(Home::find()?.folder(), |what| eprintln!("remit: {what}"))?;
    Ok(Some(project.build(&compiler)?))
}

fn text(path: &Path) -> Result<String, CommandError> {
    let bytes = disk::read(path, SBOM_BYTES_MAX).map_err(|error| failed(path, error))?;
    String::from_utf8(bytes).map_err(|error| failed(path, error))
}

fn failed(path: &Path, error: impl std::fmt::Display) -> CommandError {
    CommandError::Machine(format!("{}: {error}", path.display()))
}
