//! Our packages in a registry that others wrote, read and written by a tool that others wrote.

use crate::{
    build, command,
    data_folder::{DataFolder, beside, make_folder, remove_folder, replace_folder, write_file},
    debian::{self, Archive, Selection},
    environment::Environment,
    progress::{self, Step},
};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const NAME: &str = "suite registry";

/// How long a registry may take to listen: it starts in less than a second.
const START: Duration = Duration::from_secs(30);

/// Bytes of the larger package: more than is sent with one request.
const LARGE_BYTES: usize = 20 << 20;

/// A name and a password, with bcrypt's digest of it: one of the test vectors that come with the algorithm's reference (crypt_blowfish).
const USER: &str = "me";
const PASSWORD: &str = "U*U";
const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
/// Of `me:U*U`.
const BASE64: &str = "bWU6VSpV";

/// Runs all of it.
pub(super) fn run() -> Result<()> {
    let environment = Environment::open()?;
    let tree = ensure(&environment.data)?;
    progress::already(NAME, "building our own part");
    let mut cargo = environment.cargo();
    cargo.args(["build", "--package", "remit-registry", "--example", "carry"]);
    let carry = build::executable(&build::artifacts(&mut cargo, "building our own part")?, "carry")?;
    let folder = environment.workspace.target.join("suite-registry");
    remove_folder(&folder)?;
    make_folder(&folder)?;
    let bench = Bench { tree: tree.clone(), carry, folder };
    let started = Instant::now();
    bench.open()?;
    bench.guarded()?;
    let versions = fs::read_to_string(tree.join("stamp")).context("the tree has no stamp")?;
    let versions = versions.lines().collect::<Vec<_>>().join(", ");
    println!("\n| {versions} | {} | all seen as expected |", super::today()?);
    progress::already(NAME, &format!("done ({})", progress::duration(started.elapsed())));
    Ok(())
}

/// The programs, unpacked.
fn ensure(data: &DataFolder) -> Result<PathBuf> {
    let place = data.join("suites/registry/debian");
    let _lock = data.lock()?;
    if place.join("stamp").is_file() {
        progress::already(NAME, &place.display().to_string());
        return Ok(place);
    }
    let partial = beside(&place, "partial");
    let Some(mut archive) = Archive::open(&partial) else {
        bail!("this system has no apt and dpkg to get docker-registry and skopeo with")
    };
    let step = Step::start(NAME, &format!("unpacking Debian's packages into {}", place.display()));
    let roots = ["docker-registry", "skopeo"];
    let packages = archive.assemble(&Selection { roots: &roots, follow: &[], leave: &["./usr/share"] }, &step)?;
    let root = archive.root();
    for program in roots {
        debian::write_launcher(&root, program)?;
    }
    let titles = packages.iter().map(debian::Package::title);
    let stamp: String =
        titles.filter(|title| roots.iter().any(|root| title.starts_with(&format!("{root} ")))).collect();
    write_file(&root.join("stamp"), stamp.as_bytes())?;
    if let Some(above) = place.parent() {
        make_folder(above)?;
    }
    replace_folder(&root, &place)?;
    remove_folder(&partial)?;
    step.done("docker-registry and skopeo");
    Ok(place)
}

/// A registry that listens on loopback, ended by its process id when it is dropped.
struct Registry {
    child: Child,
    port: u16,
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What all parts share.
struct Bench {
    tree: PathBuf,
    carry: PathBuf,
    folder: PathBuf,
}

impl Bench {
    /// Anybody may read and write.
    fn open(&self) -> Result<()> {
        let registry = self.start("open", "")?;
        let small = self.package("small.wasm", 0)?;
        let large = self.package("large.wasm", LARGE_BYTES)?;
        let (one, two) = (self.envelope("one")?, self.envelope("two")?);
        for (name, package) in [("small", &small), ("large", &large)] {
            let reference = format!("127.0.0.1:{}/team/{name}:1.0", registry.port);
            let pushed = self.carry(&["push"], package, &[&reference], &[&one, &two])?;
            let back = self.folder.join(format!("{name}.back.wasm"));
            let pulled = self.carry(&["pull", &reference], &back, &[], &[])?;
            ensure!(pulled.starts_with(&pushed), "pushed {pushed}, and pulled {pulled}");
            ensure!(pulled.split(' ').count() == 4, "two signatures were pushed, and pulled {pulled}");
            same(package, &back)?;
            seen(&format!("{name}: pushed and pulled with two signatures"));
            self.read_by_skopeo(&registry, name, &pushed)?;
            self.written_by_skopeo(&registry, name, &pushed, package)?;
        }
        Ok(())
    }

