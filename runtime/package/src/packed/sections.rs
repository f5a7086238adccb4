//! The outermost sections of a component, ours among them.

use super::{PACKAGE_BYTES_MAX, PackError};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeSet};
use wasmparser::{Chunk, ComponentTypeRef, Parser, Payload, TypeBounds};

/// What every section of ours is called first.
const PREFIX: &str = "remit:";

/// Imports and exports of one component: an agent has some 20, a Python agent 40.
const NAMES_MAX: usize = 1024;

/// The id of a custom section.
const CUSTOM: u8 = 0;

/// A section of ours. The order is that of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    Manifest,
    Assets,
    Build,
    Sbom,
}

impl Section {
    const ALL: [Self; 4] = [Self::Manifest, Self::Assets, Self::Build, Self::Sbom];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Manifest => "remit:manifest",
            Self::Assets => "remit:assets",
            Self::Build => "remit:build",
            Self::Sbom => "remit:sbom",
        }
    }
}

/// What a component takes from outside, and gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// Names of imports, sorted, each once.
    pub imports: BTreeSet<String>,
    /// Names of exports, sorted, each once.
    pub exports: BTreeSet<String>,
}

/// A component and what stands behind it.
#[derive(Debug)]
pub(super) struct Sections<'a> {
    pub(super) component: &'a [u8],
    pub(super) world: World,
    /// In their order, each once.
    pub(super) ours: Vec<(Section, &'a [u8])>,
}

impl<'a> Sections<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, PackError> {
        if bytes.len() as u64 > PACKAGE_BYTES_MAX {
            return Err(PackError::TooLarge { bytes: bytes.len() });
        }
        check_kind(bytes)?;
        let mut read = Self { component: bytes, world: World::default(), ours: Vec::new() };
        let mut parser = Parser::new(0);
        let mut rest = bytes;
        loop {
            let start = bytes.len() - rest.len();
            let Chunk::Parsed { mut consumed, payload } = parser.parse(rest, true).map_err(damage)? else {
                return Err(PackError::Damaged("it ends too early".to_owned()));
            };
            match payload {
                Payload::CustomSection(section) if section.name().starts_with(PREFIX) => {
                    if read.ours.is_empty() {
                        read.component = &bytes[..start];
                    }
                    read.add(section.name(), section.data())?;
                }
                Payload::End(_) => break,
                other if !read.ours.is_empty() => return Err(PackError::Misplaced(shown(&other))),
                Payload::ComponentImportSection(section) => {
                    for import in section {
                        let import = import.map_err(damage)?;
                        // A second name for a type that is known already gives nothing.
                        if !matches!(import.ty, ComponentTypeRef::Type(TypeBounds::Eq(_))) {
                            name(&mut read.world.imports, import.name.name)?;
                        }
                    }
                }
                Payload::ComponentExportSection(section) => {
                    for export in section {
                        name(&mut read.world.exports, export.map_err(damage)?.name.name)?;
                    }
                }
                Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } => {
                    consumed += unchecked_range.len();
                }
                _ => {}
            }
            rest = rest.get(consumed..).ok_or_else(|| PackError::Damaged("it ends too early".to_owned()))?;
        }
        let written: Vec<_> = read.ours.iter().map(|(section, content)| (*section, Cow::Borrowed(*content))).collect();
        let mut tail = Vec::new();
        append(&mut tail, &written);
        if tail != bytes[read.component.len()..] {
            return Err(PackError::NotCanonical);
        }
        Ok(read)
    }

    fn add(&mut self, name: &str, content: &'a [u8]) -> Result<(), PackError> {
        let Some(section) = Section::ALL.into_iter().find(|section| section.name() == name) else {
            return Err(PackError::Unknown(start(name)));
        };
        match self.ours.last() {
            _ if self.ours.iter().any(|(earlier, _)| *earlier == section) => {
                return Err(PackError::Twice(section.name()));
            }
            Some((last, _)) if *last > section => return Err(PackError::Misplaced(name.to_owned())),
            None if section != Section::Manifest => return Err(PackError::Misplaced(name.to_owned())),
            _ => {}
        }
        let (bytes, most) = (content.len(), section.bytes_max());
        if bytes as u64 > most {
            return Err(PackError::SectionTooLarge { section: section.name(), bytes, most });
        }
        self.ours.push((section, content));
        Ok(())
    }
}

/// What the first bytes say.
fn check_kind(bytes: &[u8]) -> Result<(), PackError> {
    if bytes.starts_with(b"\x7fELF") {
        return Err(PackError::Precompiled);
    }
    if Parser::is_core_wasm(bytes) {
        return Err(PackError::Module);
    }
    if Parser::is_component(bytes) { Ok(()) } else { Err(PackError::NotWasm) }
}

fn name(names: &mut BTreeSet<String>, name: &str) -> Result<(), PackError> {
    names.insert(name.to_owned());
    match names.len() {
        0..=NAMES_MAX => Ok(()),
        _ => Err(PackError::Damaged(format!("it has more than {NAMES_MAX} imports or exports"))),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn damage(error: wasmparser::BinaryReaderError) -> PackError {
    PackError::Damaged(error.to_string())
}

/// A section that stands where it must not.
fn shown(payload: &Payload<'_>) -> String {
    match payload {
        Payload::CustomSection(section) => start(section.name()),
        _ => "of the component".to_owned(),
    }
}

/// As much of a name as is repeated in a sentence about it.
fn start(name: &str) -> String {
    name.chars().take(64).collect()
}

/// Writes sections behind a component, each in its shortest form.
pub(super) fn append(bytes: &mut Vec<u8>, sections: &[(Section, Cow<'_, [u8]>)]) {
    for (section, content) in sections {
        let name = section.name();
        bytes.push(CUSTOM);
        number(bytes, length_of(name.len()) + name.len() + content.len());
        number(bytes, name.len());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(content);
    }
}

/// A number as LEB128: seven bits a byte, the lowest first.
fn number(bytes: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Bytes that a number has as LEB128.
fn length_of(number_: usize) -> usize {
    let mut bytes = Vec::new();
    number(&mut bytes, number_);
    bytes.len()
}
