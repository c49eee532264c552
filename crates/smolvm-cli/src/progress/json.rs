//! One JSON object a line for every event: for machines. The lines are described in `docs/cli.md`.

use serde_json::{Value, json};
use smolvm_build::Event;
use smolvm_fetch::FetchEvent;

use super::{Sink, line};
use crate::report;

pub(super) struct Lines;

impl Sink for Lines {
    fn event(&self, event: Event) {
        if let Some(value) = value(event) {
            line(&value.to_string());
        }
    }

    fn note(&self, text: &str) {
        line(&json!({"event": "note", "message": text}).to_string());
    }
}

fn value(event: Event) -> Option<Value> {
    Some(match event {
        Event::StageStarted(stage) => json!({"event": "stage_started", "stage": stage.as_str()}),
        Event::StageFinished(stage, duration) => {
            let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            json!({"event": "stage_finished", "stage": stage.as_str(), "duration_ms": milliseconds})
        }
        Event::StageProgress { stage, done, total, item } => {
            json!({"event": "stage_progress", "stage": stage.as_str(), "done": done, "total": total, "item": item})
        }
        Event::Fetch(event) => return fetch(event),
        Event::Output { source, line } => json!({"event": "output", "source": source, "line": line}),
        Event::Warning(warning) => json!({"event": "warning", "warning": report::for_machines(&warning)}),
        Event::Note(note) => json!({"event": "note", "message": note}),
    })
}

fn fetch(event: FetchEvent) -> Option<Value> {
    Some(match event {
        FetchEvent::Started { name, size, resumed_from, mirror } => json!({
            "event": "download_started", "name": &*name, "size": size, "resumed_from": resumed_from, "mirror": mirror,
        }),
        FetchEvent::Progress { name, bytes } => json!({"event": "download_progress", "name": &*name, "bytes": bytes}),
        FetchEvent::Finished { name, bytes, cached } => {
            json!({"event": "download_finished", "name": &*name, "bytes": bytes, "cached": cached})
        }
        FetchEvent::Retrying { name, mirror, reason, wait } => json!({
            "event": "download_retrying", "name": &*name, "mirror": mirror, "reason": reason,
            "wait_ms": u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        }),
        FetchEvent::NextMirror { name, mirror, reason } => {
            json!({"event": "download_next_mirror", "name": &*name, "mirror": mirror, "reason": reason})
        }
        FetchEvent::Replaced { name, mirror, reason } => {
            json!({"event": "download_replaced", "name": &*name, "mirror": mirror, "reason": reason})
        }
        FetchEvent::Gone { name, version } => {
            json!({"event": "download_gone", "name": &*name, "version": version})
        }
        FetchEvent::DamagedCacheEntry { name } => json!({"event": "download_cache_damaged", "name": &*name}),
        FetchEvent::Waiting { name } => json!({"event": "download_waiting", "name": &*name}),
        // A kind of event that this list does not know yet: `FetchEvent` may grow.
        _ => return None,
    })
}
