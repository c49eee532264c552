//! What every test needs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};
use smolvm_fetch::{FetchEvent, FetchOptions, Fetcher, Mirror, MirrorOrigin, Wanted};
use tempfile::TempDir;

use crate::server::Server;

/// A download cache of its own, and what the fetchers on it told.
pub(crate) struct Bench {
    pub(crate) cache: TempDir,
    events: Arc<Mutex<Vec<FetchEvent>>>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { cache: tempfile::tempdir().unwrap(), events: Arc::default() }
    }

    /// Options with short waits, so that tests of long patience are short.
    pub(crate) fn options(&self) -> FetchOptions {
        let mut options = FetchOptions::new(self.cache.path());
        options.system_proxy = false;
        options.retries.first_wait = Duration::from_millis(2);
        options.retries.longest_wait = Duration::from_millis(10);
        options.timeouts.connect = Duration::from_millis(500);
        options.timeouts.answer = Duration::from_secs(2);
        options.timeouts.idle = Duration::from_millis(300);
        let events = Arc::clone(&self.events);
        options.events = Arc::new(move |event| events.lock().unwrap().push(event));
        options
    }

    pub(crate) fn fetcher(&self) -> Fetcher {
        Fetcher::new(self.options())
    }

    pub(crate) fn events(&self) -> Vec<FetchEvent> {
        self.events.lock().unwrap().clone()
    }

    /// Where the cache keeps this file.
    pub(crate) fn entry(&self, wanted: &Wanted) -> std::path::PathBuf {
        let name = hex::encode(wanted.sha256);
        self.cache.path().join("sha256").join(&name[..2]).join(name)
    }

    /// Where the cache keeps the beginning of this file.
    pub(crate) fn partial(&self, wanted: &Wanted) -> std::path::PathBuf {
        self.cache.path().join("partial").join(hex::encode(wanted.sha256))
    }
}

/// Bytes that look like nothing else: every offset has another neighbourhood.
pub(crate) fn content(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub(crate) fn wanted(content: &[u8]) -> Wanted {
    wanted_at("pool/main/h/hello/hello_1.0_amd64.deb", content)
}

pub(crate) fn wanted_at(path: &str, content: &[u8]) -> Wanted {
    Wanted::new("hello", path, Some(content.len() as u64), &hex::encode(Sha256::digest(content))).unwrap()
}

pub(crate) fn mirrors(servers: &[&Server]) -> Vec<Mirror> {
    servers.iter().map(|server| mirror(server.address())).collect()
}

pub(crate) fn mirror(address: &str) -> Mirror {
    Mirror::new(&format!("{address}/debian/"), MirrorOrigin::Config).unwrap()
}

/// An address at which nobody listens.
pub(crate) async fn nobody() -> Mirror {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    mirror(&format!("http://{}", listener.local_addr().unwrap()))
}
