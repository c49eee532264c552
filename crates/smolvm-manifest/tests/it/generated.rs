//! What passes the schema loads: documents made from the schema itself.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use smolvm_manifest::{
    Arch, LocalEntry, LocalKind, LocalSource, LocalSourceError, Mistake, Surroundings, load, schema,
};

use crate::surroundings::{KEY, render};

/// A world that answers everything: one line that is a key, a certificate, a password and a kernel.
struct Yes;

impl Surroundings for Yes {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path.ends_with("key.rsa.pub") {
            return Ok(b"-----BEGIN PUBLIC KEY-----\n".to_vec());
        }
        Ok(format!("{KEY} -----BEGIN PGP PUBLIC KEY BLOCK-----").into_bytes())
    }

    fn local_source(&self, path: &Path) -> Result<LocalSource, LocalSourceError> {
        let kind = LocalKind::File { blake3: "0".repeat(64), size: 0, executable: false };
        Ok(LocalSource { root: path.to_owned(), entries: vec![LocalEntry { path: String::new(), kind }] })
    }

    fn variable(&self, _: &str) -> Option<OsString> {
        Some("secret".into())
    }

    fn home(&self) -> Option<PathBuf> {
        Some("/home/me".into())
    }

    fn folder_name(&self) -> Option<String> {
        Some("folder".to_owned())
    }

    fn host_arch(&self) -> Option<Arch> {
        Some(Arch::Amd64)
    }
}

/// Values that a schema accepts.
fn values(schema: &Value) -> BoxedStrategy<Value> {
    if let Some(branches) = schema["oneOf"].as_array()
        && schema["properties"].is_null()
    {
        return proptest::strategy::Union::new(branches.iter().map(values)).boxed();
    }
    if let Some(options) = schema["enum"].as_array() {
        return proptest::sample::select(options.clone()).boxed();
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => panic!("a schema without a type: {schema}"),
    };
    proptest::strategy::Union::new(kinds.into_iter().map(|kind| match kind {
        "null" => Just(Value::Null).boxed(),
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "integer" => {
            let bound = |name: &str| schema[name].as_i64().expect("an integer with bounds");
            (bound("minimum")..=bound("maximum")).prop_map(Value::from).boxed()
        }
        "string" => texts(schema).prop_map(Value::from).boxed(),
        "array" => lists(schema),
        "object" => maps(schema),
        other => panic!("no values of type {other}"),
    }))
    .boxed()
}

fn texts(schema: &Value) -> BoxedStrategy<String> {
    if schema["anyOf"].is_array() {
        let v4 = any::<[u8; 4]>().prop_map(|bytes| std::net::Ipv4Addr::from(bytes).to_string());
        let v6 = any::<[u8; 16]>().prop_map(|bytes| std::net::Ipv6Addr::from(bytes).to_string());
        return prop_oneof![v4, v6].boxed();
    }
    let Some(pattern) = schema["pattern"].as_str() else {
        return any::<String>().boxed();
    };
    let inner = pattern.trim_start_matches('^').strip_suffix('$').expect("patterns are anchored");
    let longest = schema["maxLength"].as_u64().map_or(usize::MAX, |most| usize::try_from(most).expect("small"));
    proptest::string::string_regex(inner)
        .expect("patterns are plain enough to be turned around")
        .prop_filter("longer than maxLength", move |text| text.chars().count() <= longest)
        .boxed()
}

fn lists(schema: &Value) -> BoxedStrategy<Value> {
    let most = schema["maxItems"].as_u64().map_or(3, |most| usize::try_from(most).expect("small"));
    match &schema["items"] {
        Value::Array(first) => {
            let first: Vec<_> = first.iter().map(values).collect();
            let rest = proptest::collection::vec(values(&schema["additionalItems"]), 0..3);
            (first, rest).prop_map(|(first, rest)| first.into_iter().chain(rest).collect::<Value>()).boxed()
        }
        entry => proptest::collection::vec(values(entry), 0..=most).prop_map(Value::from).boxed(),
    }
}

fn maps(schema: &Value) -> BoxedStrategy<Value> {
    let Some(properties) = schema["properties"].as_object() else {
        let entry = (texts(&schema["propertyNames"]), values(&schema["additionalProperties"]));
        return proptest::collection::vec(entry, 0..3)
            .prop_map(|entries| Value::Object(entries.into_iter().collect()))
            .boxed();
    };
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let alternatives: Vec<String> = schema["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|branch| branch["required"][0].as_str().map(str::to_owned))
        .collect();
    let exactly_one = schema["maxProperties"] == json!(1);
    let each: Vec<_> = properties
        .iter()
        .map(|(key, property)| {
            let always = required.contains(&key.as_str()) || exactly_one || alternatives.contains(key);
            let value = values(property);
            let value =
                if always { value.prop_map(Some).boxed() } else { proptest::option::weighted(0.3, value).boxed() };
            (Just(key.clone()), value)
        })
        .collect();
    (each, any::<prop::sample::Index>())
        .prop_map(move |(entries, index)| {
            let mut map: Map<String, Value> =
                entries.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
            let rivals: Vec<String> = if exactly_one { map.keys().cloned().collect() } else { alternatives.clone() };
            if !rivals.is_empty() {
                let kept = index.get(&rivals).clone();
                map.retain(|key, _| *key == kept || !rivals.contains(key));
            }
            Value::Object(map)
        })
        .boxed()
}

/// JSON is YAML, as long as everything that YAML does not print is escaped.
fn yaml(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        if c.is_ascii() && c != '\x7f' {
            text.push(c);
        } else {
            let _ = write!(text, "\\U{:08X}", u32::from(c));
        }
    }
    text
}

