//! A registry as distribution-spec 1.1 has it, which can be told to answer something else.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What somebody asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Behind `/v2/NAME/`, without the query.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// How many before it asked for the same path with the same method.
    pub(crate) before: usize,
}

impl Asked {
    pub(crate) fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path.starts_with(path)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What is answered instead of the truth.
#[derive(Clone, Debug)]
pub(crate) enum Trick {
    /// These bytes, and the end of the connection.
    Raw(Vec<u8>),
    /// These bytes, and nothing more.
    Stall(Vec<u8>),
}

/// An answer as bytes.
pub(crate) fn raw(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    if !headers.iter().any(|(name, _)| *name == "content-length") {
        head += &format!("content-length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// What it keeps, all of one repository.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) blobs: HashMap<String, Vec<u8>>,
    /// By tag and by digest, with their types.
    pub(crate) manifests: HashMap<String, (String, Vec<u8>)>,
    uploads: Vec<Vec<u8>>,
    pub(crate) lists_referrers: bool,
    pub(crate) log: Vec<Asked>,
}

/// Listens on loopback until it is dropped.
pub(crate) struct Fake {
    pub(crate) port: u16,
    pub(crate) kept: Arc<Mutex<Kept>>,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    pub(crate) async fn honest() -> Self {
        Self::start(|_| None).await
    }

    pub(crate) async fn start(trick: impl Fn(&Asked) -> Option<Trick> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let kept = Arc::new(Mutex::new(Kept { lists_referrers: true, ..Kept::default() }));
        let (trick, keep) = (Arc::new(trick), Arc::clone(&kept));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&keep), Arc::clone(&trick)));
            }
        });
        Self { port, kept, task }
    }

    /// `METHOD path` of all requests so far.
    pub(crate) fn log(&self) -> Vec<String> {
        let kept = self.kept.lock().expect("the log");
        kept.log.iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect()
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.kept.lock().expect("the log").log.clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    kept: Arc<Mutex<Kept>>,
    trick: Arc<impl Fn(&Asked) -> Option<Trick> + Send + Sync>,
) {
    let Some(mut asked) = read(&mut stream).await else { return };
    let answer = {
        let mut kept = kept.lock().expect("the registry");
        asked.before = kept.log.iter().filter(|other| other.method == asked.method && other.path == asked.path).count();
        kept.log.push(asked.clone());
        trick(&asked).unwrap_or_else(|| Trick::Raw(kept.answer(&asked)))
    };
    match answer {
        Trick::Raw(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Trick::Stall(bytes) => {
            let _ = stream.write_all(&bytes).await;
            std::future::pending::<()>().await;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let mut lines = head.lines();
            let first: Vec<&str> = lines.next()?.split(' ').collect();
            let headers: HashMap<String, String> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            let length: usize = headers.get("content-length").map_or(0, |text| text.parse().expect("a length"));
            while bytes.len() < end + 4 + length {
                match stream.read(&mut piece).await {
                    Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
                    _ => return None,
                }
            }
            let (path, query) = first[1].split_once('?').unwrap_or((first[1], ""));
            let path = path.strip_prefix("/v2/team/clerk/").unwrap_or(path).to_owned();
            let body = bytes.split_off(end + 4);
            return Some(Asked {
                method: first[0].to_owned(),
                path,
                query: query.to_owned(),
                headers,
                body,
                before: 0,
            });
        }
        match stream.read(&mut piece).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}

impl Kept {
    /// The truth.
    fn answer(&mut self, asked: &Asked) -> Vec<u8> {
        let parts: Vec<&str> = asked.path.split('/').collect();
        match (asked.method.as_str(), parts.as_slice()) {
            ("HEAD" | "GET", ["blobs", digest]) => self.blob(asked, digest),
            ("POST", ["blobs", "uploads", ""]) => {
                self.uploads.push(Vec::new());
                self.upload(self.uploads.len() - 1, "202 Accepted")
            }
            ("GET", ["blobs", "uploads", id]) => self.upload(id.parse().expect("an upload"), "204 No Content"),
            ("PATCH", ["blobs", "uploads", id]) => {
                let id: usize = id.parse().expect("an upload");
                let begin = asked.header("content-range").split('-').next().unwrap_or_default();
                if begin != self.uploads[id].len().to_string() {
                    return self.upload(id, "416 Range Not Satisfiable");
                }
                self.uploads[id].extend_from_slice(&asked.body);
                self.upload(id, "202 Accepted")
            }
            ("PUT", ["blobs", "uploads", id]) => {
                let mut bytes = self.uploads[id.parse::<usize>().expect("an upload")].clone();
                bytes.extend_from_slice(&asked.body);
                let digest = digest(&bytes);
                if asked.query != format!("digest={}", digest.replace(':', "%3A")) {
                    return raw(
                        "400 Bad Request",
                        &[],
                        b"{\"errors\":[{\"code\":\"DIGEST_INVALID\",\"message\":\"no\"}]}",
                    );
                }
                self.blobs.insert(digest.clone(), bytes);
                raw("201 Created", &[("docker-content-digest", &digest)], b"")
            }
            ("PUT", ["manifests", which]) => self.put_manifest(asked, which),
            ("GET", ["manifests", which]) => match self.manifests.get(*which) {
                Some((kind, bytes)) => {
                    raw("200 OK", &[("content-type", kind), ("docker-content-digest", &digest(bytes))], bytes)
                }
                None => raw("404 Not Found", &[], b""),
            },
            ("GET", ["referrers", subject]) if self.lists_referrers => raw(
                "200 OK",
                &[],
                json!({ "schemaVersion": 2, "manifests": self.referrers(subject) }).to_string().as_bytes(),
            ),
            ("GET", ["tags", "list"]) => raw("200 OK", &[], br#"{"name":"team/clerk","tags":["1.0","1.1"]}"#),
            _ => raw("404 Not Found", &[], b""),
        }
    }

    fn blob(&self, asked: &Asked, digest: &str) -> Vec<u8> {
        let Some(bytes) = self.blobs.get(digest) else { return raw("404 Not Found", &[], b"") };
        if asked.method == "HEAD" {
            return raw("200 OK", &[("content-length", &bytes.len().to_string())], b"");
        }
        let from = asked.header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
        match from.map(|from| from.parse::<usize>().expect("a range")) {
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                raw("206 Partial Content", &[("content-range", &range)], &bytes[from..])
            }
            None => raw("200 OK", &[], bytes),
        }
    }

    fn upload(&self, id: usize, status: &str) -> Vec<u8> {
        let location = format!("/v2/team/clerk/blobs/uploads/{id}");
        let range = format!("0-{}", self.uploads[id].len().saturating_sub(1));
        raw(status, &[("location", &location), ("range", &range)], b"")
    }

    fn put_manifest(&mut self, asked: &Asked, which: &str) -> Vec<u8> {
        let digest = digest(&asked.body);
        let stored = (asked.header("content-type").to_owned(), asked.body.clone());
        self.manifests.insert(which.to_owned(), stored.clone());
        self.manifests.insert(digest.clone(), stored);
        let document: Value = serde_json::from_slice(&asked.body).expect("a manifest");
        let mut headers = vec![("docker-content-digest", digest.as_str())];
        let subject = document["subject"]["digest"].as_str();
        headers.extend(subject.filter(|_| self.lists_referrers).map(|subject| ("oci-subject", subject)));
        raw("201 Created", &headers, b"")
    }

    fn referrers(&self, subject: &str) -> Vec<Value> {
        let mut found = Vec::new();
        for (name, (kind, bytes)) in &self.manifests {
            let document: Value = serde_json::from_slice(bytes).expect("a manifest");
            if name.starts_with("sha256:") && document["subject"]["digest"] == subject {
                let artifact = &document["artifactType"];
                found.push(json!({ "mediaType": kind, "digest": name, "size": bytes.len(), "artifactType": artifact }));
            }
        }
        found
    }
}
