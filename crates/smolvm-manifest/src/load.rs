//! From the text of a Smolfile to a manifest, or to every mistake in it.

use std::sync::Arc;

use crate::document::Document;
use crate::finding::Finding;
use crate::manifest::Manifest;
use crate::meaning;
use crate::prune::prune;
use crate::report::{ManifestErrors, Warning};
use crate::surroundings::Surroundings;
use crate::validate::validate;
use crate::written::Smolfile;
use crate::yaml;

/// A Smolfile that can be built.
#[derive(Debug)]
pub struct Loaded {
    /// What it means.
    pub manifest: Manifest,
    /// What is doubtful about it.
    pub warnings: Vec<Warning>,
}

/// Reads a Smolfile: shape and spelling by its JSON schema, then what it means in these surroundings.
///
/// `name` is what error reports call the file.
pub fn load(name: &str, text: &str, surroundings: &dyn Surroundings) -> Result<Loaded, ManifestErrors> {
    let document = Arc::new(Document { name: name.to_owned(), text: text.to_owned() });
    let (mut parsed, mut findings) = match yaml::parse(text) {
        Ok(parsed) => parsed,
        Err((findings, spans)) => return Err(document.report(findings, &spans)),
    };
    if parsed.value.is_null() {
        let finding = Finding::new("empty", crate::finding::Place::Bytes(0..0), "the file is empty")
            .label("a Smolfile needs at least its base")
            .help("write for example: base: debian:bookworm");
        return Err(document.report(vec![finding], &parsed.spans));
    }
    let as_written = |pointer: &str| {
        let span = parsed.spans.get(pointer)?.value.clone();
        text.get(span).map(str::to_owned)
    };
    let refused = validate(&parsed.value, &as_written);
    let whole = refused.is_empty() && findings.is_empty();
    let judgeable = refused.is_empty() || prune(&mut parsed.value, &refused);
    findings.extend(refused);

    let mut manifest = None;
    if judgeable {
        match serde_path_to_error::deserialize::<_, Smolfile>(parsed.value) {
            Ok(written) => {
                let meant = meaning::interpret(written, &document, surroundings, whole);
                findings.extend(meant.findings);
                manifest = meant.manifest;
            }
            // What is left of a refused document need not be readable. A document that passed is: a test proves it.
            Err(error) if whole => {
                findings.push(Finding::at("shape", pointer_of(error.path()), error.inner().to_string()));
            }
            Err(_) => {}
        }
    }
    let (warnings, errors): (Vec<_>, Vec<_>) = findings.into_iter().partition(|finding| finding.warning);
    match manifest {
        Some(manifest) if errors.is_empty() => {
            let warnings = if warnings.is_empty() { Vec::new() } else { document.mistakes(warnings, &parsed.spans) };
            Ok(Loaded { manifest, warnings })
        }
        _ => Err(document.report(errors, &parsed.spans)),
    }
}

/// The same from the bytes of a file.
pub fn load_bytes(name: &str, bytes: &[u8], surroundings: &dyn Surroundings) -> Result<Loaded, ManifestErrors> {
    let document = Document::from_bytes(name, bytes)?;
    load(name, &document.text, surroundings)
}

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Map { key } | Segment::Enum { variant: key } => crate::finding::child(&pointer, key),
        Segment::Unknown => pointer,
    })
}
