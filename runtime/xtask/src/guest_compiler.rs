//! The guest compiler: a rustc that has `wasm32-unknown-unknown`.
//!
//! | way | what it takes | where its state is |
//! | --- | --- | --- |
//! | the host's toolchain has the target | nothing | – |
//! | rustup adds the target to it | rustup and its server | in rustup's toolchain |
//! | Debian's rustc, unpacked | apt and an archive, no root; two minutes to build std | `<data>/toolchain/debian` |
//!
//! The first that works is taken; what was unpacked before comes ahead of asking rustup's server. Agents are built by
//! the host's cargo with this rustc, so its release may differ from the host's.

use crate::{
    command,
    data_folder::{DataFolder, beside, remove_folder, replace_folder, write_file},
    debian::{self, Archive, Selection},
    guest_std,
    host_rustc::{GUEST_TARGET, HostRustc, major_minor},
    progress::{self, Step},
};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const NAME: &str = "guest compiler";

/// rustup fetches about 25 MB: this is a slow line; with none it fails by itself in seconds.
const RUSTUP_TIME_MAX: Duration = Duration::from_secs(180);

/// The packages that carry a compiler and its source; the first whose release is new enough is taken.
const DEBIAN_COMPILERS: &[(&str, &str)] = &[("rustc-web", "rust-web-src"), ("rustc", "rust-src")];

/// What no guest needs, and three quarters of the source's size.
const LEFT_PACKED: &[&str] =
    &["./usr/share", "./usr/src/*/compiler", "./usr/src/*/src", "./usr/bin/rustdoc", "./usr/libexec"];

/// Raised when what is unpacked or built changes, so that older results are made anew.
const RECIPE: u32 = 1;

/// A rustc that builds guests, and how to call it.
pub(crate) struct GuestCompiler {
    /// For people: release and origin.
    pub(crate) description: String,
    /// Equal text, equal output for equal source.
    pub(crate) identity: String,
    /// A folder whose name the compiler puts into what it builds, where rustup has installed std's source.
    pub(crate) std_source: Option<PathBuf>,
    /// None: the host's.
    rustc: Option<PathBuf>,
    /// None: the compiler's own choice.
    linker: Option<PathBuf>,
}

/// Which ways the user admits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ways {
    Any,
    Host,
    Debian,
}

