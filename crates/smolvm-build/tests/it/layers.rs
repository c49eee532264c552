//! Cached layers: what is reused, what that gives, and what is said of it.

use smolvm_build::{BuildOptions, BuiltImage, CacheUse, Events, FailureClass, Fate, build, explain};
use smolvm_manifest::{Distro, Layer};
use smolvm_packages::deb::release::release;
use smolvm_packages::test_archive::TestArchive;
use smolvm_packages::test_deb::{TestDeb, TestEntry};
use smolvm_packages::test_key::TestKey;

use crate::archive::{DAY, build_with, names, now, report};
use crate::mirror::Mirror;
use crate::support::{Project, debian_host, has, recording, runtime};

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

/// Publishes packages in an archive of our own for bookworm.
fn publish(archive: &mut TestArchive, debs: &[TestDeb]) {
    for deb in debs {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), deb.build().unwrap()).unwrap();
        archive.add_deb("bookworm", "main", file.path()).unwrap();
    }
    archive.write().unwrap();
}

/// A program of its own name, with text that no earlier run's download cache has.
fn program(name: &str) -> TestDeb {
    let path = format!("./usr/bin/{name}");
    TestDeb::new(name, "1").dir("./usr/").dir("./usr/bin/").file(&path, &now().to_string())
}

/// Each build adds a package to those before; what is told of it, and that what is added to gives what a clean build of all makes.
#[test]
fn packages_that_commute_are_added_to_a_cached_layer_and_others_are_not() {
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    let (folder, date) = (tempfile::tempdir().unwrap(), now() - DAY);
    let row = release(Distro::DebianBookworm).unwrap();
    let mut archive = TestArchive::new(folder.path(), row, TestKey::generate(date), date);
    let looks = "#!/bin/sh\nif command -v our-sought; then touch /opt/our-sought-was-here; fi\n";
    let private = TestEntry { name: b"./etc/our.conf".to_vec(), mode: 0o600, ..TestEntry::default() };
    let plain = program("our-plain").field("Depends", "our-first").dir("./etc/").entry(private);
    publish(
        &mut archive,
        &[
            program("our-first").dir("./srv/our/"),
            // By its name, one whose script was read.
            program("libpython3-ours").control_file("postinst", looks),
            plain.control_file("conffiles", "/etc/our.conf\n").dir("./srv/our/empty/"),
            program("our-called")
                .control_file("triggers", "activate-noawait ldconfig\n")
                .symlink("./bin/our-alias", "our-called"),
            program("our-scripted").control_file("postinst", "#!/bin/sh\ntouch /opt/our-script-ran\n"),
            program("our-sought"),
            program("our-last"),
        ],
    );
    let mirror = Mirror::start(&archive.archive_folder("debian"));
    let project = Project::new(&format!(
        "base: debian:bookworm\nname: added\nsize: auto\nssh: false\npackages: [our-first, libpython3-ours]\nrepositories:\n  \
         - {{name: ours, url: \"{}\", suites: [bookworm], components: [main], signed_by: ours.gpg}}\n",
        mirror.address()
    ));
    fs_err::write(project.path().join("ours.gpg"), archive.key().certificate()).unwrap();
    let mut options = project.options();
    build_with(&options).unwrap_or_else(|error| panic!("{}", report(&error)));
    for (added, told) in [
        ("our-plain", "packages: our-plain added to the cached layer"),
        // To the one to which another was added.
        ("our-called", "packages: our-called added to the cached layer"),
        ("our-sought", "since libpython3-ours.postinst speaks of our-sought, which our-sought brings"),
        ("our-scripted", "packages: all installed together again, since our-scripted has a postinst"),
        ("our-last", "since nobody has read our-scripted.postinst, which may look at what is there"),
    ] {
        options.cache = if told.starts_with("packages: our-") { CacheUse::Verify } else { CacheUse::Use };
        set(&options, "packages: [", &format!("packages: [{added}, "));
        let (events, log) = recording();
        let image = runtime().block_on(build(&options, &events)).unwrap_or_else(|error| panic!("{}", report(&error)));
        assert_eq!(reused(&image), [Layer::Base, Layer::Kernel], "{added}");
        let log = log.lock().unwrap();
        assert!(log.contains(told), "{added}: {log}");
    }
}
