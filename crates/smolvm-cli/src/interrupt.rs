//! Ctrl-C and SIGTERM: the first stops cleanly, the second stops at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::exit::Exit;
use crate::failure::{CliError, Failure, Signal};

/// Runs work that may take long, on a runtime of its own, until it ends or somebody asks to stop.
///
/// Work that is stopped is dropped, and what it holds (locks, scratch folders, sandboxes) goes with it.
///
/// `stopping` is called when that happens: the clean-up may take a moment, and somebody waits for it.
pub(crate) fn run<T>(stopping: impl FnOnce(), work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    run_to_its_end(stopping, |asked| async {
        tokio::select! {
            biased;
            result = work => result.map(Some),
            _ = asked => Ok(None),
        }
    })
}

/// Runs work that stops by itself when it is asked to, and then has no result.
pub(crate) fn run_to_its_end<T, W>(
    stopping: impl FnOnce(),
    work: impl FnOnce(oneshot::Receiver<()>) -> W,
) -> Result<T, Failure>
where
    W: Future<Output = Result<Option<T>, Failure>>,
{
    second_signal_kills().map_err(|error| CliError::System { what: "signal handlers", error })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::System { what: "threads", error })?;
    let result = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(handlers_refused)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(handlers_refused)?;
        let (ask, asked) = oneshot::channel();
        let signal = async {
            let signal = tokio::select! {
                _ = interrupt.recv() => Signal::Interrupt,
                _ = terminate.recv() => Signal::Terminate,
            };
            stopping();
            // Work that is done needs nobody to ask it.
            let _ = ask.send(());
            signal
        };
        let work = work(asked);
        tokio::pin!(signal, work);
        let mut came = None;
        let result = loop {
            tokio::select! {
                biased;
                result = &mut work => break result,
                signal = &mut signal, if came.is_none() => came = Some(signal),
            }
        };
        if came.is_none() && result.is_err() {
            // A terminal's Ctrl-C also ends the programs that work started: that they failed is not the news.
            came = tokio::select! {
                biased;
                signal = &mut signal => Some(signal),
                () = std::future::ready(()) => None,
            };
        }
        match (result, came) {
            (Ok(Some(result)), _) => Ok(result),
            (Err(failure), None) => Err(failure),
            (Ok(None) | Err(_), signal) => {
                Err(CliError::Interrupted { signal: signal.unwrap_or(Signal::Interrupt) }.into())
            }
        }
    });
    // Waits for work that is under way on other threads, so that its clean-up is done too.
    drop(runtime);
    result
}

fn handlers_refused(error: io::Error) -> Failure {
    CliError::System { what: "signal handlers", error }.into()
}

/// The order matters: at the first signal the flag is not set yet when the shutdown looks at it.
fn second_signal_kills() -> io::Result<()> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let code = i32::from(Exit::Interrupted.code());
        signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&asked))?;
        signal_hook::flag::register(signal, Arc::clone(&asked))?;
    }
    Ok(())
}