impl GuestCompiler {
    /// Makes a cargo or rustc command use this compiler for the guests' target.
    pub(crate) fn apply(&self, command: &mut Command) {
        if let Some(rustc) = &self.rustc {
            command.env("RUSTC", rustc);
        }
        if let Some(linker) = &self.linker {
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
    }

    /// What is here already; changes nothing.
    ///
    /// # Errors
    ///
    /// The host's rustc does not run, or `REMIT_GUEST_COMPILER` is unknown.
    pub(crate) fn find(data: &DataFolder) -> Result<Option<Self>> {
        let ways = Ways::from_environment()?;
        let host = HostRustc::find()?;
        if ways != Ways::Debian && host.has_guest_target() {
            return Ok(Some(GuestCompiler::of_host(&host)));
        }
        if ways == Ways::Host {
            return Ok(None);
        }
        Ok(GuestCompiler::unpacked(&place(data), &host))
    }

    /// Takes what is here, or gets it.
    ///
    /// # Errors
    ///
    /// No way works; the sentence says which ways there are.
    pub(crate) fn ensure(data: &DataFolder, rust_version_min: &str) -> Result<Self> {
        let _lock = data.lock()?;
        if let Some(found) = GuestCompiler::find(data)? {
            progress::already(NAME, &found.description);
            return Ok(found);
        }
        let ways = Ways::from_environment()?;
        let mut host = HostRustc::find()?;
        let mut tried = Vec::new();
        if ways != Ways::Debian {
            match add_with_rustup() {
                Ok(()) => host = HostRustc::find()?,
                Err(error) => tried.push(format!("{error:#}")),
            }
            if host.has_guest_target() {
                return Ok(GuestCompiler::of_host(&host));
            }
        }
        if ways != Ways::Host {
            match unpack_debian(data, &host, rust_version_min) {
                Ok(compiler) => return Ok(compiler),
                Err(error) => tried.push(format!("{error:#}")),
            }
        }
        bail!(
            "no rustc here builds for {GUEST_TARGET}: run `rustup target add {GUEST_TARGET}`, or install your \
             distribution's package (Fedora: rust-std-static-{GUEST_TARGET}, Arch: rust-wasm), and run this again; \
             what was tried:\n- {}",
            tried.join("\n- ")
        )
    }

    fn of_host(host: &HostRustc) -> Self {
        GuestCompiler {
            description: format!("rustc {}, which has {GUEST_TARGET}", host.release),
            identity: host.verbose.clone(),
            std_source: Some(host.std_source()),
            rustc: None,
            linker: None,
        }
    }

    /// None: it is not there, or an older recipe made it.
    fn unpacked(folder: &Path, host: &HostRustc) -> Option<Self> {
        let stamp = fs::read_to_string(folder.join("stamp")).ok()?;
        let release = stamp.strip_prefix(&format!("recipe {RECIPE}\nrustc "))?.lines().next()?.to_owned();
        Some(GuestCompiler {
            description: format!("rustc {release} from Debian's packages, in {}", folder.display()),
            identity: stamp,
            std_source: None,
            rustc: Some(folder.join("bin/rustc")),
            linker: Some(linker(folder, host)?),
        })
    }
}

impl Ways {
    fn from_environment() -> Result<Self> {
        match std::env::var("REMIT_GUEST_COMPILER").as_deref() {
            Err(_) | Ok("") => Ok(Ways::Any),
            Ok("host") => Ok(Ways::Host),
            Ok("debian") => Ok(Ways::Debian),
            Ok(other) => bail!("REMIT_GUEST_COMPILER is {other:?}: set it to `host` or `debian`, or unset it"),
        }
    }
}

fn place(data: &DataFolder) -> PathBuf {
    data.join("toolchain/debian")
}

/// The host's rust-lld while it is there, else the one that was unpacked.
fn linker(folder: &Path, host: &HostRustc) -> Option<PathBuf> {
    host.rust_lld().or_else(|| {
        let versions =
            fs::read_dir(folder.join("usr/lib")).ok()?.flatten().map(|entry| entry.path().join("bin/wasm-ld"));
        versions.into_iter().find(|file| file.is_file())
    })
}

fn add_with_rustup() -> Result<()> {
    if command::find_in_path("rustup").is_none() {
        bail!("rustup is not installed");
    }
    let step = Step::start(NAME, &format!("rustup adds {GUEST_TARGET} to this toolchain"));
    let mut rustup = command::new("rustup");
    rustup.args(["target", "add", GUEST_TARGET]).env("RUST_BACKTRACE", "0");
    let added = command::output_within(&mut rustup, &format!("`rustup target add {GUEST_TARGET}`"), RUSTUP_TIME_MAX);
    step.done(if added.is_ok() { "rustup added it" } else { "rustup could not; trying the next way" });
    added.map(drop)
}

/// Puts a compiler together from Debian's packages. The caller holds the data folder's lock.
fn unpack_debian(data: &DataFolder, host: &HostRustc, rust_version_min: &str) -> Result<GuestCompiler> {
    let place = place(data);
    let partial = beside(&place, "partial");
    let Some(mut archive) = Archive::open(&partial) else {
        bail!("Debian's packages: this system has no apt and dpkg")
    };
    let root = archive.root();
    let step = Step::start(NAME, &format!("putting one together from Debian's packages in {}", place.display()));
    if GuestCompiler::unpacked(&root, host).is_none() {
        let (compiler, source) = choose(&mut archive, rust_version_min, &step)?;
        let lld = match host.rust_lld() {
            Some(_) => None,
            None => Some(lld_package(&archive, compiler)?),
        };
        let roots: Vec<&str> = [compiler, source].into_iter().chain(lld.as_deref()).collect();
        let selection = Selection { roots: &roots, follow: &["libstd-rust", "libllvm"], leave: LEFT_PACKED };
        let packages = archive.assemble(&selection, &step)?;
        debian::write_launcher(&root, "rustc")?;
        let linker = linker(&root, host).context("Debian's packages hold no linker for WebAssembly")?;
        let fingerprint = guest_std::build(&root, &partial.join("std-build"), &linker, &step)?;
        let rustc = root.join("bin/rustc");
        let version =
            command::output(command::new(&rustc).arg("--version"), "asking the unpacked rustc for its version")?;
        let list: String = packages.iter().map(debian::Package::title).collect();
        write_file(
            &root.join("stamp"),
            format!("recipe {RECIPE}\n{version}{list}std {fingerprint:016x}\n").as_bytes(),
        )?;
    }
    // From the stamp on nothing is made any more; an interrupted run goes on here.
    remove_folder(&root.join("usr/src"))?;
    replace_folder(&root, &place)?;
    remove_folder(&partial)?;
    let compiler = GuestCompiler::unpacked(&place, host)
        .with_context(|| format!("the compiler in {} is gone again; run this again", place.display()))?;
    step.done(&compiler.description);
    Ok(compiler)
}

/// The newest compiler that the archive has, with the package of its source.
fn choose(archive: &mut Archive, rust_version_min: &str, step: &Step) -> Result<(&'static str, &'static str)> {
    let minimum = major_minor(rust_version_min)?;
    let mut seen = Vec::new();
    for fresh_lists in [false, true] {
        if fresh_lists {
            archive.update_lists(step)?;
        }
        for &(compiler, source) in DEBIAN_COMPILERS {
            let Some(package) = archive.package(compiler)? else { continue };
            if major_minor(package.version())? >= minimum {
                return Ok((compiler, source));
            }
            seen.push(format!("{compiler} {}", package.version()));
        }
    }
    seen.sort();
    seen.dedup();
    let seen = if seen.is_empty() { "none".to_owned() } else { seen.join(", ") };
    bail!("Debian's packages: the agents need rustc {rust_version_min} or newer, and the archive has {seen}")
}

/// The linker that belongs to the LLVM of the compiler: `lld-22` for `libllvm22`.
fn lld_package(archive: &Archive, compiler: &str) -> Result<String> {
    let llvm = archive.find_dependency(compiler, &["libstd-rust"], "libllvm")?;
    let Some(llvm) = llvm else { bail!("Debian's packages: {compiler} depends on no LLVM") };
    Ok(llvm.replace("libllvm", "lld-"))
}
