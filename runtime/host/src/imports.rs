//! What a component asks for, read before it is compiled.
//!
//! An import is a wish. Each must be in the table here, or the component is refused by the import's name; each interface
//! says what it allows and which kind of grant it needs. Only the outermost level of the component is read: what lies
//! deeper can reach nothing but what the outermost level was given.

use crate::LoadError;
use remit_abi::{GrantKind, limits::COMPONENT_BYTES_MAX};
use std::{fs::File, io::Read, path::Path};
use wasmparser::{Chunk, ComponentExternalKind, ComponentTypeRef, Parser, Payload, TypeBounds};

/// Imports and exports of one component: an agent has some 20, a Python agent 40.
const NAMES_MAX: usize = 1024;

/// Names that one message lists.
const NAMES_SHOWN_MAX: usize = 16;

/// Characters of a component's name that a message shows.
const NAME_SHOWN_CHARACTERS_MAX: usize = 128;

/// What is linked because standard libraries import it, and gives nothing.
const UNARMED: &str = "nothing: linked without authority";
const UNARMED_COMMAND: &str = "nothing: linked without authority, there are no arguments and no environment";
const UNARMED_TERMINAL: &str = "nothing: linked without authority, there is no terminal";
const UNARMED_FOLDERS: &str = "nothing: linked without authority, there are no folders";
const UNARMED_SOCKETS: &str = "nothing: linked without authority, every socket and every name is denied";

/// An interface that an agent can import.
#[derive(Debug, PartialEq, Eq)]
struct Interface {
    /// Package and interface.
    name: &'static str,
    /// Major and minor version: any patch of it fits (semver; the WIT of a later patch only adds).
    track: &'static str,
    /// What it lets an agent do.
    allows: &'static str,
    /// The kind of grant without which it is not linked.
    needs: Option<&'static str>,
}

const INTERFACES: &[Interface] = &[
    base("remit:kernel/types", "0.1", "nothing: shared types"),
    base("remit:kernel/value", "0.1", "hold data, read or unread"),
    base("remit:kernel/capability", "0.1", "see, narrow and give up the grants it was given"),
    base("remit:kernel/budget", "0.1", "see and divide what is left of its budget"),
    granted("remit:kernel/llm", "0.1", "run the models it was granted", GrantKind::Model),
    base("remit:kernel/process", "0.1", "know its own name and hear signals"),
    granted(
        "remit:kernel/children",
        "0.1",
        "start the agents it was granted, out of its own budget",
        GrantKind::Process,
    ),
    base("remit:kernel/mailbox", "0.1", "receive messages, and send them to whom it was granted"),
    base("remit:kernel/alarm", "0.1", "set alarms that outlive a restart"),
    granted("remit:kernel/human", "0.1", "ask and tell the people it was granted", GrantKind::Person),
    granted("remit:kernel/tool", "0.1", "have the tools it was granted act outside", GrantKind::Tool),
    granted("remit:kernel/memory", "0.1", "remember and look up in the stores it was granted", GrantKind::Memory),
    granted("remit:kernel/files", "0.1", "read files in the folders it was granted", GrantKind::File),
    granted("remit:kernel/context", "0.1", "talk to the models it was granted, its windows paged", GrantKind::Model),
    base("remit:kernel/task", "0.1", "show its answer and its progress to whoever started it"),
    base("remit:kernel/checkpoint", "0.1", "keep a state to go on from"),
    base("remit:kernel/trace", "0.1", "write log lines"),
    base("wasi:io/poll", "0.2", "wait for several things at once"),
    base("wasi:clocks/monotonic-clock", "0.2", "measure time and set timers"),
    base("wasi:clocks/wall-clock", "0.2", "see date and time"),
    base("wasi:random/random", "0.2", "draw random bytes"),
    base("wasi:random/insecure", "0.2", "draw random bytes"),
    base("wasi:random/insecure-seed", "0.2", "draw a random seed"),
    base("wasi:io/error", "0.2", UNARMED),
    base("wasi:io/streams", "0.2", "print lines, which go to its log"),
    base("wasi:cli/environment", "0.2", UNARMED_COMMAND),
    base("wasi:cli/exit", "0.2", "end itself, which counts as a fault"),
    base("wasi:cli/stdin", "0.2", "nothing: linked without authority, its input is at its end"),
    base("wasi:cli/stdout", "0.2", "print lines, which go to its log"),
    base("wasi:cli/stderr", "0.2", "print lines, which go to its log"),
    base("wasi:cli/terminal-input", "0.2", UNARMED_TERMINAL),
    base("wasi:cli/terminal-output", "0.2", UNARMED_TERMINAL),
    base("wasi:cli/terminal-stdin", "0.2", UNARMED_TERMINAL),
    base("wasi:cli/terminal-stdout", "0.2", UNARMED_TERMINAL),
    base("wasi:cli/terminal-stderr", "0.2", UNARMED_TERMINAL),
    base("wasi:filesystem/types", "0.2", UNARMED_FOLDERS),
    base("wasi:filesystem/preopens", "0.2", UNARMED_FOLDERS),
    base("wasi:sockets/network", "0.2", UNARMED_SOCKETS),
    base("wasi:sockets/instance-network", "0.2", UNARMED_SOCKETS),
    base("wasi:sockets/ip-name-lookup", "0.2", UNARMED_SOCKETS),
    base("wasi:sockets/tcp", "0.2", UNARMED_SOCKETS),
    base("wasi:sockets/tcp-create-socket", "0.2", UNARMED_SOCKETS),
    base("wasi:sockets/udp", "0.2", UNARMED_SOCKETS),
    base("wasi:sockets/udp-create-socket", "0.2", UNARMED_SOCKETS),
];

