//! One index, in memory, asked for only if it changed.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use reqwest::StatusCode;
use reqwest::header::{ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use crate::address::Address;
use crate::body::Body;
use crate::cache::{Cache, create_parent};
use crate::client::{LazyClient, request};
use crate::error::FetchError;
use crate::event::FetchEvent;
use crate::fetcher::FetchOptions;
use crate::mirrors::Mirror;
use crate::retry::{Failure, FailureKind, Job};
use crate::wanted::WantedIndex;

/// An index under way.
pub(crate) struct IndexDownload<'a, A, E> {
    pub(crate) client: &'a LazyClient,
    pub(crate) options: &'a FetchOptions,
    pub(crate) cache: &'a Cache,
    pub(crate) wanted: &'a WantedIndex,
    /// The caller's check: only what passes it counts as an answer and is kept.
    pub(crate) accept: A,
    /// The first refusal, and the mirror that it was about.
    pub(crate) refusal: Option<(String, E)>,
}

impl<T, A, E> Job for IndexDownload<'_, A, E>
where
    T: Send,
    A: Fn(&[u8]) -> Result<T, E> + Send + Sync,
    E: std::fmt::Display + Send + Sync,
{
    type Output = (T, u64, bool);

    async fn attempt(&mut self, mirror: &Mirror, clean: bool) -> Result<Self::Output, Failure> {
        let address = mirror.address().join(&self.wanted.path);
        let kept = if clean { None } else { read(self.cache, &address).await };
        let mut headers = HeaderMap::new();
        if let Some(kept) = &kept {
            kept.ask_for_change(&mut headers);
        }
        let client = self.client.get(self.options).map_err(Failure::local)?;
        let response = request(client, &address, headers, clean, self.options).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            let Some(kept) = kept else { return Err(not_whole()) };
            let accepted = self.judge(mirror, &kept.body)?;
            return Ok((accepted, kept.body.len() as u64, true));
        }
        if response.status() != StatusCode::OK {
            return Err(not_whole());
        }
        let header = |name: HeaderName| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let (etag, last_modified) = (header(ETAG), header(LAST_MODIFIED));
        (self.options.events)(FetchEvent::Started {
            name: Arc::clone(&self.wanted.name),
            size: response.content_length(),
            resumed_from: 0,
            mirror: mirror.to_string(),
        });
        let declared = response.content_length();
        let body = self.receive(Body::new(response, self.options.timeouts), declared).await?;
        let accepted = self.judge(mirror, &body)?;
        let bytes = body.len() as u64;
        let kept = Kept { sha256: hex::encode(Sha256::digest(&body)), etag, last_modified, body };
        kept.write(self.cache, &address)
            .await
            .map_err(|error| Failure::local(FetchError::of_cache(&self.wanted.name, self.cache.root(), error)))?;
        Ok((accepted, bytes, false))
    }

    fn received(&self) -> u64 {
        0
    }
}

impl<T, A: Fn(&[u8]) -> Result<T, E>, E: std::fmt::Display> IndexDownload<'_, A, E> {
    /// What the cache holds for the first mirror that it holds anything for, if the caller's check still accepts it.
    pub(crate) async fn offline(&mut self, mirrors: &[Mirror]) -> Option<T> {
        for mirror in mirrors {
            if let Some(kept) = read(self.cache, &mirror.address().join(&self.wanted.path)).await
                && let Ok(accepted) = self.judge(mirror, &kept.body)
            {
                return Some(accepted);
            }
        }
        None
    }

    async fn receive(&self, mut body: Body, declared: Option<u64>) -> Result<Vec<u8>, Failure> {
        let too_long = || {
            let reason = format!("it sent more than the {} bytes that are accepted", self.wanted.max_size);
            Failure { kind: FailureKind::WrongContent, reason }
        };
        if declared.is_some_and(|declared| declared > self.wanted.max_size) {
            return Err(too_long());
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk?);
            if bytes.len() as u64 > self.wanted.max_size {
                return Err(too_long());
            }
        }
        Ok(bytes)
    }

    fn judge(&mut self, mirror: &Mirror, bytes: &[u8]) -> Result<T, Failure> {
        (self.accept)(bytes).map_err(|refusal| {
            let reason = refusal.to_string();
            self.refusal.get_or_insert_with(|| (mirror.to_string(), refusal));
            Failure { kind: FailureKind::WrongContent, reason }
        })
    }
}

fn not_whole() -> Failure {
    let reason = "it answered with a part of the file or nothing where the whole was asked for".to_owned();
    Failure { kind: FailureKind::WrongContent, reason }
}

/// An index in the cache: one line of JSON, then its bytes.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Of the body: a torn file is no index.
    sha256: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    last_modified: Option<String>,
    #[serde(skip)]
    body: Vec<u8>,
}

impl Kept {
    fn ask_for_change(&self, headers: &mut HeaderMap) {
        let conditions = [(IF_NONE_MATCH, &self.etag), (IF_MODIFIED_SINCE, &self.last_modified)];
        for (name, value) in conditions {
            if let Some(Ok(value)) = value.as_deref().map(HeaderValue::from_str) {
                headers.insert(name, value);
            }
        }
    }

    async fn write(self, cache: &Cache, address: &Address) -> std::io::Result<()> {
        let path = cache.index(address.url().as_str());
        run(move || {
            create_parent(&path)?;
            let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
            serde_json::to_writer(&mut file, &self)?;
            file.write_all(b"\n")?;
            file.write_all(&self.body)?;
            file.persist(&path)?;
            Ok(())
        })
        .await
    }
}

/// A kept index that is whole. Anything else is as good as none.
async fn read(cache: &Cache, address: &Address) -> Option<Kept> {
    let path = cache.index(address.url().as_str());
    let text = run(move || fs_err::read(path)).await.ok()?;
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let mut kept: Kept = serde_json::from_slice(&text[..end]).ok()?;
    kept.body = text[end + 1..].to_vec();
    (hex::encode(Sha256::digest(&kept.body)) == kept.sha256).then_some(kept)
}

async fn run<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> std::io::Result<T> {
    spawn_blocking(work).await.map_err(std::io::Error::other)?
}
