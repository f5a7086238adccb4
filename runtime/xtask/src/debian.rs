//! Debian's packages, unpacked into a folder of our own: no root, nothing installed, nothing configured.
//!
//! Principles:
//! - Names that carry a version (`libllvm22`, `libstd-rust-web-1.96`) come from the packages' own dependencies.
//! - apt checks what it downloads against the archive's signed lists. Lists that are missing or too old are fetched into
//!   a folder of our own; the system's stay as they are.
//! - A package that is downloaded or unpacked is not downloaded or unpacked again after an interruption, as long as the
//!   archive still offers the same versions.

use crate::{
    command,
    data_folder::{make_folder, remove_folder},
    progress::Step,
};
use anyhow::{Context as _, Result, bail};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// How deep the search for missing shared libraries goes into the dependencies; three levels were the most ever seen.
const LIBRARY_ROUNDS: usize = 5;

/// What every system with a C compiler has; replacing it below a running program would break it.
const NEVER_UNPACKED: &[&str] = &["libc6", "libc-dev", "libc6-dev", "libgcc-s1", "libstdc++6", "gcc", "binutils"];

/// What a package of the archive says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    name: String,
    version: String,
    /// The first alternative of each dependency.
    depends: Vec<String>,
    bytes: u64,
}

impl Package {
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// What a stamp records: name and version.
    pub(crate) fn title(&self) -> String {
        format!("{} {}\n", self.name, self.version)
    }
}

/// What to unpack.
pub(crate) struct Selection<'a> {
    pub(crate) roots: &'a [&'a str],
    /// Dependencies whose name starts so are unpacked too; others only when a shared library is missing.
    pub(crate) follow: &'a [&'a str],
    /// Patterns of paths that are left packed, as tar understands them.
    pub(crate) leave: &'a [&'a str],
}

/// The archive as apt on this machine knows it, and the folder in which a tree is put together.
pub(crate) struct Archive {
    folder: PathBuf,
    private_lists: bool,
}

impl Archive {
    /// None where there is no apt and dpkg.
    pub(crate) fn open(folder: &Path) -> Option<Self> {
        let tools = ["apt-get", "apt-cache", "dpkg-deb", "tar", "ldd"];
        let complete = tools.iter().all(|tool| command::find_in_path(tool).is_some());
        complete.then(|| Archive { folder: folder.to_owned(), private_lists: false })
    }

    /// What the archive offers under this name; None: nothing.
    ///
    /// # Errors
    ///
    /// apt cannot be asked.
    pub(crate) fn package(&self, name: &str) -> Result<Option<Package>> {
        let mut ask = self.apt("apt-cache");
        ask.args(["show", "--no-all-versions", name]).stdin(Stdio::null());
        // An unknown name is a failure for apt-cache, and an answer for us.
        let answer = ask.output().context("asking for a Debian package failed: `apt-cache` could not be started")?;
        Ok(parse_package(&String::from_utf8_lossy(&answer.stdout)))
    }

    /// The first package whose name starts with `wanted` among the dependencies of `name` and of those dependencies
    /// whose name starts with one of `follow`.
    ///
    /// # Errors
    ///
    /// apt cannot be asked.
    pub(crate) fn find_dependency(&self, name: &str, follow: &[&str], wanted: &str) -> Result<Option<String>> {
        let packages = self.closure(&[name], follow)?;
        let mut dependencies = packages.into_iter().flat_map(|package| package.depends);
        Ok(dependencies.find(|dependency| dependency.starts_with(wanted)))
    }

    /// Fetches the archive's lists into a folder of our own and uses these from now on.
    ///
    /// # Errors
    ///
    /// The archive cannot be reached.
    pub(crate) fn update_lists(&mut self, step: &Step) -> Result<()> {
        if self.private_lists {
            return Ok(());
        }
        step.note("fetching the archive's package lists");
        self.private_lists = true;
        make_folder(&self.folder.join("lists/partial"))?;
        make_folder(&self.folder.join("cache/archives/partial"))?;
        command::output(self.apt("apt-get").arg("update"), "fetching Debian's package lists").map(drop)
    }

