//! Reading the body of an answer, with limits on silence and slowness.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use crate::fetcher::Timeouts;
use crate::retry::{Failure, FailureKind};

/// The body of an answer, chunk by chunk.
pub(crate) struct Body {
    chunks: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    timeouts: Timeouts,
    silent_until: Instant,
    window_ends: Instant,
    window_bytes: u64,
}

impl Body {
    pub(crate) fn new(response: Response, timeouts: Timeouts) -> Self {
        let now = Instant::now();
        Self {
            chunks: Box::pin(response.bytes_stream()),
            silent_until: now + timeouts.idle,
            window_ends: now + timeouts.slow_over,
            window_bytes: 0,
            timeouts,
        }
    }

    /// The next chunk; `None` at the end. Can be dropped and called again without losing anything.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, Failure>> {
        loop {
            let until = self.silent_until.min(self.window_ends);
            let chunk = match timeout_at(until, self.chunks.next()).await {
                Ok(None) => return None,
                Ok(Some(Err(error))) => return Some(Err(Failure::from_http(&error))),
                Ok(Some(Ok(chunk))) => Some(chunk),
                Err(_) => None,
            };
            let now = Instant::now();
            match &chunk {
                Some(chunk) => {
                    self.window_bytes += chunk.len() as u64;
                    self.silent_until = now + self.timeouts.idle;
                }
                None if now >= self.silent_until => {
                    return Some(Err(Failure::transient(format!("nothing arrived for {:?}", self.timeouts.idle))));
                }
                None => {}
            }
            if now >= self.window_ends
                && let Err(failure) = self.close_window(now)
            {
                return Some(Err(failure));
            }
            if let Some(chunk) = chunk {
                return Some(Ok(chunk));
            }
        }
    }

    /// Time in which nobody listened is not the mirror's.
    pub(crate) fn listen_again(&mut self, deaf_for: Duration) {
        self.silent_until += deaf_for;
        self.window_ends += deaf_for;
    }

    fn close_window(&mut self, now: Instant) -> Result<(), Failure> {
        let least = self.timeouts.slow_bytes_per_second.saturating_mul(self.timeouts.slow_over.as_secs().max(1));
        if self.window_bytes < least {
            let reason = format!("only {} bytes arrived in {:?}", self.window_bytes, self.timeouts.slow_over);
            return Err(Failure { kind: FailureKind::Broken, reason });
        }
        self.window_bytes = 0;
        self.window_ends = now + self.timeouts.slow_over;
        Ok(())
    }
}
