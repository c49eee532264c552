//! Ends a build that nobody waits for any more.

use std::sync::{Arc, Mutex, PoisonError};

use smolvm_sandbox::Canceller;

/// Knows the sandbox that is running at the moment, and whether the build is still wanted.
#[derive(Debug, Clone, Default)]
pub(super) struct Cancellation(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    cancelled: bool,
    running: Option<Canceller>,
}

impl Cancellation {
    /// From now on this session is the one to cancel; it is cancelled at once if that has been asked for already.
    pub(super) fn watch(&self, session: Canceller) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.cancelled {
            session.cancel();
        }
        state.running = Some(session);
    }

    /// A guard that cancels when it is dropped. After the end of a build that changes nothing.
    pub(super) fn on_drop(self) -> impl Drop {
        CancelOnDrop(self)
    }
}

struct CancelOnDrop(Cancellation);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.cancelled = true;
        if let Some(session) = state.running.take() {
            session.cancel();
        }
    }
}