const fn base(name: &'static str, track: &'static str, allows: &'static str) -> Interface {
    Interface { name, track, allows, needs: None }
}

const fn granted(name: &'static str, track: &'static str, allows: &'static str, kind: GrantKind) -> Interface {
    Interface { name, track, allows, needs: Some(kind.name()) }
}

/// What a component is and asks for, without running or compiling any of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// Of the component.
    pub size_bytes: u64,
    /// Everything that it imports, in its own order.
    pub imports: Vec<Import>,
}

/// One import of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// As the component writes it, fit to be printed.
    pub name: String,
    /// What this host makes of it.
    pub standing: Standing,
}

/// What becomes of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Every agent has it.
    Base {
        /// What it lets the agent do.
        allows: &'static str,
    },
    /// Linked where a grant of the kind was given.
    Granted {
        /// What it lets the agent do.
        allows: &'static str,
        /// The kind of grant.
        kind: &'static str,
    },
    /// No interface of this host, or another version of one: the agent is not loaded.
    Unknown,
}

/// Reads a component's size, digest and imports.
///
/// # Errors
/// [`LoadError`] where it is no component, is damaged, too large, or has no `run`. Imports that nobody can have are no
/// error here: they are listed as [`Standing::Unknown`].
pub fn inspect(bytes: &[u8]) -> Result<Inspection, LoadError> {
    check_size(bytes.len() as u64, COMPONENT_BYTES_MAX)?;
    Ok(Inspection {
        digest: crate::artifact::digest(bytes),
        size_bytes: bytes.len() as u64,
        imports: read_imports(bytes)?,
    })
}

impl Inspection {
    /// Whether a host would link it for these kinds of grants.
    ///
    /// # Errors
    /// [`LoadError::UnknownImports`], [`LoadError::Ungranted`].
    pub fn admit(&self, granted_kinds: &[&str]) -> Result<(), LoadError> {
        check(&self.imports, granted_kinds)
    }
}

/// Reads a component's file, and no more of it than a component may have.
///
/// # Errors
/// [`LoadError::Read`], [`LoadError::TooLarge`].
pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::Read { path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    check_size(file.metadata().map_err(failed)?.len(), limit)?;
    let mut bytes = Vec::new();
    // A file that grows meanwhile, or a pipe, is not read beyond the limit either.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    check_size(bytes.len() as u64, limit)?;
    Ok(bytes)
}

