//! The JSON schema that is committed, printed and checked against.

use serde_json::Value;
use smolvm_manifest::{lock_schema, lock_schema_text, schema, schema_text};

#[test]
fn the_committed_schemas_are_the_generated_ones() {
    for (name, text) in [("smolfile.schema.json", schema_text()), ("smolfile-lock.schema.json", lock_schema_text())] {
        let path = format!("{}/../../schemas/{name}", env!("CARGO_MANIFEST_DIR"));
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == text, "schemas/{name} is out of date; refresh it with: cargo xtask schema");
    }
}

#[test]
fn they_are_valid_schemas() {
    for schema in [schema(), lock_schema()] {
        jsonschema::meta::validate(&schema).expect("valid by its own draft");
    }
}

/// Calls `look` for every schema in the schema, with its place.
fn each(schema: &Value, place: &str, look: &mut dyn FnMut(&str, &Value)) {
    look(place, schema);
    for map in ["properties"] {
        for (key, inner) in schema[map].as_object().into_iter().flatten() {
            each(inner, &format!("{place}.{key}"), look);
        }
    }
    for inner in ["items", "additionalItems", "additionalProperties", "propertyNames"] {
        match &schema[inner] {
            Value::Object(_) => each(&schema[inner], &format!("{place}.{inner}"), look),
            Value::Array(list) => list.iter().for_each(|inner| each(inner, &format!("{place}[]"), look)),
            _ => {}
        }
    }
    for inner in schema["oneOf"].as_array().into_iter().flatten() {
        each(inner, &format!("{place}|"), look);
    }
}

/// Editors show the description of every key, and their words for a pattern are ours.
#[test]
fn editors_have_something_to_say() {
    each(&schema(), "", &mut |place, schema| {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            // The three maps of `kernel` are told apart by their titles.
            let described =
                property["description"].is_string() || schema["title"].as_str().is_some_and(|t| t.starts_with('{'));
            assert!(described, "{place}.{key} has no description");
        }
        if schema["pattern"].is_string() {
            assert!(schema["patternErrorMessage"].is_string(), "{place} says nothing about its pattern");
            let pattern = schema["pattern"].as_str().unwrap_or_default();
            assert!(pattern.starts_with('^') && pattern.ends_with('$'), "{place}: {pattern} matches parts");
        }
    });
}

/// The same of the lock, which nobody edits: descriptions, and every map closed but the one of variables.
#[test]
fn the_schema_of_the_lock_explains_itself() {
    assert!(!lock_schema_text().contains("$ref"));
    each(&lock_schema(), "", &mut |place, schema| {
        if !schema["properties"].is_object() || place.rsplit('.').next() == Some("env") {
            return;
        }
        assert_eq!(schema["additionalProperties"], Value::Bool(false), "{place} takes any key");
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let by_architecture = place.rsplit('.').next() == Some("architectures");
            let tells_apart = key == "from";
            assert!(property["description"].is_string() || by_architecture || tells_apart, "{place}.{key}: {property}");
        }
    });
}

/// No `$ref`, which hides the words beside it, and every map closed.
#[test]
fn it_is_plain_and_closed() {
    let text = schema_text();
    assert!(!text.contains("$ref") && !text.contains("\"const\""));
    each(&schema(), "", &mut |place, schema| {
        if schema["properties"].is_object() {
            assert_eq!(schema["additionalProperties"], Value::Bool(false), "{place} takes any key");
        }
    });
}

#[test]
fn every_example_in_it_is_valid() {
    let mut seen = 0;
    each(&schema(), "", &mut |place, schema| {
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft7)
            .should_validate_formats(true)
            .build(schema)
            .expect("a part of a schema is one");
        for example in schema["examples"].as_array().into_iter().flatten() {
            assert!(validator.is_valid(example), "{place}: {example}");
            seen += 1;
        }
    });
    assert!(seen > 30, "{seen}");
}
