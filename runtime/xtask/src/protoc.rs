//! `protoc`, the compiler of protocol buffers: the build script of a dependency (lance) calls it.
//!
//! | way | what it takes |
//! | --- | --- |
//! | `$PROTOC`, or one on PATH | nothing, and nothing is exported: a build outside of xtask sees the same |
//! | Debian's package, unpacked into `<data>/protoc/debian` | apt and an archive, no root |

use crate::{
    command,
    data_folder::{DataFolder, beside, remove_folder, replace_folder, write_file},
    debian::{self, Archive, Selection},
    progress::{self, Step},
};
use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;

const NAME: &str = "protoc";

/// A protoc that works.
pub(crate) struct Protoc {
    /// For people: where it comes from.
    pub(crate) description: String,
    /// What cargo's children need as `PROTOC`; None: they find it by themselves.
    pub(crate) exported: Option<PathBuf>,
}

impl Protoc {
    /// What is here already; changes nothing.
    pub(crate) fn find(data: &DataFolder) -> Option<Self> {
        if let Some(file) = std::env::var_os("PROTOC").filter(|value| !value.is_empty()) {
            let description = format!("{}, from $PROTOC", PathBuf::from(file).display());
            return Some(Protoc { description, exported: None });
        }
        if let Some(file) = command::find_in_path("protoc") {
            return Some(Protoc { description: file.display().to_string(), exported: None });
        }
        let place = place(data);
        let description = std::fs::read_to_string(place.join("stamp")).ok()?.trim_end().to_owned();
        Some(Protoc { description, exported: Some(place.join("bin/protoc")) })
    }

    /// Takes what is here, or gets it.
    ///
    /// # Errors
    ///
    /// No way works; the sentence says which ways there are.
    pub(crate) fn ensure(data: &DataFolder) -> Result<Self> {
        let _lock = data.lock()?;
        if let Some(found) = Protoc::find(data) {
            progress::already(NAME, &found.description);
            return Ok(found);
        }
        unpack_debian(data).context(
            "no protoc: install it (`apt install protobuf-compiler`, `dnf install protobuf-compiler protobuf-devel`, \
             `brew install protobuf`) or set PROTOC to one, and run this again",
        )
    }
}

fn place(data: &DataFolder) -> PathBuf {
    data.join("protoc/debian")
}

/// The caller holds the data folder's lock.
fn unpack_debian(data: &DataFolder) -> Result<Protoc> {
    let place = place(data);
    let partial = beside(&place, "partial");
    let Some(mut archive) = Archive::open(&partial) else { bail!("this system has no apt and dpkg to get it with") };
    let step = Step::start(NAME, &format!("unpacking Debian's package into {}", place.display()));
    // The development package has the well-known types, which protoc looks for in `../include`.
    let roots = ["protobuf-compiler", "libprotobuf-dev"];
    let selection = Selection { roots: &roots, follow: &["libproto"], leave: &["./usr/share", "./usr/lib/*/*.a"] };
    archive.assemble(&selection, &step)?;
    let root = archive.root();
    debian::write_launcher(&root, "protoc")?;
    let version =
        command::output(command::new(root.join("bin/protoc")).arg("--version"), "asking the unpacked protoc")?;
    write_file(&root.join("stamp"), format!("{} from Debian's packages", version.trim()).as_bytes())?;
    replace_folder(&root, &place)?;
    remove_folder(&partial)?;
    let Some(protoc) = Protoc::find(data) else { bail!("{} is gone again; run this again", place.display()) };
    step.done(&protoc.description);
    Ok(protoc)
}
