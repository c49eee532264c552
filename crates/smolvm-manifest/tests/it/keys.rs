//! What changes the build key, and what does not.

use std::collections::BTreeMap;

use smolvm_manifest::{
    Arch, Base, BuildKey, Distro, FileContent, KernelChoice, KernelFile, Layer, LocalKind, LocalSource, LockedKernel,
    LockedManifest, Modules, Owner, PackageLayer, PackagedKernel, Restart, SecretSource, Size, Tmp, question,
};

use crate::locks::lock_for;
use crate::surroundings::manifest;

const EVERYTHING: &str = include_str!("everything.yaml");

fn locked(text: &str) -> LockedManifest {
    let manifest = manifest(text);
    let lock = lock_for(&manifest);
    LockedManifest::new(manifest, lock).expect("the lock answers this manifest")
}

fn key_of(locked: &LockedManifest) -> BuildKey {
    locked.key("embedded", "recipe")
}

fn local(locked: &mut LockedManifest) -> &mut LocalSource {
    match &mut locked.manifest.files[0].content {
        FileContent::Local(source) => source,
        FileContent::Inline(_) => panic!("the first file of everything.yaml is a source"),
    }
}

fn service(locked: &mut LockedManifest) -> &mut smolvm_manifest::Service {
    &mut locked.manifest.services[0]
}

fn ssh(locked: &mut LockedManifest) -> &mut smolvm_manifest::Ssh {
    locked.manifest.ssh.as_mut().expect("SSH is on in everything.yaml")
}

type Change = fn(&mut LockedManifest);

