//! From checked addresses to a stream of bytes: TCP, the operator's proxy, TLS.

use crate::{Error, Place, Proxy, Secrets, Stage, Target, proxy};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;
use url::Host;

/// A connection, whatever is around it.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How connections are made.
pub(crate) struct Dialer {
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) secrets: Arc<dyn Secrets>,
}

/// Until when a connection has to be there.
#[derive(Clone, Copy)]
pub(crate) struct Until {
    pub(crate) instant: Instant,
    pub(crate) limit: Duration,
}

impl Until {
    /// Awaits one stage.
    pub(crate) async fn wait<T>(
        self,
        place: &Place,
        stage: Stage,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let slow = |_| Error::Slow { place: place.clone(), stage, limit: self.limit };
        timeout_at(self.instant, work).await.map_err(slow)?
    }
}

impl Dialer {
    /// Connects to one of these addresses and to no other: the name is not resolved again.
    pub(crate) async fn connect(
        &self,
        target: &Target,
        addresses: &[SocketAddr],
        until: Until,
    ) -> Result<Box<dyn Stream>, Error> {
        let place = target.place();
        let stream: Box<dyn Stream> = match &self.proxy {
            None => Box::new(until.wait(place, Stage::Connect, connect_any(place, addresses, until)).await?),
            Some(proxy) => {
                let first = *addresses.first().ok_or_else(|| nobody(place))?;
                let tunnel = proxy::tunnel(proxy, place, first, self.secrets.as_ref());
                until.wait(place, Stage::Proxy, tunnel).await?
            }
        };
        if !place.is_tls() {
            return Ok(stream);
        }
        let failed = |reason: String| Error::Tls { place: place.clone(), reason };
        let name =
            server_name(target).ok_or_else(|| failed("its name is none that a certificate could have".to_owned()))?;
        let handshake = async {
            let secure = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
            secure.map_err(|error| failed(error.to_string()))
        };
        Ok(Box::new(until.wait(place, Stage::Tls, handshake).await?))
    }
}

/// One after the other, each with half of the time that is left, the last one with all of it.
async fn connect_any(place: &Place, addresses: &[SocketAddr], until: Until) -> Result<TcpStream, Error> {
    let mut last = nobody(place);
    for (index, address) in addresses.iter().enumerate() {
        let left = until.instant.saturating_duration_since(Instant::now());
        let share = if index + 1 == addresses.len() { left } else { left / 2 };
        let slow = |limit| Error::Slow { place: place.clone(), stage: Stage::Connect, limit };
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // What is written here is whole messages; waiting for more would only add a delay.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = Error::Connect { place: place.clone(), reason: error.to_string() },
            Err(_) => last = slow(until.limit),
        }
    }
    Err(last)
}

fn nobody(place: &Place) -> Error {
    Error::Connect { place: place.clone(), reason: "it has no address".to_owned() }
}

fn server_name(target: &Target) -> Option<ServerName<'static>> {
    match target.host()? {
        Host::Domain(name) => ServerName::try_from(name.to_owned()).ok(),
        Host::Ipv4(address) => Some(ServerName::IpAddress(std::net::IpAddr::V4(address).into())),
        Host::Ipv6(address) => Some(ServerName::IpAddress(std::net::IpAddr::V6(address).into())),
    }
}
