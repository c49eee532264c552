//! One mirror after the other, each with a few attempts.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::error::{FetchError, MirrorFailure};
use crate::event::FetchEvent;
use crate::fetcher::{FetchOptions, Retries};
use crate::mirrors::Mirror;

/// Asks each mirror until one gives what `job` wants. Local trouble ends it at once.
pub(crate) async fn over_mirrors<J: Job>(
    job: &mut J,
    name: &Arc<str>,
    mirrors: &[Mirror],
    options: &FetchOptions,
    health: &Health,
) -> Result<J::Output, Defeat> {
    let (ordered, usable) = health.order(mirrors);
    let mut lost = Vec::new();
    let mut clean = false;
    for (index, mirror) in ordered.iter().enumerate() {
        let is_last = index + 1 == ordered.len();
        // A mirror that was down a moment ago gets one chance, unless all of them are.
        let mut patience = Patience::new(&options.retries, if usable > 0 && index >= usable { 1 } else { u32::MAX });
        let (failure, attempts) = loop {
            let before = job.received();
            let failure = match job.attempt(mirror, clean).await {
                Ok(output) => {
                    health.is_up(mirror);
                    return Ok(output);
                }
                Err(Failure { kind: FailureKind::Local(error), .. }) => return Err(Defeat::Local(error)),
                Err(failure) => failure,
            };
            clean = matches!(failure.kind, FailureKind::WrongContent);
            let Some(wait) = patience.after(&failure.kind, job.received().saturating_sub(before), is_last) else {
                break (failure, patience.attempts);
            };
            let mirror = mirror.to_string();
            (options.events)(FetchEvent::Retrying { name: Arc::clone(name), mirror, reason: failure.reason, wait });
            tokio::time::sleep(wait).await;
        };
        if matches!(failure.kind, FailureKind::Transient { unreachable: true, .. }) {
            health.is_down(mirror);
        }
        if !is_last {
            let (mirror, reason) = (mirror.to_string(), failure.reason.clone());
            (options.events)(FetchEvent::NextMirror { name: Arc::clone(name), mirror, reason });
        }
        lost.push((failure.kind, MirrorFailure { mirror: mirror.to_string(), reason: failure.reason, attempts }));
    }
    Err(Defeat::Mirrors(lost))
}

/// Something that is asked of mirrors.
pub(crate) trait Job {
    type Output;

    /// Asks once. `clean`: what arrived so far is not to be trusted, and neither is a cache on the way.
    fn attempt(&mut self, mirror: &Mirror, clean: bool) -> impl Future<Output = Result<Self::Output, Failure>> + Send;

    /// Bytes that have arrived and are kept.
    fn received(&self) -> u64;
}

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// For people; continues "the mirror: …".
    pub(crate) reason: String,
}

/// What follows from a failed attempt.
#[derive(Debug)]
pub(crate) enum FailureKind {
    /// Another attempt may succeed.
    Transient {
        /// How long the server asked to wait.
        wait: Option<Duration>,
        /// Whether there was no connection at all.
        unreachable: bool,
    },
    /// The mirror does not have the file.
    Missing,
    /// The mirror will not get better by asking again.
    Broken,
    /// Something else arrived than what was asked for.
    WrongContent,
    /// This machine is in trouble.
    Local(FetchError),
}

/// Why all of it failed.
#[derive(Debug)]
pub(crate) enum Defeat {
    Local(FetchError),
    Mirrors(Vec<(FailureKind, MirrorFailure)>),
}

impl Failure {
    pub(crate) fn transient(reason: String) -> Self {
        Self { kind: FailureKind::Transient { wait: None, unreachable: false }, reason }
    }

    pub(crate) fn local(error: FetchError) -> Self {
        Self { reason: error.to_string(), kind: FailureKind::Local(error) }
    }
}

impl Defeat {
    /// What the mirrors said.
    pub(crate) fn failures(&self) -> Vec<MirrorFailure> {
        match self {
            Self::Local(_) => Vec::new(),
            Self::Mirrors(lost) => lost.iter().map(|(_, failure)| failure.clone()).collect(),
        }
    }

    /// Whether the mirrors do not have the file: all that could be reached said so or sent something else, and one did.
    pub(crate) fn is_gone(&self) -> bool {
        let Self::Mirrors(lost) = self else { return false };
        let says_so = |kind: &FailureKind| matches!(kind, FailureKind::Missing | FailureKind::WrongContent);
        let is_away = |kind: &FailureKind| matches!(kind, FailureKind::Transient { unreachable: true, .. });
        lost.iter().any(|(kind, _)| says_so(kind)) && lost.iter().all(|(kind, _)| says_so(kind) || is_away(kind))
    }

