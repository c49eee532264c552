//! The written pages name what there is.

use std::path::Path;

use serde_json::Value;

use crate::support::run;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_command_is_on_the_page() {
    let page = page("docs/cli.md");
    let help = run(Path::new("/"), ["--help"]).expect_code(0).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut count = 0;
    for line in commands {
        let command = line.split_whitespace().next().expect("a name");
        assert!(command == "help" || page.contains(&format!("`smolvm {command}")), "docs/cli.md lacks {command}");
        count += 1;
    }
    assert_eq!(count, 12, "{help}");
}

#[test]
fn every_key_of_the_smolfile_is_on_the_page() {
    let page = page("docs/smolfile.md");
    let schema: Value = serde_json::from_str(&run(Path::new("/"), ["schema"]).stdout).expect("JSON");
    let mut keys = Vec::new();
    collect_keys(&schema, &mut keys);
    assert!(keys.len() > 40, "{keys:?}");
    for key in keys {
        let named =
            [format!("`{key}`"), format!("{{{key}: "), format!(", {key}: ")].iter().any(|text| page.contains(text));
        assert!(named, "docs/smolfile.md lacks `{key}`");
    }
}

/// Every name under every `properties` of a schema.
fn collect_keys(schema: &Value, keys: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Object(properties)) = fields.get("properties") {
                keys.extend(properties.keys().cloned());
            }
            fields.values().for_each(|value| collect_keys(value, keys));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_keys(value, keys)),
        _ => {}
    }
}

#[test]
fn the_librarys_example_is_the_one_that_compiles() {
    let example = page("crates/smolvm-build/examples/library.rs");
    let program =
        example.split_once("\nuse ").map(|(_, program)| format!("use {}", program.trim_end())).expect("imports");
    assert!(
        page("docs/library.md").contains(&program),
        "docs/library.md differs from crates/smolvm-build/examples/library.rs"
    );
}

#[test]
fn the_example_is_valid() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    run(&top, ["check", "-f", "Smolfile.example.yaml"]).expect_code(0);
}