/// As [`inspect`], from a file.
///
/// # Errors
/// As [`inspect`], and [`LoadError::Read`].
pub fn inspect_file(path: &Path) -> Result<Inspection, LoadError> {
    inspect(&read_file(path, COMPONENT_BYTES_MAX)?)
}

pub(crate) fn check_size(size: u64, limit: u64) -> Result<(), LoadError> {
    if size > limit { Err(LoadError::TooLarge { size, limit }) } else { Ok(()) }
}

/// The imports of a component that exports `run`.
pub(crate) fn read_imports(bytes: &[u8]) -> Result<Vec<Import>, LoadError> {
    if Parser::is_core_wasm(bytes) {
        return Err(LoadError::CoreModule);
    }
    if !Parser::is_component(bytes) {
        return Err(LoadError::NotWasm(not_wasm(bytes)));
    }
    let names = read_names(bytes).map_err(|reason| LoadError::Malformed(clean(&reason, 256)))?;
    if names.imports.len() + names.exports.len() > NAMES_MAX {
        return Err(LoadError::Malformed(format!("it has more than {NAMES_MAX} imports and exports")));
    }
    if !names.exports.contains(&("run", ComponentExternalKind::Func)) {
        let exports = names.exports.iter().map(|(name, _)| shown(name)).collect();
        return Err(LoadError::OtherWorld { exports: listed(exports) });
    }
    Ok(names.imports.into_iter().map(|name| Import { name: shown(name), standing: standing(name) }).collect())
}

/// Lets through what is known and granted.
pub(crate) fn check(imports: &[Import], granted_kinds: &[&str]) -> Result<(), LoadError> {
    let unknown: Vec<String> = imports
        .iter()
        .filter(|import| import.standing == Standing::Unknown)
        .map(|import| refused(&import.name))
        .collect();
    if !unknown.is_empty() {
        return Err(LoadError::UnknownImports(unknown));
    }
    let missing = |import: &Import| match import.standing {
        Standing::Granted { kind, .. } if !granted_kinds.contains(&kind) => Some(kind),
        _ => None,
    };
    let Some(kind) = imports.iter().find_map(missing) else { return Ok(()) };
    let interfaces = imports.iter().filter(|import| missing(import) == Some(kind)).map(|import| import.name.clone());
    Err(LoadError::Ungranted { interface: listed(interfaces.collect()), kind })
}

struct Names<'a> {
    imports: Vec<&'a str>,
    exports: Vec<(&'a str, ComponentExternalKind)>,
}

/// The names at the outermost level. Nested modules and components are stepped over.
fn read_names(bytes: &[u8]) -> Result<Names<'_>, String> {
    let mut names = Names { imports: Vec::new(), exports: Vec::new() };
    let mut parser = Parser::new(0);
    let mut rest = bytes;
    loop {
        let Chunk::Parsed { mut consumed, payload } = parser.parse(rest, true).map_err(damage)? else {
            return Err("it ends too early".into());
        };
        match payload {
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import.map_err(damage)?;
                    // A second name for a type that is known already, as the world's own `use` makes it: gives nothing.
                    if !matches!(import.ty, ComponentTypeRef::Type(TypeBounds::Eq(_))) {
                        names.imports.push(import.name.name);
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export.map_err(damage)?;
                    names.exports.push((export.name.name, export.kind));
                }
            }
            Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } => {
                consumed += unchecked_range.len();
            }
            Payload::End(_) => return Ok(names),
            _ => {}
        }
        if names.imports.len() + names.exports.len() > NAMES_MAX {
            return Ok(names);
        }
        rest = rest.get(consumed..).ok_or("it ends too early")?;
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn damage(error: wasmparser::BinaryReaderError) -> String {
    error.to_string()
}

