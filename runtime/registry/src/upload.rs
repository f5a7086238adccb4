//! To a registry: blobs in one piece or in several, and manifests (distribution-spec 1.1, "Push").

use crate::{
    Digest, Error, Which,
    client::{Access, Call, Remote},
    documents::{Descriptor, INDEX_TYPE, Index, write},
    download::{CONTENT_DIGEST, fallback_tag},
    limits::{CHUNK_BYTES, CHUNK_BYTES_MAX, RESUMES_MAX},
    transfer::{Content, OnProgress, Progress},
};
use remit_egress::{Bytes, HeaderName, HeaderValue, Method, Response, StatusCode, Target, header};

/// distribution-spec 1.1: the smallest chunk that a registry takes.
const CHUNK_LEAST: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// distribution-spec 1.1: said by registries that keep lists of referrers themselves.
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

impl Remote {
    /// Sends a blob, unless it is there.
    pub(crate) async fn upload(
        &self,
        blob: &Descriptor,
        content: &Content,
        progress: OnProgress<'_>,
    ) -> Result<(), Error> {
        if self.has_blob(blob).await? {
            progress(Progress { done: blob.size, total: blob.size });
            return Ok(());
        }
        let begin = self.call(Method::POST, Access::Push, "blobs/uploads/")?;
        let answer = self.send(&begin).await?;
        if answer.status() != StatusCode::ACCEPTED {
            return Err(self.status(answer, "the beginning of an upload").await);
        }
        let least: u64 = answer.header(&CHUNK_LEAST).and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        if least > CHUNK_BYTES_MAX {
            return Err(
                self.misbehaved(format!("it takes no chunks below {least} bytes, and {CHUNK_BYTES_MAX} are the most"))
            );
        }
        let chunk = CHUNK_BYTES.max(least);
        let target = self.upload_target(&answer, &begin.target)?;
        if content.len() <= chunk {
            self.put_blob(target, blob, content.clone()).await?;
        } else {
            let target = self.send_chunks(target, content, chunk, progress).await?;
            self.put_blob(target, blob, Content::Empty).await?;
        }
        progress(Progress { done: blob.size, total: blob.size });
        Ok(())
    }

    async fn has_blob(&self, blob: &Descriptor) -> Result<bool, Error> {
        // With the right to push, so that one login does for all.
        let call = self.call(Method::HEAD, Access::Push, &format!("blobs/{}", blob.digest))?;
        let answer = self.send(&call).await?;
        let length = answer.header(&header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        match answer.status() {
            StatusCode::OK if length.is_none_or(|length| length == blob.size) => Ok(true),
            StatusCode::OK => Err(self.misbehaved(format!(
                "it has a blob {} of {} bytes, which has {}",
                blob.digest,
                length.unwrap_or_default(),
                blob.size
            ))),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.status(answer, "a question for a blob").await),
        }
    }

    /// Chunk by chunk; where the line breaks, the registry says how far it got.
    async fn send_chunks(
        &self,
        mut target: Target,
        content: &Content,
        chunk: u64,
        progress: OnProgress<'_>,
    ) -> Result<Target, Error> {
        let total = content.len();
        let (mut done, mut resumes) = (0, 0);
        while done < total {
            let bytes = chunk.min(total - done);
            let mut call = self.upload_call(Method::PATCH, target.clone())?;
            call.content = content.part(done, bytes);
            let range = HeaderValue::from_str(&format!("{done}-{}", done + bytes - 1));
            call.headers.extend(range.ok().map(|range| (header::CONTENT_RANGE, range)));
            match self.send(&call).await {
                Ok(answer) if answer.status() == StatusCode::ACCEPTED => {
                    target = self.upload_target(&answer, &target)?;
                    done += bytes;
                }
                Ok(answer) if answer.status() != StatusCode::RANGE_NOT_SATISFIABLE || resumes == RESUMES_MAX => {
                    return Err(self.status(answer, "a part of an upload").await);
                }
                Err(error) if !error.is_passing() || resumes == RESUMES_MAX => return Err(error),
                _ => {
                    resumes += 1;
                    (target, done) = self.upload_state(&target, total).await?;
                }
            }
            progress(Progress { done, total });
        }
        Ok(target)
    }