    /// Puts the tree of these packages together in `<folder>/root` and gives back what it consists of.
    ///
    /// # Errors
    ///
    /// A package does not exist or cannot be fetched, or the disk is full.
    pub(crate) fn assemble(&mut self, selection: &Selection<'_>, step: &Step) -> Result<Vec<Package>> {
        if self.package(selection.roots[0])?.is_none() {
            self.update_lists(step)?;
        }
        let mut packages = self.closure(selection.roots, selection.follow)?;
        self.keep_only(&packages, selection.leave)?;
        for _ in 0..LIBRARY_ROUNDS {
            for (index, package) in packages.iter().enumerate() {
                let position = format!("{}/{}", index + 1, packages.len());
                if let Err(error) = self.fetch(package, &position, step) {
                    if self.private_lists {
                        return Err(error);
                    }
                    // Old lists name versions that the archive has replaced since.
                    self.update_lists(step)?;
                    return self.assemble(selection, step);
                }
                self.unpack(package, selection.leave, &position, step)?;
            }
            if missing_libraries(&self.root())?.is_empty() {
                return Ok(packages);
            }
            let present: BTreeSet<String> = packages.iter().map(|package| package.name.clone()).collect();
            let next: BTreeSet<String> = packages.iter().flat_map(|package| package.depends.iter().cloned()).collect();
            for name in next.difference(&present).filter(|name| !NEVER_UNPACKED.contains(&name.as_str())) {
                packages.extend(self.package(name)?);
            }
        }
        let missing = missing_libraries(&self.root())?;
        if missing.is_empty() {
            return Ok(packages);
        }
        bail!("Debian's packages lack the shared libraries {}; install the packages that hold them", missing.join(", "))
    }

    /// Where the packages' files are.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    fn closure(&self, roots: &[&str], follow: &[&str]) -> Result<Vec<Package>> {
        let mut names: Vec<String> = roots.iter().map(|&name| name.to_owned()).collect();
        let mut packages: Vec<Package> = Vec::new();
        while let Some(name) = names.pop() {
            if packages.iter().any(|package| package.name == name) {
                continue;
            }
            let Some(package) = self.package(&name)? else {
                bail!(
                    "Debian's archive as apt knows it here has no package {name}; add the archive that has it to apt's sources"
                )
            };
            let followed = |name: &&String| follow.iter().any(|prefix| name.starts_with(prefix));
            names.extend(package.depends.iter().filter(followed).cloned());
            packages.push(package);
        }
        packages.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(packages)
    }

    /// Starts afresh when an interrupted run had put other versions or other parts together.
    fn keep_only(&self, packages: &[Package], leave: &[&str]) -> Result<()> {
        let titles = packages.iter().map(Package::title);
        let plan: String = titles.chain(leave.iter().map(|pattern| format!("without {pattern}\n"))).collect();
        let plan_file = self.folder.join("plan");
        if fs::read_to_string(&plan_file).is_ok_and(|present| present == plan) {
            return Ok(());
        }
        for name in ["root", "unpacked", "std-build"] {
            remove_folder(&self.folder.join(name))?;
        }
        make_folder(&self.folder)?;
        fs::write(&plan_file, plan).with_context(|| format!("cannot write {}", plan_file.display()))
    }

    fn package_file(&self, package: &Package) -> PathBuf {
        self.folder.join("packages").join(format!("{}_{}.deb", package.name, package.version))
    }

    fn fetch(&self, package: &Package, position: &str, step: &Step) -> Result<()> {
        let place = self.package_file(package);
        if place.is_file() {
            return Ok(());
        }
        step.note(&format!("downloading {position}: {} ({} MB)", package.name, package.bytes.div_ceil(1_000_000)));
        let partial = self.folder.join("packages/partial");
        remove_folder(&partial)?;
        make_folder(&partial)?;
        let purpose = format!("downloading the Debian package {}", package.name);
        let exact = format!("{}={}", package.name, package.version);
        command::output(self.apt("apt-get").args(["download", &exact]).current_dir(&partial), &purpose)?;
        let downloaded = fs::read_dir(&partial)
            .with_context(|| format!("cannot read {}", partial.display()))?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"));
        let Some(downloaded) = downloaded else { bail!("{purpose} failed: apt-get ended well but left no file") };
        fs::rename(&downloaded, &place).with_context(|| format!("cannot move a package to {}", place.display()))
    }

    fn unpack(&self, package: &Package, leave: &[&str], position: &str, step: &Step) -> Result<()> {
        let mark = self.folder.join("unpacked").join(&package.name);
        if mark.is_file() {
            return Ok(());
        }
        step.note(&format!("unpacking {position}: {}", package.name));
        make_folder(&self.root())?;
        make_folder(&self.folder.join("unpacked"))?;
        let purpose = format!("unpacking the Debian package {}", package.name);
        let mut packed = command::new("dpkg-deb")
            .arg("--fsys-tarfile")
            .arg(self.package_file(package))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{purpose} failed: `dpkg-deb` could not be started"))?;
        let mut tar = command::new("tar");
        tar.arg("-x").arg("-C").arg(self.root()).args(["--no-same-owner", "--anchored", "--no-wildcards-match-slash"]);
        tar.args(leave.iter().map(|pattern| format!("--exclude={pattern}")));
        if let Some(stream) = packed.stdout.take() {
            tar.stdin(stream);
        }
        let unpacked = tar.status().with_context(|| format!("{purpose} failed: `tar` could not be started"))?;
        drop(tar);
        let read = packed.wait().with_context(|| format!("{purpose} failed: cannot wait for `dpkg-deb`"))?;
        if !unpacked.success() || !read.success() {
            bail!("{purpose} failed: is the disk full? About 1.5 GB are needed in {}", self.folder.display());
        }
        fs::write(&mark, &package.version).with_context(|| format!("cannot write {}", mark.display()))
    }

    fn apt(&self, program: &str) -> Command {
        let mut apt = command::new(program);
        apt.env("LC_ALL", "C").args(["-q", "-o", "Acquire::Retries=3", "-o", "Acquire::http::Timeout=30"]);
        // The download user of apt cannot write into our folder; apt would only say so and go on.
        apt.args(["-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=1"]);
        if self.private_lists {
            apt.arg("-o").arg(option("Dir::State::Lists", &self.folder.join("lists")));
            apt.arg("-o").arg(option("Dir::Cache", &self.folder.join("cache")));
        }
        apt
    }
}

