//! Packages to registries and from there: who may be spoken to, with which logins, and whose signatures come along.
//!
//! Registries are spoken to over TLS at public addresses, and on this machine (`localhost` and loopback addresses) without TLS, as docker
//! does it. For all else the data folder has a `registries.toml`:
//!
//! ```toml
//! authorities = "ca.pem"            # certificates of further authorities, a file beside this one
//!
//! [[registry]]
//! host = "registry.internal:5000"   # as references name it
//! networks = ["10.0.0.0/8"]         # private addresses that its name may lead to
//! tls = true                        # false: without it, logins included
//! realms = ["login.internal"]       # where its logins may be exchanged for tokens, besides hosts near to it
//! ```
//!
//! Logins are docker's, as `docker login` and its like leave them. What arrives is a file whose bytes are those that the registry's own manifest
//! promises; whether anybody is to believe it is for the policy to say.

use crate::home::Home;
use jiff::Timestamp;
use remit_egress::{Config, Connector, IpNet, Local, SetupError, Trust as Authorities};
use remit_package::{
    Admission, Arrival, Build, Bundle, BundleError, Evidence, Listed, Older, Package, PackageError, Packed, Store,
    StoreError, Trust, TrustError, bundles_path, disk,
};
use remit_registry::{Client, Credentials, Description, Location, OnProgress, Parcel, Pushed};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use thiserror::Error;

/// A list of registries: some of each, and their networks.
const LIST_BYTES_MAX: u64 = 1 << 20;

/// A bundle of all authorities that anybody has.
const AUTHORITIES_BYTES_MAX: u64 = 4 << 20;

/// For how long a transfer that broke off can be gone on with.
const PARTIAL_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// Why a package did not get where it should.
#[derive(Debug, Error)]
pub enum CarryError {
    /// The list of registries cannot be used.
    #[error("{}: {why}", path.display())]
    List {
        /// Which file.
        path: PathBuf,
        /// Why, in one sentence.
        why: String,
    },
    /// The connections cannot be made.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A registry, or the way there.
    #[error(transparent)]
    Registry(#[from] remit_registry::Error),
    /// What is to be sent, or what came, is no package.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// What lies beside a package is no bundle.
    #[error("{}: {error}", path.display())]
    Bundle {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: BundleError,
    },
    /// The policy cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// It is not taken.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk's error.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl CarryError {
    /// Whether the name, or what the operator wrote, is at fault.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        use remit_registry::Error as Registry;
        let is_name =
            matches!(self, Self::Registry(Registry::Reference { .. } | Registry::Digest(_) | Registry::Host(_)));
        is_name || matches!(self, Self::List { .. } | Self::Setup(_))
    }

    /// Whether a registry told something that is not so, or has something else than a package.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        use remit_registry::Error as Registry;
        let Self::Registry(error) = self else { return matches!(self, Self::Bundle { .. }) };
        matches!(
            error,
            Registry::Lie { .. } | Registry::Size { .. } | Registry::TooLarge { .. } | Registry::Endless { .. }
        ) || matches!(error, Registry::MediaType { .. } | Registry::Layers { .. } | Registry::Config(_))
            || matches!(error, Registry::Document { .. } | Registry::Misbehaved { .. })
    }
}