    /// How many bytes of an upload a registry has.
    async fn upload_state(&self, target: &Target, total: u64) -> Result<(Target, u64), Error> {
        let answer = self.send(&self.upload_call(Method::GET, target.clone())?).await?;
        if answer.status() != StatusCode::NO_CONTENT {
            return Err(self.status(answer, "a question for an upload").await);
        }
        // `0-0` is one byte, or none: registries differ. An upload is asked about when a part of it was sent, and one byte is none.
        let range = answer.header(&header::RANGE).unwrap_or("0-0");
        let range = range.strip_prefix("bytes=").unwrap_or(range);
        let last: Option<u64> = range.strip_prefix("0-").and_then(|last| last.parse().ok());
        let done = match last {
            Some(0) => 0,
            Some(last) if last < total => last + 1,
            _ => return Err(self.misbehaved("it says it has more of an upload than was sent".to_owned())),
        };
        Ok((self.upload_target(&answer, target)?, done))
    }

    /// Ends an upload.
    async fn put_blob(&self, target: Target, blob: &Descriptor, content: Content) -> Result<(), Error> {
        let mut url = url::Url::parse(target.as_str()).map_err(|error| self.misbehaved(error.to_string()))?;
        url.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
        let mut call = self.upload_call(Method::PUT, Target::parse(url.as_str())?)?;
        call.content = content;
        let answer = self.send(&call).await?;
        if answer.status() != StatusCode::CREATED {
            return Err(self.status(answer, "the end of an upload").await);
        }
        self.check_stored(&answer, &blob.digest)
    }

    fn upload_call(&self, method: Method, target: Target) -> Result<Call, Error> {
        let mut call = self.call(method, Access::Push, "blobs/uploads/")?;
        call.target = target;
        call.headers.push((header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")));
        Ok(call)
    }

    /// Where the rest of an upload goes, which is nowhere but this registry: it carries a login.
    fn upload_target(&self, answer: &Response, from: &Target) -> Result<Target, Error> {
        let said = answer.header(&header::LOCATION);
        let said = said.ok_or_else(|| self.misbehaved("it does not say where an upload goes".to_owned()))?;
        self.within(from, said, "an upload")
    }

    fn check_stored(&self, answer: &Response, expected: &Digest) -> Result<(), Error> {
        match answer.header(&CONTENT_DIGEST).map(Digest::parse).transpose()? {
            Some(found) if found != *expected => {
                Err(self.misbehaved(format!("it stored {found} where {expected} was sent")))
            }
            _ => Ok(()),
        }
    }

    /// Stores a manifest or an index under a tag or its digest. Whether the registry keeps a list of referrers by itself.
    pub(crate) async fn put_document(&self, which: &Which, kind: &'static str, bytes: &[u8]) -> Result<bool, Error> {
        let mut call = self.call(Method::PUT, Access::Push, &format!("manifests/{which}"))?;
        call.headers.push((header::CONTENT_TYPE, HeaderValue::from_static(kind)));
        call.content = Content::Bytes(Bytes::copy_from_slice(bytes));
        let answer = self.send(&call).await?;
        if answer.status() != StatusCode::CREATED {
            return Err(self.status(answer, &format!("the manifest {which}")).await);
        }
        self.check_stored(&answer, &Digest::of(bytes))?;
        Ok(answer.headers().contains_key(SUBJECT))
    }

    /// Adds a referrer to the tag that stands in for a list of them. Of two who do so at the same time one is lost; the
    /// specification knows no way around it.
    pub(crate) async fn add_fallback(&self, subject: &Digest, referrer: &Descriptor) -> Result<(), Error> {
        let mut index = self.fallback_index(subject).await?.unwrap_or_else(Index::new);
        if index.descriptors().any(|present| present.digest == referrer.digest) {
            return Ok(());
        }
        index.add(referrer)?;
        self.put_document(&fallback_tag(subject), INDEX_TYPE, &write(&index)?).await.map(drop)
    }
}