/// One line for each input. A field that is missing here is a field that nobody has thought about.
#[rustfmt::skip]
const CHANGES: &[(&str, Change)] = &[
    ("name", |l| l.manifest.name.push('x')),
    ("base", |l| l.manifest.base = Base::Distro(Distro::DebianTrixie)),
    ("base image", |l| l.manifest.base = Base::Image("debian:bookworm".into())),
    ("arch", |l| l.manifest.arch = Arch::Arm64),
    ("size", |l| l.manifest.size = Size::Bytes(4096)),
    ("size auto", |l| l.manifest.size = Size::Auto),
    ("package added", |l| l.manifest.packages.push(l.manifest.packages[0].clone())),
    ("package name", |l| l.manifest.packages[0].name.push('x')),
    ("package version", |l| l.manifest.packages[0].version = Some("1".into())),
    ("package order", |l| l.manifest.packages.swap(0, 1)),
    ("repository name", |l| l.manifest.repositories[0].name.push('x')),
    ("repository url", |l| l.manifest.repositories[0].url.push('x')),
    ("repository suites", |l| l.manifest.repositories[0].suites.push("x".into())),
    ("repository components", |l| l.manifest.repositories[0].components.clear()),
    ("repository key", |l| l.manifest.repositories[0].signed_by.push(0)),
    ("ssh off", |l| l.manifest.ssh = None),
    ("ssh key", |l| ssh(l).authorized_keys[0].push('x')),
    ("ssh key order", |l| ssh(l).authorized_keys.swap(0, 1)),
    ("ssh password", |l| ssh(l).password_hash = None),
    ("env value", |l| l.manifest.env.insert("EDITOR".into(), "vi".into()).map_or((), drop)),
    ("env name", |l| l.manifest.env.insert("PAGER".into(), "less".into()).map_or((), drop)),
    ("hostname", |l| l.manifest.hostname.push('x')),
    ("user name", |l| l.manifest.users[0].name.push('x')),
    ("user uid", |l| l.manifest.users[0].uid = None),
    ("user groups", |l| l.manifest.users[0].groups.clear()),
    ("user shell", |l| l.manifest.users[0].shell.push('x')),
    ("user home", |l| l.manifest.users[0].home.push('x')),
    ("user keys", |l| l.manifest.users[0].authorized_keys.clear()),
    ("user password", |l| l.manifest.users[1].password_hash = None),
    ("user order", |l| l.manifest.users.swap(0, 1)),
    ("file target", |l| l.manifest.files[0].target.push('x')),
    ("file mode", |l| l.manifest.files[0].mode = Some(0o600)),
    ("file mode left out", |l| l.manifest.files[0].mode = None),
    ("file owner", |l| l.manifest.files[0].owner = Some(Owner { user: "root".into(), group: "adm".into() })),
    ("file owner's user", |l| l.manifest.files[0].owner = Some(Owner { user: "dev".into(), group: "root".into() })),
    ("file owner left out", |l| l.manifest.files[0].owner = None),
    ("file text", |l| l.manifest.files[1].content = FileContent::Inline("bye\n".into())),
    ("file order", |l| l.manifest.files.swap(0, 1)),
    ("source path", |l| local(l).entries[0].path.push('x')),
    ("source bytes", |l| local(l).entries[0].kind = LocalKind::File { blake3: "0".repeat(64), size: 10, executable: false }),
    ("source executable", |l| if let LocalKind::File { executable, .. } = &mut local(l).entries[0].kind { *executable = true }),
    ("source size", |l| if let LocalKind::File { size, .. } = &mut local(l).entries[0].kind { *size += 1 }),
    ("source is a folder", |l| local(l).entries[0].kind = LocalKind::Directory),
    ("source is a link", |l| local(l).entries[0].kind = LocalKind::Symlink { target: "a".into() }),
    ("source link's target", |l| local(l).entries[0].kind = LocalKind::Symlink { target: "b".into() }),
    ("source has one more", |l| { let e = local(l).entries[0].clone(); local(l).entries.push(e); }),
    ("step command", |l| l.manifest.run[1].command.push('x')),
    ("step workdir", |l| l.manifest.run[1].workdir.push('x')),
    ("step user", |l| l.manifest.run[1].user = "root".into()),
    ("step env", |l| l.manifest.run[1].env.clear()),
    ("step network", |l| l.manifest.run[1].network = true),
    ("step secrets", |l| l.manifest.run[1].secrets.clear()),
    ("step order", |l| l.manifest.run.swap(0, 1)),
    ("service name", |l| service(l).name.push('x')),
    ("service command", |l| service(l).command[2].push('1')),
    ("service user", |l| service(l).user = "root".into()),
    ("service workdir", |l| service(l).workdir.push('x')),
    ("service env", |l| service(l).env.insert("A".into(), "b".into()).map_or((), drop)),
    ("service after", |l| service(l).after_network = false),
    ("service restart", |l| service(l).restart = Restart::Always),
    ("dns", |l| l.manifest.dns.truncate(1)),
    ("dns order", |l| l.manifest.dns.swap(0, 1)),
    ("tmp", |l| l.manifest.tmp = Tmp::Disk),
    ("tmp without size", |l| l.manifest.tmp = Tmp::Tmpfs(None)),
    ("tmp size", |l| l.manifest.tmp = Tmp::Tmpfs(Some(1))),
    ("kernel", |l| l.manifest.kernel = KernelChoice::Debian),
    ("kernel modules", |l| l.manifest.kernel = KernelChoice::Distro { modules: Modules::Chosen }),
    ("kernel url", |l| l.manifest.kernel = KernelChoice::Url { url: "http://a".into(), sha256: "a".into() }),
    ("kernel url's digest", |l| l.manifest.kernel = KernelChoice::Url { url: "http://a".into(), sha256: "b".into() }),
    ("kernel file", |l| l.manifest.kernel = KernelChoice::Path { path: "a".into(), sha256: "a".into() }),
    ("kernel file's digest", |l| l.manifest.kernel = KernelChoice::Path { path: "a".into(), sha256: "b".into() }),
    ("boot arguments", |l| l.manifest.boot_args.push("debug".into())),
    ("boot argument order", |l| l.manifest.boot_args.swap(0, 1)),
    ("lock epoch", |l| l.lock.epoch += 1),
    ("index archive", |l| l.lock.indexes[0].archive.push('x')),
    ("index suite", |l| l.lock.indexes[0].suite.push('x')),
    ("index date", |l| l.lock.indexes[0].date += 1),
    ("index digest", |l| l.lock.indexes[0].sha256 = "0".repeat(64)),
    ("locked package name", |l| l.lock.packages[0].name.push('x')),
    ("locked package version", |l| l.lock.packages[0].version.push('x')),
    ("locked package arch", |l| l.lock.packages[0].arch.push('x')),
    ("locked package layer", |l| l.lock.packages[0].layer = PackageLayer::User),
    ("locked package archive", |l| l.lock.packages[0].archive.push('x')),
    ("locked package path", |l| l.lock.packages[0].path.push('x')),
    ("locked package size", |l| l.lock.packages[0].size += 1),
    ("locked package digest", |l| l.lock.packages[0].sha256 = "0".repeat(64)),
    ("locked package gone", |l| l.lock.packages.truncate(1)),
    ("locked kernel source", |l| l.lock.kernel = LockedKernel::Debian(packaged_kernel(l).clone())),
    ("locked kernel modules", |l| packaged_kernel(l).modules = Modules::Chosen),
    ("locked kernel package", |l| packaged_kernel(l).packages[0].version.push('x')),
    ("locked busybox", |l| packaged_kernel(l).busybox.version.push('x')),
    ("locked kernel file", |l| l.lock.kernel = LockedKernel::Url(KernelFile { sha256: "a".repeat(64) })),
    ("locked kernel file's digest", |l| l.lock.kernel = LockedKernel::Url(KernelFile { sha256: "b".repeat(64) })),
    ("locked kernel file's source", |l| l.lock.kernel = LockedKernel::Path(KernelFile { sha256: "a".repeat(64) })),
];

