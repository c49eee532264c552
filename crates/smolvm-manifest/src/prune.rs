//! Takes out what the schema refused, so that the rest can be judged in the same run.

use serde_json::Value;

use crate::finding::{Finding, Place};

/// Removes every refused value, and with it what cannot do without it: the entry of a list (which leaves a gap, so that
/// the others keep their numbers), or the top-level key. False if nothing sensible is left.
pub(crate) fn prune(document: &mut Value, findings: &[Finding]) -> bool {
    for finding in findings {
        match &finding.place {
            Place::Key(pointer) if matches!(&*finding.code, "unknown_key" | "spelling") => remove(document, pointer),
            Place::Key(pointer) | Place::Value(pointer) => {
                let root_lacks_a_key = pointer.is_empty() && finding.code == "missing_key";
                if !root_lacks_a_key {
                    remove(document, whole_of(pointer));
                }
            }
            Place::Bytes(_) => {}
        }
    }
    document.is_object()
}

/// The nearest entry of a list around a pointer, or its top-level key.
fn whole_of(pointer: &str) -> &str {
    let is_index = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut whole = pointer;
    while let Some((outer, last)) = whole.rsplit_once('/') {
        if is_index(last) || outer.is_empty() {
            return whole;
        }
        whole = outer;
    }
    ""
}

fn remove(document: &mut Value, pointer: &str) {
    let Some((outer, last)) = pointer.rsplit_once('/') else {
        *document = Value::Null;
        return;
    };
    match document.pointer_mut(outer) {
        Some(Value::Object(map)) => {
            map.shift_remove(&last.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(entries)) => {
            if let Some(entry) = last.parse::<usize>().ok().and_then(|index| entries.get_mut(index)) {
                *entry = Value::Null;
            }
        }
        _ => {}
    }
}