/// What only the meaning can judge: names that clash or are not declared, random text as a key, odd addresses and paths.
const MEANING: [&str; 9] = ["clash", "undeclared", "key", "size", "path", "source", "address", "missing_key", "range"];

/// Takes away what only the meaning can judge.
fn tidy(document: &mut Value) {
    let entries = |document: &mut Value, key: &str, tidy: &mut dyn FnMut(usize, &mut Value)| {
        for (index, entry) in document[key].as_array_mut().into_iter().flatten().enumerate() {
            tidy(index, entry);
        }
    };
    let access = |holder: &mut Value| {
        if holder["authorized_keys"].is_array() {
            holder["authorized_keys"] = json!([KEY]);
        }
        if let Some(path) = holder.pointer_mut("/password/from_file") {
            *path = json!("password.txt");
        }
    };
    let remove = |entry: &mut Value, key: &str| drop(entry.as_object_mut().map(|map| map.shift_remove(key)));
    if document["ssh"].is_object() {
        access(&mut document["ssh"]);
    }
    entries(document, "packages", &mut |index, entry| *entry = json!(format!("package{index}")));
    let alpine = document["base"].as_str().is_some_and(|base| base.starts_with("alpine"));
    entries(document, "repositories", &mut |index, entry| {
        entry["name"] = json!(format!("archive{index}"));
        entry["url"] = json!("https://deb.example.org");
        entry["suites"] = json!(["stable"]);
        entry["signed_by"] = json!(if alpine { "key.rsa.pub" } else { "key.asc" });
    });
    entries(document, "users", &mut |index, entry| {
        entry["name"] = json!(format!("user{index}"));
        remove(entry, "uid");
        access(entry);
    });
    entries(document, "files", &mut |index, entry| {
        entry["target"] = json!(format!("/target{index}"));
        if entry["source"].is_string() {
            entry["source"] = json!("source");
        }
    });
    entries(document, "run", &mut |_, entry| {
        remove(entry, "user");
        remove(entry, "secrets");
    });
    entries(document, "services", &mut |index, entry| {
        entry["name"] = json!(format!("service{index}"));
        remove(entry, "user");
    });
    let env = |holder: &mut Value| {
        if holder["env"].is_array() {
            holder["env"] = json!(["A=b"]);
        }
    };
    env(document);
    for list in ["run", "services"] {
        entries(document, list, &mut |_, entry| {
            if entry.is_object() {
                env(entry);
            }
        });
    }
    for (_, secret) in document["secrets"].as_object_mut().into_iter().flatten() {
        if secret["from_file"].is_string() {
            secret["from_file"] = json!("secret.txt");
        }
    }
    for key in ["size", "boot"] {
        remove(document, key);
    }
    if document["tmp"].is_object() {
        document["tmp"] = json!({ "tmpfs": "64MiB" });
    }
    if document["kernel"]["url"].is_string() {
        document["kernel"]["url"] = json!("https://example.org/vmlinux");
    }
    if document["kernel"]["path"].is_string() {
        document["kernel"]["path"] = json!("vmlinux");
    }
    // Indexing a map to look at a key that it has not leaves a null there.
    if let Some(map) = document.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_passes_the_schema_loads(document in values(&schema())) {
        if let Err(errors) = load("Smolfile.yaml", &yaml(&document), &Yes) {
            for mistake in errors.mistakes() {
                let code = Mistake::code(mistake).rsplit("::").next().unwrap_or_default();
                prop_assert!(MEANING.contains(&code), "{}\n{}", render(mistake), yaml(&document));
            }
        }
    }

    #[test]
    fn what_passes_the_schema_and_means_something_is_a_manifest(mut document in values(&schema())) {
        tidy(&mut document);
        if let Err(errors) = load("Smolfile.yaml", &yaml(&document), &Yes) {
            prop_assert!(false, "{}\n{}", render(&errors), yaml(&document));
        }
    }

    /// Arbitrary text is refused or loaded, and nothing else.
    #[test]
    fn nothing_crashes_it(text in "(base|env|run|ssh|users|&a|\\*a|[:\\-{}\\[\\],#\"'|>!%@`~ \n\t]|[a-z0-9]|\\PC){0,60}") {
        let _ = load("Smolfile.yaml", &text, &Yes).map_err(|errors| render(&errors));
    }
}
