//! Clients that reach loopback under names below `.test`, and packages to move.

use crate::fake::Fake;
use futures::future::BoxFuture;
use remit_egress::{Config, Connector, Local, Resolver};
use remit_registry::{Client, Description, Error, Location, Parcel, Pulled, Pushed};
use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

struct Loopback;

impl Resolver for Loopback {
    fn resolve<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async { Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) })
    }
}

/// Speaks to these registries, which are called `r.test`, without TLS.
pub(crate) fn client(fakes: &[&Fake]) -> Client {
    let hosts: Vec<String> = fakes.iter().map(|fake| format!("*.test:{}", fake.port)).collect();
    let network = "127.0.0.0/8".parse().expect("a network");
    let locals = hosts.chunks(1).map(|host| Local::new(host, &[network]).expect("a host")).collect();
    let config = Config { locals, resolver: Arc::new(Loopback), ..Config::default() };
    let registries: Vec<String> = fakes.iter().map(|fake| format!("r.test:{}", fake.port)).collect();
    let client = Client::new(Connector::new(config).expect("a connector")).without_tls(&registries);
    client.silence(Duration::from_secs(60))
}

pub(crate) fn location(fake: &Fake, tag: &str) -> Location {
    Location::parse(&format!("r.test:{}/team/clerk{tag}", fake.port)).expect("a name")
}

/// A folder with a package in it.
pub(crate) struct Desk {
    folder: TempDir,
    pub(crate) package: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

impl Desk {
    /// A package of so many bytes.
    pub(crate) fn new(length: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let package = folder.path().join("clerk.wasm");
        let bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        std::fs::write(&package, &bytes).expect("a file");
        Self { folder, package, bytes }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn push(&self, client: &Client, to: &Location, envelopes: &[Vec<u8>]) -> Result<Pushed, Error> {
        self.push_signed(client, to, envelopes, &[]).await
    }

    /// With bundles, too.
    pub(crate) async fn push_signed(
        &self,
        client: &Client,
        to: &Location,
        envelopes: &[Vec<u8>],
        bundles: &[Vec<u8>],
    ) -> Result<Pushed, Error> {
        let description = Description { imports: vec!["remit:kernel/task@0.1.0".to_owned()], ..Description::default() };
        let parcel = Parcel { package: &self.package, description: &description, envelopes, bundles };
        client.push(to, &parcel, &|_| ()).await
    }

    /// Pulls to `pulled.wasm`.
    pub(crate) async fn pull(&self, client: &Client, from: &Location) -> Result<Pulled, Error> {
        client.pull(from, &self.path("pulled.wasm"), &|_| ()).await
    }

    /// Names of files in the folder.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

#[track_caller]
pub(crate) fn same(path: &Path, bytes: &[u8]) {
    assert!(std::fs::read(path).expect("a file") == bytes, "{} has other bytes", path.display());
}

/// It fails, and says so with this part of a sentence.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Error>, part: &str) {
    let error = result.expect_err("it is refused").to_string();
    assert!(error.contains(part), "{error} does not say {part:?}");
}