fn packaged_kernel(locked: &mut LockedManifest) -> &mut PackagedKernel {
    match &mut locked.lock.kernel {
        LockedKernel::Distro(kernel) => kernel,
        other => panic!("the lock of this test has a packaged kernel, not {other:?}"),
    }
}

#[test]
fn each_input_changes_the_key() {
    let mut keys: BTreeMap<BuildKey, &str> = BTreeMap::new();
    keys.insert(key_of(&locked(EVERYTHING)), "nothing");
    for (what, change) in CHANGES {
        let mut changed = locked(EVERYTHING);
        change(&mut changed);
        if let Some(same) = keys.insert(key_of(&changed), what) {
            panic!("a change of `{what}` gives the same key as a change of `{same}`");
        }
    }
    let locked = locked(EVERYTHING);
    assert!(keys.insert(locked.key("docker", "recipe"), "engine").is_none());
    assert!(keys.insert(locked.key("embedded", "other recipe"), "recipe").is_none());
}

/// `explain` names what changed, under the layer that it belongs to; keys of layers below stay, and so all of them where nothing changed.
#[test]
fn each_change_of_an_input_is_named() {
    let inputs = |locked: &LockedManifest| locked.inputs("embedded", "recipe");
    let before = inputs(&locked(EVERYTHING));
    for (what, change) in CHANGES {
        let mut changed = locked(EVERYTHING);
        change(&mut changed);
        let after = inputs(&changed);
        let mut named = 0;
        for layer in Layer::ALL {
            let named_here = before.layer(layer).changes_to(after.layer(layer));
            assert!(named_here.iter().all(|change| !change.to_string().is_empty()), "{what}: {named_here:?}");
            named += named_here.len();
            let is_below = layer.with_those_below().iter().all(|layer| before.layer(*layer) == after.layer(*layer));
            assert_eq!(before.layer_key(layer) == after.layer_key(layer), is_below, "{what}: {layer}");
        }
        assert!(named > 0, "{what} changes the key, and nothing says so");
    }
    for layer in Layer::ALL {
        assert_eq!(before.layer(layer).changes_to(inputs(&locked(EVERYTHING)).layer(layer)), []);
    }
}