fn option(name: &str, folder: &Path) -> String {
    format!("{name}={}", folder.display())
}

/// The folders of the tree that hold shared libraries.
fn library_folders(root: &Path) -> Vec<PathBuf> {
    let tops = ["lib", "usr/lib"].map(|top| root.join(top));
    let below = tops.iter().flat_map(|top| fs::read_dir(top).into_iter().flatten().flatten()).map(|entry| entry.path());
    let mut folders: Vec<PathBuf> =
        below.chain(tops.iter().cloned()).filter(|folder| !shared_libraries(folder).is_empty()).collect();
    folders.sort();
    folders
}

/// The value of `LD_LIBRARY_PATH` for programs that use the tree's libraries, behind one that there is.
///
/// # Errors
///
/// The tree's path cannot be in such a value.
pub(crate) fn library_search(root: &Path, present: Option<&OsString>) -> Result<OsString> {
    let present = present.into_iter().flat_map(std::env::split_paths);
    let folders = present.chain(library_folders(root));
    std::env::join_paths(folders).context("the data folder's path holds a colon; set REMIT_HOME to another")
}

/// Where the tree has a shared library of this name, from its root.
pub(crate) fn library(root: &Path, name: &str) -> Option<PathBuf> {
    let mut files = library_folders(root).into_iter().map(|folder| folder.join(name));
    files.find(|file| file.is_file())?.strip_prefix(root).ok().map(Path::to_owned)
}

fn shared_libraries(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|path| path.is_file() && path.to_string_lossy().contains(".so")).collect()
}