    /// Another program sees the same manifest, and copies it into a folder that we read.
    fn read_by_skopeo(&self, registry: &Registry, name: &str, pushed: &str) -> Result<()> {
        let manifest = pushed.split(' ').next().unwrap_or_default();
        let source = format!("docker://127.0.0.1:{}/team/{name}:1.0", registry.port);
        let raw = self.skopeo(&["inspect", "--tls-verify=false", "--raw", &source])?;
        let file = self.folder.join(format!("{name}.manifest.json"));
        write_file(&file, raw.as_bytes())?;
        let digest = self.skopeo(&["manifest-digest", &file.to_string_lossy()])?;
        ensure!(digest.trim() == manifest, "skopeo reads the manifest {}, and {manifest} was pushed", digest.trim());
        seen(&format!("{name}: skopeo reads the same manifest"));
        let folder = self.folder.join(format!("{name}.oci"));
        let target = format!("oci:{}:1.0", folder.display());
        self.skopeo(&["copy", "--preserve-digests", "--src-tls-verify=false", &source, &target])?;
        let back = self.folder.join(format!("{name}.skopeo.wasm"));
        let pulled = self.carry(&["pull", &target], &back, &[], &[])?;
        ensure!(pulled == pushed, "skopeo's folder holds {pulled}, and {pushed} was pushed");
        seen(&format!("{name}: pulled from the folder that skopeo copied it to"));
        Ok(())
    }

    /// Another program copies from our folder into the registry, and we read that.
    fn written_by_skopeo(&self, registry: &Registry, name: &str, pushed: &str, package: &Path) -> Result<()> {
        let ours = format!("oci:{}:1.0", self.folder.join(format!("{name}.ours.oci")).display());
        let stored = self.carry(&["push"], package, &[&ours], &[])?;
        ensure!(stored == pushed, "our folder holds {stored}, and {pushed} was pushed");
        let reference = format!("127.0.0.1:{}/team/{name}:copied", registry.port);
        let target = format!("docker://{reference}");
        self.skopeo(&["copy", "--preserve-digests", "--dest-tls-verify=false", &ours, &target])?;
        let back = self.folder.join(format!("{name}.copied.wasm"));
        let pulled = self.carry(&["pull", &reference], &back, &[], &[])?;
        ensure!(pulled.starts_with(pushed), "skopeo copied {pulled}, and {pushed} was in the folder");
        same(package, &back)?;
        seen(&format!("{name}: pulled what skopeo copied from our folder into the registry"));
        Ok(())
    }

    /// Only who logs in.
    fn guarded(&self) -> Result<()> {
        let users = self.folder.join("htpasswd");
        write_file(&users, format!("{USER}:{BCRYPT}\n").as_bytes())?;
        let auth = format!("auth:\n  htpasswd:\n    realm: suite\n    path: {}\n", users.display());
        let registry = self.start("guarded", &auth)?;
        let package = self.package("small.wasm", 0)?;
        let reference = format!("127.0.0.1:{}/team/small:1.0", registry.port);
        let refused = self.carry(&["push"], &package, &[&reference], &[]);
        ensure!(
            refused.is_err_and(|error| format!("{error:#}").contains("refuses access")),
            "it should not have let anybody in without a login"
        );
        let host = format!("127.0.0.1:{}", registry.port);
        let logins = format!("{{\"auths\":{{\"{host}\":{{\"auth\":\"{BASE64}\"}}}}}}");
        write_file(&self.folder.join("docker/config.json"), logins.as_bytes())?;
        let pushed = self.carry(&["push"], &package, &[&reference], &[])?;
        let source = format!("docker://{reference}");
        let raw = self.skopeo(&[
            "inspect",
            "--tls-verify=false",
            "--creds",
            &format!("{USER}:{PASSWORD}"),
            "--raw",
            &source,
        ])?;
        ensure!(raw.contains("application/vnd.wasm.config.v0+json"), "skopeo reads another manifest: {raw}");
        let back = self.folder.join("guarded.back.wasm");
        ensure!(self.carry(&["pull", &reference], &back, &[], &[])? == pushed, "another package came back");
        seen("guarded: refused without a login, pushed and pulled with the one of docker's config");
        Ok(())
    }