    /// Those of [`Self::failures`] where something else was sent.
    pub(crate) fn replaced(&self) -> Vec<MirrorFailure> {
        let Self::Mirrors(lost) = self else { return Vec::new() };
        let wrong = lost.iter().filter(|(kind, _)| matches!(kind, FailureKind::WrongContent));
        wrong.map(|(_, failure)| failure.clone()).collect()
    }

    /// The error that says it best.
    pub(crate) fn into_error(self, name: &str, path: &str, expected: impl FnOnce() -> String) -> FetchError {
        let lost = match self {
            Self::Local(error) => return error,
            Self::Mirrors(lost) => lost,
        };
        let all_missing = lost.iter().all(|(kind, _)| matches!(kind, FailureKind::Missing));
        let any_wrong = lost.iter().any(|(kind, _)| matches!(kind, FailureKind::WrongContent));
        let failures: Vec<_> = lost.into_iter().map(|(_, failure)| failure).collect();
        let (name, path) = (name.to_owned(), path.to_owned());
        if failures.is_empty() {
            FetchError::NoMirror { name }
        } else if all_missing {
            FetchError::NotFound { name, path, failures }
        } else if any_wrong {
            FetchError::WrongContent { name, path, expected: expected(), failures }
        } else {
            FetchError::Unavailable { name, path, failures }
        }
    }
}

/// How much more a mirror is asked.
struct Patience<'a> {
    retries: &'a Retries,
    waits: backon::ExponentialBackoff,
    attempts: u32,
    most_attempts: u32,
    clean_retry_left: bool,
}

impl<'a> Patience<'a> {
    fn new(retries: &'a Retries, most_attempts: u32) -> Self {
        Self { retries, waits: waits(retries), attempts: 0, most_attempts, clean_retry_left: true }
    }

    /// How long to wait before the next attempt; `None` to give up.
    fn after(&mut self, kind: &FailureKind, arrived: u64, is_last: bool) -> Option<Duration> {
        /// A connection that brought this much before it broke was worth having; a file has an end, so this ends too.
        const WORTH_GOING_ON: u64 = 64 << 10;
        /// When nobody is at home and there are other doors, knocking twice is enough.
        const MOST_KNOCKS: u32 = 2;
        self.attempts += 1;
        if self.attempts >= self.most_attempts {
            return None;
        }
        match kind {
            FailureKind::Transient { unreachable: true, .. } if !is_last && self.attempts >= MOST_KNOCKS => None,
            FailureKind::Transient { wait: Some(wait), .. } if *wait > self.retries.longest_retry_after => None,
            FailureKind::Transient { wait, .. } => {
                if arrived >= WORTH_GOING_ON {
                    self.waits = waits(self.retries);
                }
                self.waits.next().map(|own| own.max(wait.unwrap_or_default()))
            }
            FailureKind::WrongContent => std::mem::take(&mut self.clean_retry_left).then_some(Duration::ZERO),
            FailureKind::Missing | FailureKind::Broken | FailureKind::Local(_) => None,
        }
    }
}

fn waits(retries: &Retries) -> backon::ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(retries.first_wait)
        .with_max_delay(retries.longest_wait)
        .with_factor(3.0)
        .with_jitter()
        .with_max_times(retries.attempts.saturating_sub(1) as usize)
        .build()
}

/// Which mirrors could not be reached. Without this, each of 150 packages would wait for the same dead machine.
#[derive(Debug, Default)]
pub(crate) struct Health {
    down: Mutex<HashSet<String>>,
}

impl Health {
    /// The mirrors with those last that were down; and how many were not.
    fn order<'a>(&self, mirrors: &'a [Mirror]) -> (Vec<&'a Mirror>, usize) {
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, mut ordered): (Vec<_>, Vec<_>) =
            mirrors.iter().partition(|mirror| down.contains(&mirror.address().origin()));
        let usable = ordered.len();
        ordered.extend(last);
        (ordered, usable)
    }

    fn is_down(&self, mirror: &Mirror) {
        self.down.lock().unwrap_or_else(PoisonError::into_inner).insert(mirror.address().origin());
    }

    fn is_up(&self, mirror: &Mirror) {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        if !down.is_empty() {
            down.remove(&mirror.address().origin());
        }
    }
}
