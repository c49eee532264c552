//! One file, from a mirror into the cache.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::{Response, StatusCode};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use crate::body::Body;
use crate::cache::Cache;
use crate::client::{LazyClient, request};
use crate::error::FetchError;
use crate::event::FetchEvent;
use crate::fetcher::FetchOptions;
use crate::mirrors::Mirror;
use crate::partial::{Finished, Partial};
use crate::retry::{Failure, FailureKind, Job};
use crate::verified::{VerifiedFile, describe};
use crate::wanted::Wanted;

/// How much may wait to be written while the write before it is under way: with two of these per download, memory
/// stays small, and a fast network still gives the disk large pieces.
const BATCH: usize = 256 << 10;

/// A download under way.
pub(crate) struct Download<'a> {
    pub(crate) client: &'a LazyClient,
    pub(crate) options: &'a FetchOptions,
    pub(crate) cache: &'a Cache,
    pub(crate) wanted: Arc<Wanted>,
    /// Away only while a blocking thread works on it.
    pub(crate) partial: Option<Partial>,
    /// What the mirror called the version of which the partial is the beginning: for `If-Range`. Only known for bytes of
    /// this very fetch; for those of an earlier one, the digest at the end judges.
    pub(crate) version: Option<Version>,
}

/// A version of a file, as one address calls it.
pub(crate) struct Version {
    mirror: String,
    validator: HeaderValue,
}

impl Job for Download<'_> {
    type Output = VerifiedFile;

    async fn attempt(&mut self, mirror: &Mirror, clean: bool) -> Result<VerifiedFile, Failure> {
        let result = self.continue_from(mirror, clean).await;
        if matches!(&result, Err(Failure { kind: FailureKind::WrongContent, .. })) {
            self.version = None;
            self.with_partial(Partial::restart).await?;
        }
        result
    }

    fn received(&self) -> u64 {
        self.partial.as_ref().map_or(0, Partial::length)
    }
}

