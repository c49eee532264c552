//! The embedded templates and the engine that fills them in.

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use crate::error::RenderError;
use crate::quote;

/// A template by its file name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Template {
    name: &'static str,
    text: &'static str,
}

pub(crate) const DOCKERFILE: Template =
    Template { name: "Dockerfile", text: include_str!("../templates/Dockerfile.j2") };
pub(crate) const INIT: Template = Template { name: "init", text: include_str!("../templates/init.j2") };
pub(crate) const SERVICES: Template = Template { name: "services", text: include_str!("../templates/services.j2") };
pub(crate) const MOUNTS: Template = Template { name: "mounts", text: include_str!("../templates/mounts.j2") };
pub(crate) const SSHD: Template = Template { name: "sshd.conf", text: include_str!("../templates/sshd.conf.j2") };
pub(crate) const PROFILE: Template = Template { name: "profile.sh", text: include_str!("../templates/profile.sh.j2") };
pub(crate) const HOSTS: Template = Template { name: "hosts", text: include_str!("../templates/hosts.j2") };
pub(crate) const COMMAND: Template = Template { name: "command", text: include_str!("../templates/command.j2") };
pub(crate) const SOURCES: Template = Template { name: "sources", text: include_str!("../templates/sources.j2") };

const ALL: [Template; 9] = [DOCKERFILE, INIT, SERVICES, MOUNTS, SSHD, PROFILE, HOSTS, COMMAND, SOURCES];

/// Changes whenever the Rust part of this crate renders the same templates differently.
const VERSION: &str = "smolvm-render 1";

/// Digest of everything in this crate that decides a recipe besides the locked manifest: part of the build key.
pub fn digest() -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(VERSION.as_bytes());
    for template in ALL {
        // Lengths keep two templates from trading text across their border.
        hasher.update(&(template.text.len() as u64).to_le_bytes());
        hasher.update(template.text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Fills in one template.
pub(crate) fn fill(template: Template, values: &impl Serialize) -> Result<String, RenderError> {
    let failed = |error: &minijinja::Error| RenderError::Template {
        template: template.name,
        reason: format!("{error}{}", error.line().map(|line| format!(", line {line}")).unwrap_or_default()),
    };
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true)
            .build()
            .map_err(|error| failed(&error))?,
    );
    environment.add_filter("shell", |value: &str| quote::shell(value));
    environment.add_filter("json", |words: Vec<String>| quote::json(&words));
    environment.add_filter("expanded", |value: &str| quote::expanded(value));
    environment.add_filter("expanded_json", |paths: Vec<String>| quote::expanded_json(&paths));
    environment.add_filter("sshd", |value: &str| quote::sshd(value));
    environment.add_template(template.name, template.text).map_err(|error| failed(&error))?;
    environment
        .get_template(template.name)
        .and_then(|loaded| loaded.render(minijinja::value::Serde(values)))
        .map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_missing_value_is_an_error_and_nothing_is_escaped_for_html() {
        let template = Template { name: "t", text: "{{ value }}" };
        assert_eq!(fill(template, &HashMap::from([("value", "<a> & 'b'")])), Ok("<a> & 'b'".to_owned()));
        assert!(fill(template, &HashMap::from([("other", "")])).is_err());
    }
}
