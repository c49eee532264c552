//! What we show to people loads without a word.

use std::path::{Path, PathBuf};

use smolvm_manifest::{Loaded, load, starter};

use crate::surroundings::{World, render};

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The usual world, with the files that lie beside an example.
fn world_of(folder: &Path) -> World {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut world = World { folder: name, ..World::default() };
    let mut folders = vec![PathBuf::new()];
    while let Some(inside) = folders.pop() {
        for entry in std::fs::read_dir(folder.join(&inside)).expect("an example can be listed") {
            let entry = entry.expect("an example can be listed");
            let path = inside.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else {
                world.files.insert(path, std::fs::read(entry.path()).expect("a file beside an example"));
            }
        }
    }
    world
}

fn loads(name: &str, text: &str, world: &World) -> Loaded {
    let loaded = match load(name, text, world) {
        Ok(loaded) => loaded,
        Err(errors) => panic!("{}", render(&errors)),
    };
    assert!(loaded.warnings.is_empty(), "{name}: {:?}", loaded.warnings);
    loaded
}

#[test]
fn every_example_loads() {
    let all = Path::new(WORKSPACE).join("examples");
    let index = std::fs::read_to_string(all.join("README.md")).expect("examples/README.md");
    let mut seen = 0;
    for entry in std::fs::read_dir(&all).expect("examples are there") {
        let folder = entry.expect("examples can be listed").path();
        if !folder.is_dir() {
            continue;
        }
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(folder.join("Smolfile.yaml")).expect("an example is text");
        assert!(text.starts_with("# yaml-language-server: $schema=../../schemas/smolfile.schema.json\n"), "{name}");
        assert_eq!(loads(&name, &text, &world_of(&folder)).manifest.name, name);
        assert!(index.contains(&format!("[{name}]({name}/Smolfile.yaml)")), "examples/README.md lacks {name}");
        seen += 1;
    }
    assert!(seen >= 10, "{seen}");
}

#[test]
fn the_example_in_the_root_loads() {
    let path = Path::new(WORKSPACE).join("Smolfile.example.yaml");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: there is no Smolfile.example.yaml");
        return;
    };
    loads("Smolfile.example.yaml", &text, &World::default());
}

/// As it is, and with every suggestion in it taken.
#[test]
fn the_starter_loads() {
    let text = starter("team-dev");
    let loaded = loads("Smolfile.yaml", &text, &World::default());
    assert_eq!(loaded.manifest.name, "team-dev");
    assert!(text.starts_with("# yaml-language-server: $schema="));
    let (head, suggestions) = text.split_at(text.find("packages:").expect("packages come before the suggestions"));
    let taken: String = suggestions.split_inclusive('\n').map(|line| line.strip_prefix("# ").unwrap_or(line)).collect();
    let mut world = World::default();
    world.files.insert("app.conf".into(), b"x".to_vec());
    let loaded = loads("Smolfile.yaml", &format!("{head}{taken}"), &world);
    assert_eq!((loaded.manifest.users.len(), loaded.manifest.files.len(), loaded.manifest.run.len()), (1, 2, 1));
}

/// The Smolfile of the design, whole.
#[test]
fn every_key_at_once_loads() {
    let text = include_str!("everything.yaml");
    let loaded = load("Smolfile.yaml", text, &World::default());
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(errors) => panic!("{}", render(&errors)),
    };
    insta::assert_debug_snapshot!(loaded.manifest);
}