/// A layer of packages is one to add to if all its packages are wanted, and others too; what asked for them does not matter.
#[test]
fn what_a_layer_of_packages_has_beyond_another_is_told_if_that_is_all() {
    fn package<'l>(locked: &'l mut LockedManifest, name: &str) -> &'l mut smolvm_manifest::LockedPackage {
        locked.lock.packages.iter_mut().find(|package| package.name == name).expect("a package of the lock")
    }
    let before = locked(EVERYTHING);
    let table: [(&str, Change, Option<&str>); 7] = [
        ("nothing else", |_| {}, Some("jq libjq1")),
        ("index", |l| l.lock.indexes[0].date += 1, Some("jq libjq1")),
        ("request", |l| l.manifest.packages[0].version = Some("1".into()), Some("jq libjq1")),
        ("nothing added", |l| l.lock.packages.truncate(2), None),
        ("version", |l| package(l, "libstdc++6").version.push('x'), None),
        ("digest", |l| package(l, "libstdc++6").sha256 = "cd".repeat(32), None),
        ("one less", |l| l.lock.packages.retain(|package| package.name != "libstdc++6"), None),
    ];
    for (what, change, expected) in table {
        let mut wanted = before.clone();
        for name in ["libjq1", "jq"] {
            let mut more = package(&mut wanted, "libstdc++6").clone();
            more.name = name.to_owned();
            wanted.lock.packages.push(more);
        }
        wanted.manifest.packages.rotate_left(1);
        change(&mut wanted);
        let [old, new] = [&before, &wanted].map(|locked| locked.inputs("embedded", "recipe"));
        let (old, new) = (old.layer(Layer::Packages), new.layer(Layer::Packages));
        assert_eq!(new.added_packages(old), None, "{what}: nothing is taken away");
        let added = old.added_packages(new).map(|added| added.into_iter().collect::<Vec<_>>().join(" "));
        assert_eq!(added.as_deref(), expected, "{what}");
        assert_eq!(old.locked_packages(), 1);
    }
}

/// Crypt hashes are in the image; what lists the inputs has only digests of them.
#[test]
fn no_crypt_hash_is_among_the_inputs() {
    let locked = locked(EVERYTHING);
    assert!(ssh(&mut locked.clone()).password_hash.is_some());
    let inputs = locked.inputs("embedded", "recipe");
    for layer in Layer::ALL {
        let text = serde_json::to_string(inputs.layer(layer)).expect("plain data");
        assert!(!text.contains("$6$"), "{layer}: {text}");
    }
}

/// The same through the text, for what `meaning` fills in.
#[test]
fn each_change_of_the_text_that_means_something_changes_the_key() {
    let base = key_of(&locked("base: debian:bookworm\nssh: {password: {from_env: ROOT_PASSWORD}}\n"));
    for text in [
        "base: debian:bookworm\nssh: {password: {from_env: NPM_TOKEN}}\n",
        "base: debian:bookworm\nname: x\nhostname: team-dev\nssh: {password: {from_env: ROOT_PASSWORD}}\n",
        "base: debian:bookworm\nhostname: x\nssh: {password: {from_env: ROOT_PASSWORD}}\n",
        "base: debian:trixie\nssh: {password: {from_env: ROOT_PASSWORD}}\n",
    ] {
        assert_ne!(base, key_of(&locked(text)), "{text}");
    }
}

