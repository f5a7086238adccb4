//! A server of bytes: it reads a request, and does what its script says.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// What a server does next. Behind the last act it closes the connection.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Send(Vec<u8>),
    /// The same bytes until nobody takes them any more.
    Forever(&'static [u8]),
    /// The same bytes, at these intervals.
    Every(Duration, &'static [u8]),
    /// Takes one request more.
    Read,
    /// Nothing, with the connection open.
    Hold,
}

/// A text of a script.
pub(crate) fn send(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

/// A whole answer.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Vec<Act> {
    vec![send(&format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len()))]
}

/// Listens on loopback until it is dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// The script is asked with the text of each request.
    pub(crate) async fn start(script: impl Fn(&str) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::listen(None, script).await
    }

    /// The same behind TLS.
    pub(crate) async fn start_tls(
        acceptor: TlsAcceptor,
        script: impl Fn(&str) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Some(acceptor), script).await
    }

    async fn listen(acceptor: Option<TlsAcceptor>, script: impl Fn(&str) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, log) = (Arc::new(script), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, log, acceptor) = (Arc::clone(&script), Arc::clone(&log), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, &*script, &log).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, &*script, &log).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, seen, task }
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("the log").clone()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: &(dyn Fn(&str) -> Vec<Act> + Send + Sync),
    log: &Mutex<Vec<String>>,
) {
    let request = read_request(&mut stream).await;
    log.lock().expect("the log").push(request.clone());
    for act in script(&request) {
        match act {
            Act::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Act::Forever(bytes) => while stream.write_all(bytes).await.is_ok() {},
            Act::Every(interval, bytes) => {
                while stream.write_all(bytes).await.is_ok() && stream.flush().await.is_ok() {
                    tokio::time::sleep(interval).await;
                }
            }
            Act::Read => {
                let request = read_request(&mut stream).await;
                log.lock().expect("the log").push(request);
            }
            Act::Hold => std::future::pending().await,
        }
    }
    let _ = stream.shutdown().await;
}

/// Head and body, as far as they come.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().expect("a length")) {
                return text.into_owned();
            }
        }
        match stream.read(&mut piece).await {
            // The first byte of a handshake of TLS is that of no request.
            Ok(count) if count > 0 && piece[0] != 0x16 => bytes.extend_from_slice(&piece[..count]),
            _ => return String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}
