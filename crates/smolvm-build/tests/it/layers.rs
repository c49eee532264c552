//! Cached layers: what is reused, what that gives, and what is said of it.

use smolvm_build::{BuildOptions, BuiltImage, CacheUse, Events, FailureClass, Fate, explain};
use smolvm_manifest::Layer;

use crate::archive::{build_with, names, report};
use crate::support::{Project, debian_host, has};

const SMOLFILE: &str = "base: debian:bookworm\nname: layered\nsize: auto\nssh: false\nenv: {EDITOR: vim}\nusers: [{name: dev}]\n\
                        files:\n  - {target: /etc/app, content: \"one\\n\", mode: \"0644\"}\n\
                        run:\n  - {command: \"cat /etc/app > /opt/seen; mkfifo /opt/pipe\", network: false}\n";

fn set(options: &BuildOptions, from: &str, to: &str) {
    let text = fs_err::read_to_string(&options.smolfile).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    fs_err::write(&options.smolfile, text.replace(from, to)).unwrap();
}

fn reused(image: &BuiltImage) -> Vec<Layer> {
    image.layers.iter().filter(|layer| layer.cached).map(|layer| layer.name).collect()
}

/// What `explain` names, as people read it.
fn changes(options: &BuildOptions) -> Vec<String> {
    let explanation = explain(options, &Events::silent()).unwrap();
    explanation.layers.iter().flat_map(|layer| &layer.changes).map(ToString::to_string).collect()
}

/// One input after the other: `explain` names it and no other, and the layers below it are reused.
#[test]
fn each_change_is_explained_and_makes_only_the_layers_from_there_on() {
    use Layer::{Base, Files, Kernel, Packages, Run, Users};
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    let project = Project::new(SMOLFILE);
    let options = project.options();
    let first = build_with(&options).unwrap();
    assert_eq!(reused(&first), []);
    assert!(build_with(&options).unwrap().cached);
    assert_eq!(changes(&options), Vec::<String>::new());

    let up_to_run = [Base, Packages, Users, Files, Run, Kernel];
    let table: [(&str, &str, &str, &[Layer]); 6] = [
        ("EDITOR: vim", "EDITOR: nano", "env: EDITOR vim -> nano", &up_to_run),
        ("size: auto", "size: 1GiB", "size auto -> 1073741824", &up_to_run),
        ("mode: \"0644\"", "mode: \"0600\"", "files: /etc/app mode 0644 -> 0600", &[Base, Packages, Kernel]),
        ("name: dev", "name: ops", "users: ", &[Base, Packages, Kernel]),
        ("mkfifo /opt/pipe", "touch /opt/none", "run[0] command ", &[Base, Packages, Kernel]),
        ("ssh: false", "ssh: false\npackages: [nano]", "packages: + nano", &[Base, Kernel]),
    ];
    let mut keys = vec![first.key];
    for (from, to, told, expected) in table {
        set(&options, from, to);
        let named = changes(&options);
        let is_of_the_user = |change: &&String| !change.starts_with("lock: ") && !change.starts_with("epoch ");
        let named: Vec<&String> = named.iter().filter(is_of_the_user).collect();
        assert!(!named.is_empty() && named.iter().all(|change| change.starts_with(told)), "{to}: {named:?}");
        let image = build_with(&options).unwrap_or_else(|error| panic!("{to}: {}", report(&error)));
        assert!(!image.cached && !keys.contains(&image.key), "{to}");
        assert_eq!(reused(&image), expected, "{to}");
        keys.push(image.key);
    }
}

/// A layer whose content is another one by now is no secret of the store's.
#[test]
fn a_damaged_layer_is_reported_with_the_path_and_made_anew_without_the_cache() {
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    let project = Project::new("base: debian:bookworm\nname: damaged\nsize: auto\nssh: false\n");
    let mut options = project.options();
    let first = build_with(&options).unwrap();
    let layers = options.image_dir.join("layers");
    let before = names(&layers).len();
    for name in names(&layers) {
        let content = layers.join(name).join("content");
        let bytes = fs_err::read(&content).unwrap();
        // A line of /etc/bash.bashrc, as long as it was.
        let Some(at) = bytes.windows(22).position(|bytes| bytes == b"# System-wide .bashrc ") else { continue };
        let mut changed = bytes;
        changed[at + 2] = b's';
        fs_err::remove_file(&content).unwrap();
        fs_err::write(&content, changed).unwrap();
    }
    options.cache = CacheUse::Verify;
    set(&options, "size: auto", "size: auto\nhostname: other");
    let error = build_with(&options).unwrap_err();
    assert_eq!(error.class(), FailureClass::Build);
    assert!(report(&error).contains("/etc/bash.bashrc: f 0644 0 0 "), "{}", report(&error));

    options.cache = CacheUse::Refresh;
    assert_eq!(reused(&build_with(&options).unwrap()), []);
    assert_eq!(names(&layers).len(), before);
    set(&options, "\nhostname: other", "");
    assert_eq!(build_with(&options).unwrap().rootfs_blake3, first.rootfs_blake3);
    options.cache = CacheUse::Verify;
    build_with(&options).unwrap();

    // One that was cut short is none.
    for name in names(&layers) {
        let content = layers.join(name).join("content");
        let bytes = fs_err::read(&content).unwrap();
        // A layer to which nothing was added has no content of its own.
        let Some((_, cut)) = bytes.split_last() else { continue };
        fs_err::remove_file(&content).unwrap();
        fs_err::write(&content, cut).unwrap();
    }
    set(&options, "size: auto", "size: auto\nhostname: third");
    let fates = explain(&options, &Events::silent()).unwrap().layers;
    assert!(fates.iter().all(|layer| layer.fate != Fate::Reused), "{fates:?}");
    assert_eq!(reused(&build_with(&options).unwrap()), []);
}
