//! From a core module, or from text, to a component.

use crate::data_folder::write_file;
use anyhow::{Context as _, Result};
use std::{fs, path::Path};
use wit_component::ComponentEncoder;

/// The core module `module` as the component `place`; a place that holds this component already is not touched.
///
/// # Errors
///
/// The module does not follow the WIT world that it carries, or carries none; or a file cannot be read or written.
pub(crate) fn make(module: &Path, place: &Path) -> Result<()> {
    let bytes = fs::read(module).with_context(|| format!("cannot read the module {}", module.display()))?;
    let component = encode(&bytes).with_context(|| {
        format!(
            "{} cannot be made a component: does it export what `#[remit::agent]` declares, and import nothing else?",
            module.display()
        )
    })?;
    write_file(place, &component).map(drop)
}

/// The module or component that is written as text in `source`, as the file `place`, right or wrong as it may be.
///
/// # Errors
///
/// The text is not WebAssembly's, or a file cannot be written.
pub(crate) fn assemble(source: &Path, place: &Path) -> Result<()> {
    let binary = wat::parse_file(source).with_context(|| format!("{} is no WebAssembly text", source.display()))?;
    write_file(place, &binary).map(drop)
}

fn encode(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(module)?.encode()
}

#[cfg(test)]
mod unit_tests {
    use super::encode;

    #[test]
    fn what_is_no_module_is_refused() {
        assert!(encode(b"").is_err());
        assert!(encode(b"\0asm\x0d\0\x01\0").is_err(), "a component is no module");
    }
}
