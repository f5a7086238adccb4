//! From a registry: manifests, lists, and blobs that go on where they broke off (distribution-spec 1.1, "Pull").

use crate::{
    Digest, Error, Which,
    client::{Access, Call, Remote},
    documents::{Descriptor, INDEX_TYPE, Index, read, shown},
    limits::{MANIFEST_BYTES_MAX, PACKAGE_BYTES_MAX, PAGES_MAX, RESUMES_MAX, TAGS_MAX},
    transfer::{OnProgress, Partial, Progress},
};
use remit_egress::{Bytes, HeaderName, HeaderValue, Method, Redirects, Response, StatusCode, Target, header};
use serde::Deserialize;
use std::path::Path;

/// distribution-spec 1.1: what a registry says the digest of its answer is.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

impl Remote {
    /// The bytes of a manifest or an index with the type that the registry says; `None`: there is none.
    pub(crate) async fn document(&self, which: &Which, kinds: &'static str) -> Result<Option<(Bytes, String)>, Error> {
        let mut call = self.call(Method::GET, Access::Pull, &format!("manifests/{which}"))?;
        call.headers.push((header::ACCEPT, HeaderValue::from_static(kinds)));
        call.limits.body_bytes_max = MANIFEST_BYTES_MAX;
        let answer = self.send(&call).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(self.status(answer, &format!("a question for the manifest {which}")).await),
        }
        let kind = answer.header(&header::CONTENT_TYPE).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_owned();
        let said = answer.header(&CONTENT_DIGEST).map(Digest::parse).transpose()?;
        let bytes = answer.bytes().await?;
        let found = Digest::of(&bytes);
        let asked = if let Which::Digest(digest) = which { Some(digest.clone()) } else { None };
        if let Some(expected) = asked.or(said).filter(|expected| *expected != found) {
            return Err(Error::Lie { what: format!("the manifest {which}"), found, expected });
        }
        Ok(Some((bytes, kind)))
    }

    /// Receives a blob into a file.
    pub(crate) async fn download(&self, blob: &Descriptor, to: &Path, progress: OnProgress<'_>) -> Result<(), Error> {
        let what = format!("the blob {}", blob.digest);
        // Twice at most: what an earlier transfer left may be wrong.
        loop {
            let mut partial = Partial::open(to, blob).await?;
            let is_inherited = partial.is_inherited;
            let mut resumes = 0;
            while let Err(error) = self.fetch(blob, &mut partial, &what, progress).await {
                if !error.is_passing() {
                    partial.discard().await?;
                    return Err(error);
                }
                if resumes == RESUMES_MAX {
                    return Err(error);
                }
                resumes += 1;
            }
            let was_kept = is_inherited && partial.is_inherited;
            match partial.finish(to, &what).await {
                Err(Error::Lie { .. }) if was_kept => {}
                finished => return finished,
            }
        }
    }

    /// Receives what is missing.
    async fn fetch(
        &self,
        blob: &Descriptor,
        partial: &mut Partial,
        what: &str,
        progress: OnProgress<'_>,
    ) -> Result<(), Error> {
        if partial.bytes() == blob.size && blob.size > 0 {
            return Ok(());
        }
        let mut call = self.blob_call(blob, PACKAGE_BYTES_MAX)?;
        if partial.bytes() > 0 {
            let range = HeaderValue::from_str(&format!("bytes={}-", partial.bytes()));
            call.headers.extend(range.ok().map(|range| (header::RANGE, range)));
        }
        let mut answer = self.send(&call).await?;
        match answer.status() {
            // It does not know ranges.
            StatusCode::OK => partial.restart().await?,
            StatusCode::PARTIAL_CONTENT => self.check_range(&answer, partial.bytes(), blob)?,
            StatusCode::RANGE_NOT_SATISFIABLE if partial.bytes() > 0 => {
                partial.restart().await?;
                answer = self.send(&self.blob_call(blob, PACKAGE_BYTES_MAX)?).await?;
            }
            _ => {}
        }
        match answer.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
            StatusCode::NOT_FOUND => {
                return Err(Error::Missing { what: what.to_owned(), place: self.registry.clone() });
            }
            _ => return Err(self.status(answer, &format!("a question for {what}")).await),
        }
        let expected = blob.size - partial.bytes();
        if let Some(found) = answer.bytes_announced().filter(|found| *found != expected) {
            return Err(Error::Size { what: what.to_owned(), found, expected });
        }
        while let Some(piece) = answer.piece().await? {
            partial.write(&piece, what).await?;
            progress(Progress { done: partial.bytes(), total: blob.size });
        }
        Ok(())
    }

    /// For a body of at most so many bytes.
    fn blob_call(&self, blob: &Descriptor, most: u64) -> Result<Call, Error> {
        let mut call = self.call(Method::GET, Access::Pull, &format!("blobs/{}", blob.digest))?;
        // Where large registries keep their blobs. The bytes are checked, so that it matters to nobody who has them.
        call.redirects = Redirects::Public;
        // One more, so that a longer body is seen as a lie of the registry and not as a limit.
        call.limits.body_bytes_max = most.saturating_add(1);
        Ok(call)
    }

    /// RFC 9110, section 14.4.
    fn check_range(&self, answer: &Response, from: u64, blob: &Descriptor) -> Result<(), Error> {
        let said = answer.header(&header::CONTENT_RANGE).unwrap_or_default();
        let expected = format!("bytes {from}-{}/", blob.size.saturating_sub(1));
        let total = said.strip_prefix(&expected);
        if from > 0 && total.is_some_and(|total| total == "*" || total.parse() == Ok(blob.size)) {
            return Ok(());
        }
        Err(self.misbehaved(format!("it was asked for the bytes from {from} on, and says it sends {:?}", shown(said))))
    }

    /// A small blob.
    pub(crate) async fn small_blob(&self, blob: &Descriptor) -> Result<Bytes, Error> {
        let answer = self.send(&self.blob_call(blob, blob.size)?).await?;
        let what = format!("the blob {}", blob.digest);
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(Error::Missing { what, place: self.registry.clone() }),
            _ => return Err(self.status(answer, &format!("a question for {what}")).await),
        }
        let bytes = answer.bytes().await?;
        if bytes.len() as u64 != blob.size {
            return Err(Error::Size { what, found: bytes.len() as u64, expected: blob.size });
        }
        let found = Digest::of(&bytes);
        if found != blob.digest {
            return Err(Error::Lie { what, found, expected: blob.digest.clone() });
        }
        Ok(bytes)
    }

    /// What refers to a manifest: from the registry's own list, or from the tag that stands in for it (distribution-spec 1.1,
    /// "Listing Referrers" and "Referrers Tag Schema").
    pub(crate) async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let mut found = Vec::new();
        let mut call = self.call(Method::GET, Access::Pull, &format!("referrers/{subject}"))?;
        call.limits.body_bytes_max = MANIFEST_BYTES_MAX;
        for page in 0..PAGES_MAX {
            let answer = self.send(&call).await?;
            match answer.status() {
                StatusCode::OK => {}
                // Registries of an older specification know no such list, and say so in several ways.
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::BAD_REQUEST if page == 0 => {
                    let index = self.fallback_index(subject).await?;
                    return Ok(index.map(|index| index.descriptors().collect()).unwrap_or_default());
                }
                _ => return Err(self.status(answer, "a question for signatures").await),
            }
            let next = self.next_page(&answer)?;
            let index: Index = read(&answer.bytes().await?, "the list of signatures")?;
            found.extend(index.descriptors());
            match next {
                Some(target) => call.target = target,
                None => return Ok(found),
            }
        }
        Err(Error::Endless { what: "the list of signatures".to_owned(), most: PAGES_MAX })
    }

    /// The index behind the tag that stands in for a list of referrers.
    pub(crate) async fn fallback_index(&self, subject: &Digest) -> Result<Option<Index>, Error> {
        let which = fallback_tag(subject);
        let Some((bytes, _)) = self.document(&which, INDEX_TYPE).await? else { return Ok(None) };
        let index: Index = read(&bytes, "the list of signatures")?;
        if index.media_type.as_deref().is_some_and(|kind| kind != INDEX_TYPE) {
            return Err(self.misbehaved(format!("the tag {which} is no index")));
        }
        Ok(Some(index))
    }

    /// All tags, as the registry orders them.
    pub(crate) async fn tags(&self) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        let mut call = self.call(Method::GET, Access::Pull, "tags/list")?;
        for _ in 0..PAGES_MAX {
            let answer = self.send(&call).await?;
            match answer.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => {
                    let what = format!("repository {}", self.repository);
                    return Err(Error::Missing { what, place: self.registry.clone() });
                }
                _ => return Err(self.status(answer, "a question for its tags").await),
            }
            let next = self.next_page(&answer)?;
            let tags: Tags = read(&answer.bytes().await?, "the list of tags")?;
            let well_formed = |tag: &String| matches!(Which::parse(tag), Ok(Which::Tag(_)));
            found.extend(tags.tags.unwrap_or_default().into_iter().filter(well_formed));
            if found.len() > TAGS_MAX {
                return Err(Error::Endless { what: "the list of tags".to_owned(), most: TAGS_MAX });
            }
            match next {
                Some(target) => call.target = target,
                None => return Ok(found),
            }
        }
        Err(Error::Endless { what: "the list of tags".to_owned(), most: PAGES_MAX })
    }

    /// `Link: </v2/…>; rel="next"` (RFC 8288), within this registry.
    fn next_page(&self, answer: &Response) -> Result<Option<Target>, Error> {
        let Some(link) = answer.header(&header::LINK) else { return Ok(None) };
        let inner = link.trim().strip_prefix('<').and_then(|rest| rest.split_once('>'));
        let Some((path, _)) = inner.filter(|(_, parameters)| parameters.contains("next")) else { return Ok(None) };
        self.within(answer.target(), path, "the next page of a list").map(Some)
    }

    /// A URL that the registry names, relative to `from`, if it is one of its own.
    pub(crate) fn within(&self, from: &Target, said: &str, what: &str) -> Result<Target, Error> {
        let base = url::Url::parse(from.as_str()).and_then(|base| base.join(said));
        let target = base.map_err(|_| self.misbehaved(format!("it names no usable URL for {what}")))?;
        let target = Target::parse(target.as_str())?;
        if target.place() != self.target("")?.place() {
            return Err(self.misbehaved(format!("it names {} for {what}, which is not itself", target.place())));
        }
        Ok(target)
    }
}

/// `sha256-…`: the tag that stands in for a list of referrers.
pub(crate) fn fallback_tag(subject: &Digest) -> Which {
    Which::Tag(format!("sha256-{}", subject.hex()))
}

/// What a question for a manifest accepts: an index too, so that its refusal can say what it is.
pub(crate) const MANIFEST_KINDS: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