#[test]
fn spelling_does_not_change_the_key() {
    let base = "base: debian:bookworm\nname: a\nenv: {A: b, C: d}\npackages: [git, curl]\nsize: 1GiB\nssh: {}\n";
    let expected = key_of(&locked(base));
    for text in [
        // A comment, white space, line ends.
        "# what a nice image\nbase:    debian:bookworm   # here\n\nname: a\nenv: {A: b, C: d}\npackages: [git, curl]\nsize: 1GiB\nssh: {}\n",
        "base: debian:bookworm\r\nname: a\r\nenv: {A: b, C: d}\r\npackages: [git, curl]\r\nsize: 1GiB\r\nssh: {}\r\n",
        // Another order of keys, also below the top.
        "ssh: {}\nsize: 1GiB\npackages: [git, curl]\nenv: {C: d, A: b}\nname: a\nbase: debian:bookworm\n",
        // Another style, quotes, a list for a map, an alias.
        "base: \"debian:bookworm\"\nname: 'a'\nenv:\n  - C=d\n  - A=b\npackages:\n  - git\n  - curl\nsize: 1GiB\nssh: true\n",
        "{\"base\": \"debian:bookworm\", \"name\": &n a, \"env\": {\"A\": \"b\", \"C\": \"d\"}, packages: [git, curl], size: 1024M, hostname: *n}",
        // Defaults written out.
        "version: 1\nbase: debian:bookworm\nname: a\nhostname: a\narch: amd64\nenv: {A: b, C: d}\npackages: [git, curl]\nsize: 1GiB\n\
         kernel: auto\ntmp: disk\nnetwork: {dns: [8.8.8.8, 8.8.4.4]}\nusers: []\nrun:\n",
    ] {
        assert_eq!(expected, key_of(&locked(text)), "{text}");
    }
}

/// What this machine calls things decides no bytes.
#[test]
fn places_do_not_change_the_key() {
    let expected = key_of(&locked(EVERYTHING));
    let mut elsewhere = locked(EVERYTHING);
    local(&mut elsewhere).root = "/somewhere/else".into();
    elsewhere.manifest.secrets.insert("NPM_TOKEN".into(), SecretSource::File("token".into()));
    elsewhere.manifest.document =
        std::sync::Arc::new(smolvm_manifest::Document { name: "other".into(), text: String::new() });
    assert_eq!(expected, key_of(&elsewhere));

    let mut here = locked(EVERYTHING);
    let mut there = locked(EVERYTHING);
    here.manifest.kernel = KernelChoice::Path { path: "a".into(), sha256: "a".into() };
    there.manifest.kernel = KernelChoice::Path { path: "b".into(), sha256: "a".into() };
    assert_eq!(key_of(&here), key_of(&there));
}

/// If this changes, every image in every store is built anew: raise `FORMAT_VERSION` and say why in the commit.
#[test]
fn the_key_is_the_same_on_every_machine() {
    insta::assert_snapshot!(key_of(&locked(EVERYTHING)));
}

#[test]
fn the_question_is_what_resolving_reads() {
    let base = "base: debian:bookworm\nname: a\npackages: [git]\n";
    let expected = question(&manifest(base));
    for other in [
        "base: debian:trixie\nname: a\npackages: [git]\n",
        "base: debian:bookworm\nname: a\npackages: [git]\narch: arm64\n",
        "base: debian:bookworm\nname: a\npackages: [git=1:2.*]\n",
        "base: debian:bookworm\nname: a\npackages: [git]\nssh: false\n",
        "base: debian:bookworm\nname: a\npackages: [git]\nkernel: debian\n",
        "base: debian:bookworm\nname: a\npackages: [git]\nrepositories: [{name: debian, url: 'http://mirror.example.org'}]\n",
    ] {
        assert_ne!(expected, question(&manifest(other)), "{other}");
    }
    for same in [
        "base: debian:bookworm\nname: b\npackages: [git]\nhostname: x\nenv: {A: b}\nsize: 1GiB\nboot: {args: [quiet]}\n",
        "packages: [git]\nbase: debian:bookworm\nusers: [{name: dev}]\nfiles: [{target: /a, content: b}]\nrun: [make]\n",
    ] {
        assert_eq!(expected, question(&manifest(same)), "{same}");
    }
}

#[test]
fn build_keys_are_parsed_strictly() {
    let key = key_of(&locked("base: debian:bookworm\n"));
    assert_eq!(key.as_str().len(), 64);
    assert_eq!(key.to_string().parse(), Ok(key.clone()));
    for text in ["", "abc", &key.as_str().to_uppercase(), &format!("{key}0"), &"g".repeat(64)] {
        assert!(text.parse::<BuildKey>().is_err(), "{text}");
    }
}
