//! Names to addresses, all of which are looked at before one is connected to.

use crate::{Error, Local, Place, Policy, Target, address, limits};
use futures::future::BoxFuture;
use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    sync::Arc,
};
use tokio::sync::Semaphore;
use url::Host;

/// Who knows the addresses of names.
pub trait Resolver: Send + Sync {
    /// All addresses of a name, the best first. Asked once for each hop of each request.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The machine's own resolver, with its files and its order of addresses (RFC 6724).
#[derive(Debug)]
pub struct SystemResolver {
    lookups: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self { lookups: Arc::new(Semaphore::new(limits::LOOKUPS_MAX)) }
    }
}

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let name = name.to_owned();
            let permit = Arc::clone(&self.lookups).acquire_owned().await.map_err(io::Error::other)?;
            let lookup = tokio::task::spawn_blocking(move || {
                let found = (name.as_str(), 0).to_socket_addrs();
                // Whoever asked may have gone long ago; the thread is taken until here.
                drop(permit);
                found.map(|addresses| addresses.map(|address| address.ip()).collect())
            });
            lookup.await.map_err(io::Error::other)?
        })
    }
}

/// The addresses that a request may connect to. One that it may not reach is enough to refuse all of them: an honest name has
/// none such, and which of several is connected to would otherwise be chance.
pub(crate) async fn checked_addresses(
    resolver: &dyn Resolver,
    policy: &Policy,
    locals: &[Local],
    target: &Target,
) -> Result<Vec<SocketAddr>, Error> {
    let place = target.place();
    let failed = |reason: String| Error::Resolve { place: place.clone(), reason };
    let found = match target.host() {
        Some(Host::Ipv4(address)) => vec![IpAddr::V4(address)],
        Some(Host::Ipv6(address)) => vec![IpAddr::V6(address)],
        Some(Host::Domain(name)) => resolver.resolve(name).await.map_err(|error| failed(error.to_string()))?,
        None => Vec::new(),
    };
    // In their one form, since a connection to a mapped address is one to the address within.
    let mut seen = BTreeSet::new();
    let addresses: Vec<IpAddr> =
        found.into_iter().map(|address| address.to_canonical()).filter(|address| seen.insert(*address)).collect();
    if addresses.is_empty() {
        return Err(failed("it has no address".to_owned()));
    }
    for address in &addresses {
        check_address(policy, locals, place, *address)?;
    }
    Ok(addresses
        .into_iter()
        .take(limits::ADDRESSES_MAX)
        .map(|address| SocketAddr::new(address, place.port()))
        .collect())
}

fn check_address(policy: &Policy, locals: &[Local], place: &Place, address: IpAddr) -> Result<(), Error> {
    let Some(special) = address::special(address) else { return Ok(()) };
    let is_open = |local: &Local| local.contains(place) && address::opens(local.networks(), address, special);
    // A host that a redirect led to, and that no grant names, is never a local one.
    if policy.names(place) && locals.iter().any(is_open) {
        return Ok(());
    }
    Err(Error::Address { place: place.clone(), address, special })
}