/// The shared libraries that the tree's programs and libraries need and that neither it nor the system has.
fn missing_libraries(root: &Path) -> Result<Vec<String>> {
    let folders = library_folders(root);
    let search = library_search(root, None)?;
    let programs = fs::read_dir(root.join("usr/bin")).into_iter().flatten().flatten().map(|entry| entry.path());
    let files: Vec<PathBuf> = folders.iter().flat_map(|folder| shared_libraries(folder)).chain(programs).collect();
    // ldd fails for what is no dynamic program; its answer is in what it prints.
    let answer = command::new("ldd")
        .args(&files)
        .env("LD_LIBRARY_PATH", search)
        .env("LC_ALL", "C")
        .output()
        .context("looking for shared libraries failed: `ldd` could not be started")?;
    Ok(parse_missing(&String::from_utf8_lossy(&answer.stdout)))
}

/// Writes a script that runs a program of the tree with the tree's libraries, wherever the tree lies.
///
/// # Errors
///
/// The file cannot be written.
pub(crate) fn write_launcher(root: &Path, program: &str) -> Result<()> {
    let mut search = Vec::new();
    for folder in library_folders(root) {
        let relative = folder.strip_prefix(root).unwrap_or(&folder).to_string_lossy().into_owned();
        search.push(format!("$root/{relative}"));
    }
    let search = search.join(":");
    let script = format!(
        "#!/bin/sh\n# Runs the unpacked {program} with the libraries unpacked beside it.\nroot=${{0%/bin/*}}\n\
         LD_LIBRARY_PATH=\"{search}\" exec \"$root/usr/bin/{program}\" \"$@\"\n"
    );
    make_folder(&root.join("bin"))?;
    let place = root.join("bin").join(program);
    fs::write(&place, script).with_context(|| format!("cannot write {}", place.display()))?;
    make_executable(&place)
}

#[cfg(unix)]
fn make_executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", file.display()))
}

#[cfg(not(unix))]
fn make_executable(_file: &Path) -> Result<()> {
    Ok(())
}

/// Reads the first paragraph that `apt-cache show` prints.
fn parse_package(text: &str) -> Option<Package> {
    let paragraph = text.split("\n\n").next()?;
    let field =
        |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let depends = field("Depends").unwrap_or_default().split(',').filter_map(first_alternative);
    Some(Package {
        name: field("Package")?.to_owned(),
        version: field("Version")?.to_owned(),
        depends: depends.map(str::to_owned).collect(),
        bytes: field("Size").and_then(|size| size.parse().ok()).unwrap_or(0),
    })
}

/// `libc6-dev:any (>= 2.36) | libc-dev` is `libc6-dev`.
fn first_alternative(dependency: &str) -> Option<&str> {
    dependency.split(['|', '(', ':', '[']).next().map(str::trim).filter(|name| !name.is_empty())
}

/// The names in `ldd`'s lines of the form `libz3.so.4 => not found`.
fn parse_missing(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| line.trim().strip_suffix("=> not found"));
    names.map(|name| name.trim().to_owned()).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod unit_tests {
    use super::{Package, parse_missing, parse_package};

    #[test]
    fn what_apt_shows() {
        let text = "Package: rustc-web\nVersion: 1.96.0+dfsg1-1~deb12u2\nPre-Depends: dpkg\nDepends: libc6 (>= 2.34), \
                    libstd-rust-web-dev (= 1.96.0+dfsg1-1~deb12u2), gcc:any, libc6-dev | libc-dev\nSize: 4450500\n\
                    Description: a compiler\n Depends: not this\n\nPackage: other\nVersion: 1\n";
        let expected = Package {
            name: "rustc-web".to_owned(),
            version: "1.96.0+dfsg1-1~deb12u2".to_owned(),
            depends: ["libc6", "libstd-rust-web-dev", "gcc", "libc6-dev"].map(str::to_owned).to_vec(),
            bytes: 4_450_500,
        };
        assert_eq!(parse_package(text), Some(expected));
        assert_eq!(parse_package(""), None);
        let least = parse_package("Package: a\nVersion: 2\n").expect("a package");
        assert!(least.depends.is_empty());
    }

    #[test]
    fn what_ldd_misses() {
        let text = "/f/rustc:\n\tlinux-vdso.so.1 (0x0)\n\tlibz3.so.4 => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x0)\n\
                    /f/libLLVM.so:\n\tlibz3.so.4 => not found\n\tlibedit.so.2 => not found\n\tnot a dynamic executable\n";
        assert_eq!(parse_missing(text), ["libedit.so.2", "libz3.so.4"]);
    }
}