/// A package that came from somewhere else.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// What it is. Nobody has said yet that it is to be believed.
    pub package: Package,
    /// Where it came from, with the digest that its tag led to.
    pub from: String,
    /// What was said to be its signatures.
    envelopes: Vec<Vec<u8>>,
    /// What was said to be identities' signatures.
    bundles: Vec<Vec<u8>>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListForm {
    authorities: Option<PathBuf>,
    #[serde(default)]
    registry: Vec<RegistryForm>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistryForm {
    host: String,
    #[serde(default, deserialize_with = "networks")]
    networks: Vec<IpNet>,
    #[serde(default = "yes")]
    tls: bool,
    #[serde(default)]
    realms: Vec<String>,
}

const fn yes() -> bool {
    true
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let network = |text: &String| text.parse().map_err(|error| D::Error::custom(format!("{text:?}: {error}")));
    Vec::<String>::deserialize(deserializer)?.iter().map(network).collect()
}

/// Sends a package's file, and the envelope and bundles beside it, under the name that `to` says.
///
/// # Errors
/// [`CarryError`]. What was sent until then stays, and is found again by the next try.
pub async fn push(home: &Home, file: &Path, to: &Location, progress: OnProgress<'_>) -> Result<Pushed, CarryError> {
    let package = Package::open_packed(file)?;
    let packed = Packed::read(package.bytes());
    let packed = packed.map_err(|error| PackageError::Packed { path: file.to_owned(), error: Box::new(error) })?;
    let description = described(&packed);
    let Evidence { envelope, bundles } = package.evidence().clone();
    let wrong = |error| CarryError::Bundle { path: bundles_path(file), error };
    let bundles = bundles.map(|bytes| Bundle::parse_all(&bytes)).transpose().map_err(wrong)?;
    let bundles: Vec<_> = bundles.iter().flatten().map(|bundle| bundle.to_json().as_bytes().to_vec()).collect();
    let envelopes = Vec::from_iter(envelope);
    let parcel = Parcel { package: file, description: &description, envelopes: &envelopes, bundles: &bundles };
    Ok(client(home, to)?.push(to, &parcel, progress).await?)
}

/// Gets a package and all that is said to be its signatures. One that broke off is gone on with. Blocks while another one does so on the same data
/// folder.
///
/// # Errors
/// [`CarryError`].
pub async fn pull(home: &Home, from: &Location, progress: OnProgress<'_>) -> Result<Pulled, CarryError> {
    let folder = home.incoming();
    let _alone = alone(&folder)?;
    let path = folder.join("package.wasm");
    let pulled = client(home, from)?.pull(from, &path, progress).await?;
    let package = Package::open_packed(&path);
    fs::remove_file(&path).map_err(|error| CarryError::Io { path, error })?;
    let from = match (from, &pulled.manifest) {
        (Location::Registry(reference), Some(digest)) => {
            format!("{}/{}@{digest}", reference.registry(), reference.repository())
        }
        (Location::Folder { path, .. }, Some(digest)) => format!("oci:{}@{digest}", path.display()),
        (Location::File(path), _) => path.display().to_string(),
        (_, None) => pulled.package.to_string(),
    };
    Ok(Pulled { package: package?, from, envelopes: pulled.envelopes, bundles: pulled.bundles })
}

impl Pulled {
    /// The best of what is said to be its signatures, as the files beside a package have them: the newest of somebody who is known there,
    /// and else the newest.
    #[must_use]
    pub fn evidence(&self, trust: &Trust) -> Evidence {
        let mut found = trust.gather(self.package.digest_bytes(), &self.envelopes, &self.bundles);
        if found.is_empty() { Evidence::default() } else { found.swap_remove(0) }
    }

    /// Installs it with the first of what is said to be its signatures that the policy takes.
    ///
    /// # Errors
    /// [`CarryError`]: what the policy says against the best of them, where it takes none.
    pub fn install(&self, home: &Home, older: Older) -> Result<(Listed, Admission), CarryError> {
        let (store, trust) = (Store::at(home.packages()), home.trust()?);
        let arrival = Arrival { older, from: Some(self.from.clone()), now: Timestamp::now() };
        let mut refused = None;
        for evidence in trust.gather(self.package.digest_bytes(), &self.envelopes, &self.bundles) {
            let package = self.package.clone().with_evidence(evidence);
            match store.install(&package, &trust, &arrival) {
                Err(denied @ StoreError::Denied(_)) => refused = refused.or(Some(denied)),
                done => return Ok(done?),
            }
        }
        match refused {
            Some(denied) => Err(denied.into()),
            None => Ok(store.install(&self.package, &trust, &arrival)?),
        }
    }
}

/// What a registry tells other tools.
fn described(packed: &Packed<'_>) -> Description {
    let (manifest, world) = (packed.manifest(), packed.world());
    let Build { source, licence, .. } = packed.build().cloned().unwrap_or_default();
    let (url, revision) = source.map_or((None, None), |source| (source.url, Some(source.revision)));
    let said = [
        ("title", Some(manifest.name.clone())),
        ("version", Some(manifest.version.to_string())),
        ("licenses", licence),
        ("source", url),
        ("revision", revision),
    ];
    let annotation = |(name, value): (&str, Option<String>)| Some((format!("org.opencontainers.image.{name}"), value?));
    Description {
        author: None,
        imports: world.imports.iter().cloned().collect(),
        exports: world.exports.iter().cloned().collect(),
        target: None,
        annotations: said.into_iter().filter_map(annotation).collect::<BTreeMap<_, _>>(),
    }
}

/// Reaches what the data folder says, and what lies on this machine where it is asked for.
fn client(home: &Home, place: &Location) -> Result<Client, CarryError> {
    let path = home.registry_list();
    let wrong = |why: String| CarryError::List { path: path.clone(), why };
    let failed = |error| CarryError::Io { path: path.clone(), error };
    let text = disk::read_if_there(&path, LIST_BYTES_MAX).map_err(failed)?.unwrap_or_default();
    let text = str::from_utf8(&text).map_err(|_| wrong("it is not UTF-8 text".to_owned()))?;
    let ListForm { authorities, registry: mut registries } = read(text).map_err(wrong)?;
    if let Location::Registry(reference) = place {
        registries.extend(on_this_machine(reference.registry()));
    }
    let mut config = Config::default();
    if let Some(beside) = authorities {
        let path = home.folder().join(beside);
        let pem = disk::read(&path, AUTHORITIES_BYTES_MAX).map_err(|error| CarryError::Io { path, error })?;
        config.trust = Authorities::default().and(&pem)?;
    }
    for RegistryForm { host, networks, .. } in &registries {
        let local = Local::new(std::slice::from_ref(host), networks);
        config.locals.push(local.map_err(|error| wrong(format!("host = {host:?}: {error}")))?);
    }
    let without_tls: Vec<_> = registries.iter().filter(|it| !it.tls).map(|it| it.host.clone()).collect();
    let realms: Vec<_> = registries.into_iter().flat_map(|it| it.realms).collect();
    let mut client = Client::new(Connector::new(config)?).without_tls(&without_tls).realms(&realms);
    if let Some(folder) = docker_folder() {
        client = client.credentials(Credentials::docker(&folder, env::var_os("PATH"))?);
    }
    Ok(client)
}

/// What a list says.
fn read(text: &str) -> Result<ListForm, String> {
    let list: ListForm = toml::from_str(text).map_err(|error| error.to_string().trim_end().replace('\n', " "))?;
    for RegistryForm { host, tls, .. } in &list.registry {
        if !tls && !host.contains(':') {
            return Err(format!(
                "host = {host:?} is spoken to without TLS, which has no usual port: write its port too"
            ));
        }
    }
    Ok(list)
}

/// A registry that runs on this machine, where this is one by its name. Without a port it is the one of HTTPS.
fn on_this_machine(registry: &str) -> Option<RegistryForm> {
    let port = registry.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let host = port.map_or(registry, |(host, _)| host);
    let is_loopback = |host: &str| host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback());
    let is_here = ["localhost", "[::1]"].contains(&host) || is_loopback(host);
    let networks = ["127.0.0.0/8", "::1/128"].iter().filter_map(|network| network.parse().ok()).collect();
    let form = || RegistryForm { host: registry.to_owned(), networks, tls: port.is_none(), realms: Vec::new() };
    is_here.then(form)
}

