//! A way through the operator's proxy.

use crate::{Error, Place, Proxy, Secrets, Target, dial::Stream};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Asks for a tunnel to an address that was checked.
pub(crate) async fn tunnel(
    proxy: &Proxy,
    place: &Place,
    address: SocketAddr,
    secrets: &dyn Secrets,
) -> Result<Box<dyn Stream>, Error> {
    let failed = |reason: String| Error::Proxy { place: place.clone(), reason };
    let stream = TcpStream::connect(proxy.authority.as_str()).await.map_err(|error| failed(error.to_string()))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(error.to_string()))?;
    let driver = tokio::spawn(connection.with_upgrades());
    let mut request = Request::builder().method(Method::CONNECT).uri(address.to_string());
    request = request.header(header::HOST, address.to_string());
    if let Some(credential) = &proxy.credential {
        // The proxy's own place: a secret is bound to it as to any other host.
        let own = Target::parse(&format!("http://{}", proxy.authority))?;
        let value = credential.value(&header::PROXY_AUTHORIZATION, own.place(), secrets)?;
        request = request.header(header::PROXY_AUTHORIZATION, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| failed(error.to_string()))?;
    let answer = sender.send_request(request).await;
    let opened = match answer {
        Ok(answer) if answer.status().is_success() => {
            hyper::upgrade::on(answer).await.map_err(|error| error.to_string())
        }
        Ok(answer) => Err(format!("it answered {}", answer.status().as_u16())),
        Err(error) => Err(error.to_string()),
    };
    match opened {
        Ok(upgraded) => Ok(Box::new(TokioIo::new(upgraded))),
        Err(reason) => {
            driver.abort();
            Err(failed(reason))
        }
    }
}