    fn start(&self, name: &str, more: &str) -> Result<Registry> {
        make_folder(&self.folder.join("docker"))?;
        // It is free at this moment; whoever takes it meanwhile makes the start fail, which is seen.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = port.context("no port is free on loopback")?.port();
        let storage = self.folder.join(name);
        let config = format!(
            "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n{more}",
            storage.display()
        );
        let file = self.folder.join(format!("{name}.yml"));
        write_file(&file, config.as_bytes())?;
        let log =
            fs::File::create(self.folder.join(format!("{name}.log"))).context("cannot write the registry's log")?;
        let errors = log.try_clone().context("cannot write the registry's log")?;
        let mut program = command::new(self.tree.join("bin/docker-registry"));
        program.args(["serve".as_ref(), file.as_os_str()]).stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = program.spawn().context("docker-registry could not be started")?;
        let mut registry = Registry { child, port };
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = registry.child.try_wait().context("cannot wait for docker-registry")?;
            if ended.is_some() || begun.elapsed() > START {
                bail!(
                    "docker-registry does not listen; its log is {}",
                    self.folder.join(format!("{name}.log")).display()
                );
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(registry)
    }

    /// An empty component, with so many bytes in a custom section.
    fn package(&self, name: &str, bytes: usize) -> Result<PathBuf> {
        let mut component = wat::parse_str("(component)").context("an empty component")?;
        if bytes > 0 {
            let mut section = vec![3];
            section.extend_from_slice(b"big");
            section.extend((0..bytes).map(|index| (index % 251) as u8));
            component.push(0);
            let mut length = section.len();
            while length >= 0x80 {
                component.push((length & 0x7f) as u8 | 0x80);
                length >>= 7;
            }
            component.push(length as u8);
            component.extend(section);
        }
        let file = self.folder.join(name);
        write_file(&file, &component)?;
        Ok(file)
    }

    fn envelope(&self, signer: &str) -> Result<PathBuf> {
        let file = self.folder.join(format!("{signer}.json"));
        let envelope = format!(
            "{{\"payload\":\"e30=\",\"payloadType\":\"application/vnd.in-toto+json\",\"signatures\":[{{\"keyid\":\"{signer}\",\"sig\":\"\"}}]}}"
        );
        write_file(&file, envelope.as_bytes())?;
        Ok(file)
    }

    /// Our own part: words, a file, words, files.
    fn carry(&self, words: &[&str], file: &Path, more: &[&str], files: &[&Path]) -> Result<String> {
        let mut carry = command::new(&self.carry);
        carry.args(words).arg(file).args(more).args(files).env("DOCKER_CONFIG", self.folder.join("docker"));
        Ok(command::output(&mut carry, &format!("our {}", words[0]))?.trim().to_owned())
    }

    fn skopeo(&self, words: &[&str]) -> Result<String> {
        let mut skopeo: Command = command::new(self.tree.join("bin/skopeo"));
        skopeo.arg("--insecure-policy").args(words).env("TMPDIR", &self.folder).env("HOME", &self.folder);
        command::output(&mut skopeo, &format!("skopeo's {}", words[0]))
    }
}

fn same(one: &Path, other: &Path) -> Result<()> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    ensure!(read(one)? == read(other)?, "{} and {} have different bytes", one.display(), other.display());
    Ok(())
}

fn seen(what: &str) {
    progress::already(NAME, what);
}
