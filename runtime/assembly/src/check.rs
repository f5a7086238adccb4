//! What an agent could do, read from its package without running any of it.

use crate::node::StartError;
use remit_host::{LoadError, Standing};
use remit_package::Package;
use std::sync::Arc;

/// One import of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// As the component writes it.
    pub name: String,
    /// What it lets the agent do, in plain words.
    pub meaning: String,
}

/// What a package's component is and asks for.
#[derive(Clone, Debug)]
pub struct Report {
    /// The component's size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// All that it imports.
    pub imports: Vec<Import>,
    /// Why it would not be let in with all that its manifest asks for.
    pub refused: Option<Arc<LoadError>>,
}

/// Reads a package's component.
///
/// # Errors
/// [`StartError::Load`] where it is no component at all.
pub fn check(package: &Package) -> Result<Report, StartError> {
    let wanted: Vec<&str> = package.manifest.wants.iter().map(|want| want.kind.name()).collect();
    let inspection = remit_host::inspect(package.bytes())?;
    let imports = inspection.imports.iter().map(|import| Import {
        name: import.name.clone(),
        meaning: match import.standing {
            Standing::Base { allows } => allows.to_owned(),
            Standing::Granted { allows, kind } => format!("{allows}; needs a grant of kind {kind}"),
            Standing::Unknown => "nobody can have this here".to_owned(),
        },
    });
    Ok(Report {
        bytes: inspection.size_bytes,
        imports: imports.collect(),
        refused: inspection.admit(&wanted).err().map(Arc::new),
        sha256: inspection.digest,
    })
}