fn standing(import: &str) -> Standing {
    let Some((name, version)) = import.split_once('@') else { return Standing::Unknown };
    let fits = |interface: &&Interface| {
        interface.name == name
            && version.strip_prefix(interface.track).and_then(|rest| rest.strip_prefix('.')).is_some_and(is_patch)
    };
    match INTERFACES.iter().find(fits) {
        Some(Interface { allows, needs: None, .. }) => Standing::Base { allows },
        Some(Interface { allows, needs: Some(kind), .. }) => Standing::Granted { allows, kind },
        None => Standing::Unknown,
    }
}

/// The name of an import that is refused, with the version that the host has of it, if it has one.
fn refused(import: &str) -> String {
    let name = import.split_once('@').map(|(name, _)| name);
    match INTERFACES.iter().find(|interface| Some(interface.name) == name) {
        Some(Interface { track, .. }) => format!("{import} (this host has {track})"),
        None => import.to_owned(),
    }
}

/// A plain patch number: a pre-release promises no compatibility.
fn is_patch(text: &str) -> bool {
    !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn not_wasm(bytes: &[u8]) -> &'static str {
    let text = bytes.iter().take(64).find(|byte| !byte.is_ascii_whitespace());
    if bytes.is_empty() {
        "the file is empty"
    } else if bytes.starts_with(b"\0asm") {
        "it is WebAssembly of a version that this host does not know"
    } else if text == Some(&b'(') {
        "it is WebAssembly text; translate it first"
    } else {
        "it does not begin with WebAssembly's magic bytes"
    }
}

fn shown(name: &str) -> String {
    clean(name, NAME_SHOWN_CHARACTERS_MAX)
}

/// A text that may hold what a component chose, as one printable line of at most so many characters.
pub(crate) fn clean(text: &str, characters_max: usize) -> String {
    let printable = |character: char| if character.is_control() { ' ' } else { character };
    let mut line: String = text.chars().take(characters_max).map(printable).collect();
    if text.chars().nth(characters_max).is_some() {
        line.push('…');
    }
    line
}

/// "a, b, c and 3 more".
fn listed(names: Vec<String>) -> String {
    if names.is_empty() {
        return "nothing".into();
    }
    let more = names.len().saturating_sub(NAMES_SHOWN_MAX);
    let list = names.into_iter().take(NAMES_SHOWN_MAX).collect::<Vec<_>>().join(", ");
    if more == 0 { list } else { format!("{list} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_patch_of_a_known_track_fits_and_nothing_else() {
        for (name, known) in [
            ("wasi:io/poll@0.2.0", true),
            ("wasi:io/poll@0.2.99", true),
            ("wasi:io/poll@0.3.0", false),
            ("wasi:io/poll@0.20.0", false),
            ("wasi:io/poll@0.2.0-rc-2023", false),
            ("wasi:io/poll", false),
            ("wasi:io/streams@0.2.9", true),
            ("wasi:sockets/tcp@0.2.9", true),
            ("wasi:sockets/tcp@0.3.0", false),
            ("wasi:http/outgoing-handler@0.2.0", false),
            ("remit:kernel/llm@0.1.7", true),
            ("remit:kernel/llm@0.2.0", false),
            ("run", false),
        ] {
            assert_eq!(standing(name) != Standing::Unknown, known, "{name}");
        }
    }

    #[test]
    fn another_version_of_a_known_interface_is_refused_with_that_of_the_host() {
        assert_eq!(refused("remit:kernel/llm@0.2.0"), "remit:kernel/llm@0.2.0 (this host has 0.1)");
        assert_eq!(refused("wasi:http/types@0.2.0"), "wasi:http/types@0.2.0");
        assert_eq!(refused("run"), "run");
    }

    #[test]
    fn what_a_component_chose_is_printed_on_one_bounded_line() {
        assert_eq!(clean("a\n\u{1b}[31mb", 10), "a  [31mb");
        assert_eq!(clean("abcdef", 3), "abc…");
        assert_eq!(
            listed((0..18).map(|n| n.to_string()).collect()).split_once("15"),
            Some(("0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, ", " and 2 more"))
        );
    }
}