impl Download<'_> {
    async fn continue_from(&mut self, mirror: &Mirror, past_caches: bool) -> Result<VerifiedFile, Failure> {
        let start = self.received();
        // An earlier process may have been killed between the last byte and the last step.
        let is_whole = self.wanted.size == Some(start);
        if !is_whole {
            let response = self.ask(mirror, start, past_caches).await?;
            self.receive(response).await?;
        }
        self.finish().await
    }

    async fn ask(&mut self, mirror: &Mirror, start: u64, past_caches: bool) -> Result<Response, Failure> {
        let shown = mirror.to_string();
        let mut headers = HeaderMap::new();
        if start > 0 {
            if let Ok(range) = HeaderValue::from_str(&format!("bytes={start}-")) {
                headers.insert(RANGE, range);
            }
            if let Some(version) = self.version.as_ref().filter(|version| version.mirror == shown) {
                headers.insert(IF_RANGE, version.validator.clone());
            }
        }
        let address = mirror.address().join(&self.wanted.path);
        let client = self.client.get(self.options).map_err(Failure::local)?;
        let response = request(client, &address, headers, past_caches, self.options).await?;
        let start = match response.status() {
            StatusCode::PARTIAL_CONTENT if continues_at(&response, start) => start,
            // Without our asking, or for a part that we did not ask for.
            StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED => {
                let reason = "it answered with another part of the file than was asked for".to_owned();
                return Err(Failure { kind: FailureKind::WrongContent, reason });
            }
            _ => {
                self.with_partial(Partial::restart).await?;
                0
            }
        };
        self.check_length(&response, start)?;
        self.version = validator(response.headers()).map(|validator| Version { mirror: shown.clone(), validator });
        (self.options.events)(FetchEvent::Started {
            name: Arc::clone(&self.wanted.name),
            size: self.wanted.size.or_else(|| Some(start + response.content_length()?)),
            resumed_from: start,
            mirror: shown,
        });
        Ok(response)
    }

    /// Refuses an answer whose declared length is already wrong, before any of it arrives.
    fn check_length(&self, response: &Response, start: u64) -> Result<(), Failure> {
        let Some(declared) = response.content_length() else { return Ok(()) };
        let total = start.saturating_add(declared);
        let reason = match self.wanted.size {
            Some(size) if total != size => format!("it has {total} bytes instead of {size}"),
            None if total > self.wanted.max_size => {
                format!("it has {total} bytes, more than the {} that are accepted", self.wanted.max_size)
            }
            _ => return Ok(()),
        };
        Err(Failure { kind: FailureKind::WrongContent, reason })
    }

    /// Takes the body in: while one batch is hashed and written on a blocking thread, the next one gathers.
    async fn receive(&mut self, response: Response) -> Result<(), Failure> {
        let has_length = response.content_length().is_some();
        let mut body = Body::new(response, self.options.timeouts);
        let mut gathered: Vec<Bytes> = Vec::new();
        let mut gathered_bytes = 0;
        let mut arrived = self.received();
        let mut writing: Option<Write> = None;
        let mut deaf_since: Option<Instant> = None;
        let mut end: Option<Result<(), Failure>> = None;
        loop {
            if !gathered.is_empty()
                && let Some(mut partial) = self.partial.take()
            {
                let batch = std::mem::take(&mut gathered);
                gathered_bytes = 0;
                if let Some(since) = deaf_since.take() {
                    body.listen_again(since.elapsed());
                }
                writing = Some(spawn_blocking(move || {
                    let result = partial.append(&batch);
                    (partial, result)
                }));
            }
            tokio::select! {
                written = end_of(&mut writing), if writing.is_some() => {
                    writing = None;
                    let (partial, result) = written.map_err(|error| self.local(std::io::Error::other(error)))?;
                    let bytes = partial.length();
                    self.partial = Some(partial);
                    result.map_err(|error| self.local(error))?;
                    (self.options.events)(FetchEvent::Progress { name: Arc::clone(&self.wanted.name), bytes });
                }
                chunk = body.next(), if end.is_none() && gathered_bytes < BATCH => match chunk {
                    Some(Ok(chunk)) => {
                        arrived += chunk.len() as u64;
                        if arrived > self.wanted.limit() {
                            let reason = format!("it sent more than the {} bytes that were expected", self.wanted.limit());
                            end = Some(Err(Failure { kind: FailureKind::WrongContent, reason }));
                            gathered.clear();
                        } else {
                            gathered_bytes += chunk.len();
                            gathered.push(chunk);
                            if gathered_bytes >= BATCH {
                                deaf_since = Some(Instant::now());
                            }
                        }
                    }
                    Some(Err(failure)) => end = Some(Err(failure)),
                    None => end = Some(Ok(())),
                },
                else => break,
            }
        }
        end.unwrap_or(Ok(()))?;
        match self.wanted.size {
            // A body without a declared length ends where the connection does, on purpose or not.
            Some(size) if arrived < size && !has_length => {
                let reason = format!("the connection closed after {arrived} of {size} bytes");
                Err(Failure::transient(reason))
            }
            _ => Ok(()),
        }
    }

    async fn finish(&mut self) -> Result<VerifiedFile, Failure> {
        let (cache, wanted) = (self.cache.clone(), Arc::clone(&self.wanted));
        match self.with_partial(move |partial| partial.finish(&cache, &wanted)).await? {
            Finished::Proven(file) => Ok(file),
            Finished::Wrong(found) => Err(Failure {
                kind: FailureKind::WrongContent,
                reason: format!("it sent {}", describe(Some(self.received()), &found)),
            }),
        }
    }

    /// Does something slow with the partial.
    async fn with_partial<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Partial) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let mut partial = self.partial.take().ok_or_else(|| self.local(std::io::Error::other("a write was lost")))?;
        let done = spawn_blocking(move || {
            let result = work(&mut partial);
            (partial, result)
        });
        let (partial, result) = done.await.map_err(|error| self.local(std::io::Error::other(error)))?;
        self.partial = Some(partial);
        result.map_err(|error| self.local(error))
    }

    fn local(&self, error: std::io::Error) -> Failure {
        Failure::local(FetchError::of_cache(&self.wanted.name, self.cache.root(), error))
    }
}

/// A batch on its way to the disk.
type Write = JoinHandle<(Partial, std::io::Result<()>)>;

async fn end_of(writing: &mut Option<Write>) -> <Write as Future>::Output {
    match writing {
        Some(handle) => handle.await,
        None => std::future::pending().await,
    }
}

/// Whether an answer with status 206 is the rest of the file from `start` on.
fn continues_at(response: &Response, start: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse::<u64>().ok());
    start > 0 && first == Some(start)
}

/// A strong validator, which alone is allowed in `If-Range`.
fn validator(headers: &HeaderMap) -> Option<HeaderValue> {
    let etag = headers.get(ETAG).filter(|etag| !etag.as_bytes().starts_with(b"W/"));
    etag.or_else(|| headers.get(LAST_MODIFIED)).cloned()
}