/// Where `docker login` keeps what it was told.
fn docker_folder() -> Option<PathBuf> {
    let named = env::var_os("DOCKER_CONFIG").filter(|value| !value.is_empty()).map(PathBuf::from);
    named.or_else(|| directories::BaseDirs::new().map(|folders| folders.home_dir().join(".docker")))
}

/// Nobody else puts a file together here until this is dropped. What was left behind long ago goes.
fn alone(folder: &Path) -> Result<File, CarryError> {
    let path = folder.join(".lock");
    let failed = |error| CarryError::Io { path: path.clone(), error };
    fs::create_dir_all(folder).map_err(failed)?;
    let file = File::create(&path).map_err(failed)?;
    file.lock().map_err(failed)?;
    for entry in fs::read_dir(folder).map_err(failed)?.flatten() {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = changed.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > PARTIAL_KEPT));
        if is_old && entry.path() != path {
            // What stays takes room, and does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_list_says_is_read_and_what_is_wrong_is_told() {
        assert_eq!(read(""), Ok(ListForm::default()));
        let text = "authorities = \"ca.pem\"\n[[registry]]\nhost = \"r.internal:5000\"\nnetworks = [\"10.0.0.0/8\"]\n";
        let list = read(text).expect("it is a list");
        assert_eq!(list.authorities, Some("ca.pem".into()));
        assert!(matches!(list.registry.as_slice(), [it] if it.tls && it.realms.is_empty() && it.networks.len() == 1));
        for (wrong, why) in [
            ("[[registry]]\n", "host"),
            ("[[registry]]\nhost = \"a\"\nnetwork = []\n", "network"),
            ("[[registry]]\nhost = \"a\"\nnetworks = [\"10.0.0.0/40\"]\n", "networks"),
            ("[[registry]]\nhost = \"a\"\ntls = false\n", "write its port too"),
            ("[", "TOML"),
        ] {
            let told = read(wrong).expect_err(wrong);
            assert!(told.contains(why) && !told.contains('\n'), "{wrong:?}: {told}");
        }
    }

    #[test]
    fn registries_of_this_machine_are_those_of_loopback() {
        assert!(on_this_machine("localhost").is_some_and(|it| it.tls));
        for name in ["localhost:5000", "127.0.0.1:5000", "127.9.9.9:1", "[::1]:5000"] {
            assert!(on_this_machine(name).is_some_and(|it| !it.tls && it.networks.len() == 2), "{name}");
        }
        for name in ["localhost.example.com:5000", "registry.example.com", "10.0.0.1:5000", "[::2]:5000", "[::1].a:5"] {
            assert_eq!(on_this_machine(name), None, "{name}");
        }
    }
}
