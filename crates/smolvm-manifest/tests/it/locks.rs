//! The text of lock files.

use std::fmt::Write as _;

use smolvm_manifest::{
    KernelFile, Lock, LockedIndex, LockedKernel, LockedManifest, LockedPackage, Manifest, Modules, PackageLayer,
    PackagedKernel, question,
};

use crate::surroundings::{manifest, render};

fn package(name: &str, version: &str) -> LockedPackage {
    LockedPackage {
        name: name.to_owned(),
        version: version.to_owned(),
        arch: "amd64".to_owned(),
        layer: PackageLayer::Base,
        archive: "debian".to_owned(),
        path: format!("pool/main/{}/{name}/{name}_{version}_amd64.deb", &name[..1]),
        size: 12345,
        sha256: blake3::hash(name.as_bytes()).to_hex().to_string(),
    }
}

/// A lock that answers this manifest.
pub(crate) fn lock_for(manifest: &Manifest) -> Lock {
    let mut user = package("libstdc++6", "1:12.2.0-14+deb12u1~x");
    user.layer = PackageLayer::User;
    Lock {
        version: Lock::VERSION,
        question: question(manifest),
        epoch: 1_700_000_000,
        indexes: vec![LockedIndex {
            archive: "debian".to_owned(),
            suite: "bookworm".to_owned(),
            date: 1_700_000_000,
            sha256: "ab".repeat(32),
        }],
        packages: vec![package("base-files", "12.4+deb12u5"), user],
        kernel: LockedKernel::Distro(PackagedKernel {
            modules: Modules::All,
            packages: vec![package("linux-image-cloud-amd64", "6.1.1")],
            busybox: package("busybox-static", "1:1.35"),
        }),
        base_image: None,
    }
}

fn text() -> String {
    lock_for(&manifest("base: debian:bookworm\n")).to_text()
}

fn refused(text: &str) -> String {
    match Lock::parse("Smolfile.lock", text) {
        Ok(_) => panic!("this lock was accepted:\n{text}"),
        Err(error) => render(&error),
    }
}

#[test]
fn the_text_is_made_for_diffs() {
    insta::assert_snapshot!(text());
}

#[test]
fn what_is_written_is_read() {
    let lock = lock_for(&manifest("base: debian:bookworm\n"));
    assert_eq!(Lock::parse("Smolfile.lock", &lock.to_text()).expect("our own text"), lock);
    let mut empty = lock;
    empty.packages.clear();
    empty.indexes.clear();
    assert_eq!(Lock::parse("Smolfile.lock", &empty.to_text()).expect("our own text"), empty);
}

/// Whatever a version or path holds: no text of ours breaks out of its quotes.
#[test]
fn quoting_holds() {
    let mut lock = lock_for(&manifest("base: debian:bookworm\n"));
    lock.packages[0].version = r#"1:2.0"},{#&*!|>'%@`\n~+"#.to_owned();
    assert_eq!(Lock::parse("Smolfile.lock", &lock.to_text()).expect("our own text"), lock);
}

#[test]
fn a_merge_conflict_is_called_one() {
    let text = text().replace("epoch:", "<<<<<<< HEAD\nepoch: 1\n=======\nepoch:");
    insta::assert_snapshot!(refused(&text));
}

#[test]
fn another_version_is_called_one() {
    let reports = ["version: 3\nlayers: {}\n", "version: 1\nquestion: \"\"\n"].map(refused);
    insta::assert_snapshot!(reports.join("\n\n"));
}

#[test]
fn damage_is_pointed_at() {
    let damage: [(&str, &str, &str); 14] = [
        ("no_lock", "", "hello: world\n"),
        ("unknown_key", "epoch:", "epcoh: 1\nepoch:"),
        ("wrong_type", "size: 12345", "size: many"),
        ("negative_size", "size: 12345", "size: -1"),
        ("half_a_byte", "size: 12345", "size: 0.5"),
        ("negative_epoch", "epoch: 1700000000", "epoch: -5"),
        ("epoch_of_the_year_9999", "epoch: 1700000000", "epoch: 253370764800"),
        ("date_of_the_year_2100", "date: 1700000000", "date: 4102444800"),
        ("missing", ", sha256: \"abababababababababababababababababababababababababababababababab\"", ""),
        ("escaping_path", "pool/main/b/base-files/", "../../../etc/"),
        ("absolute_path", "pool/main/b/base-files/", "/pool/"),
        ("short_digest", "abababababababababababababababababababababababababababababababab", "abab"),
        ("bad_name", "name: \"base-files\"", "name: \"base/../files\""),
        ("cut_off", "kernel:\n", "kernel: [\n"),
    ];
    let mut all = String::new();
    for (what, from, to) in damage {
        let text = if from.is_empty() { to.to_owned() } else { text().replacen(from, to, 1) };
        let _ = writeln!(all, "## {what}\n{}\n", refused(&text));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_change_by_hand_is_told() {
    let text = text();
    let without = |word: &str| text.lines().filter(|line| !line.contains(word)).collect::<Vec<_>>().join("\n") + "\n";
    insta::assert_snapshot!(refused(&without("name: \"libstdc++6\"")));
    let changes = [
        without("digest:"),
        text.replace("12.4+deb12u5", "12.4+deb12u6"),
        text.replace("epoch: 1700000000", "epoch: 1700000001"),
        text.replace("size: 12345", "size: 12346"),
        text.replace("modules: \"all\"", "modules: \"chosen\""),
        text.replace("digest: \"", "digest: \"0"),
    ];
    for changed in changes {
        assert_ne!(changed, text);
        assert!(refused(&changed).contains("smolvm::lock::changed"), "{changed}");
    }
}

#[test]
fn how_a_lock_is_written_says_nothing() {
    let text = text();
    let lock = Lock::parse("Smolfile.lock", &text).expect("our own text");
    for other in [
        text.replace('\n', "\r\n"),
        text.replacen("packages:", "# Checked in by me.\npackages:", 1),
        text.replace("epoch: 1", "epoch:   1"),
        text.replace('"', "'"),
    ] {
        assert_eq!(Lock::parse("Smolfile.lock", &other).expect("the same lock"), lock);
    }
}

#[test]
fn a_package_twice_is_damage() {
    let lock = lock_for(&manifest("base: debian:bookworm\n"));
    for at in [0, lock.packages.len()] {
        let mut lock = lock.clone();
        lock.packages.insert(at, lock.packages[0].clone());
        assert!(refused(&lock.to_text()).contains("`base-files` is listed twice"), "{at}");
    }
}

#[test]
fn equal_keys_are_damage() {
    refused(&text().replacen("epoch:", "epoch: 1\nepoch:", 1));
}

#[test]
fn a_stale_lock_is_refused_with_what_to_do() {
    let lock = lock_for(&manifest("base: debian:bookworm\n"));
    let fresh = manifest("base: debian:bookworm\nhostname: other\n");
    assert!(LockedManifest::new(fresh, lock.clone()).is_ok());
    let stale = LockedManifest::new(manifest("base: debian:bookworm\npackages: [git]\n"), lock).expect_err("stale");
    insta::assert_snapshot!(render(&stale));
}

/// The hit path reads a lock: 1,000 packages must cost milliseconds, with room for a slow machine and a debug build.
#[test]
fn parsing_is_fast() {
    let mut lock = lock_for(&manifest("base: debian:bookworm\n"));
    lock.packages = (0..1_000).map(|index| package(&format!("package-{index:04}"), "1.0-1")).collect();
    let text = lock.to_text();
    let started = std::time::Instant::now();
    let parsed = Lock::parse("Smolfile.lock", &text).expect("our own text");
    let took = started.elapsed();
    assert_eq!(parsed, lock);
    eprintln!("a lock of 1,000 packages, {} bytes: {took:?}", text.len());
    assert!(took.as_millis() < 500, "{took:?}");
}

#[test]
fn a_kernel_that_is_one_file_is_kept() {
    let file = || KernelFile { sha256: "cd".repeat(32) };
    for (kernel, word) in [
        (LockedKernel::Smolvm(file()), "smolvm"),
        (LockedKernel::Url(file()), "url"),
        (LockedKernel::Path(file()), "path"),
    ] {
        let mut lock = lock_for(&manifest("base: debian:bookworm\n"));
        lock.kernel = kernel;
        let text = lock.to_text();
        assert!(text.contains(&format!("kernel:\n  from: \"{word}\"\n  sha256: \"cdcd")), "{text}");
        assert_eq!(Lock::parse("Smolfile.lock", &text).unwrap(), lock);
        let odd = text.replace("  sha256: \"cdcd", "  size: 3\n  sha256: \"cdcd");
        assert!(refused(&odd).contains("size"), "{odd}");
    }
}

#[test]
fn what_changed_is_told_old_to_new() {
    let old = lock_for(&manifest("base: debian:bookworm\n"));
    assert_eq!(old.changes_to(&old), []);
    let mut new = old.clone();
    new.indexes[0].date += 3 * 86_400;
    new.indexes[0].sha256 = "cd".repeat(32);
    new.packages[0] = package("base-files", "12.4+deb12u6");
    new.packages[0].sha256 = "ef".repeat(32);
    // Another file under the same version.
    new.packages[1].sha256 = "01".repeat(32);
    new.packages.push(package("jq", "1.6"));
    new.kernel = LockedKernel::Smolvm(KernelFile { sha256: "23".repeat(32) });
    let changes: Vec<String> = old.changes_to(&new).iter().map(ToString::to_string).collect();
    let digest = &old.packages[1].sha256[..12];
    assert_eq!(
        changes,
        [
            "bookworm 2023-11-14 -> 2023-11-17".to_owned(),
            "base-files 12.4+deb12u5 -> 12.4+deb12u6".to_owned(),
            "+ jq 1.6".to_owned(),
            format!("libstdc++6 1:12.2.0-14+deb12u1~x ({digest}) -> 1:12.2.0-14+deb12u1~x (010101010101)"),
            "kernel distro: linux-image-cloud-amd64 6.1.1, busybox-static 1:1.35 -> smolvm: 232323232323".to_owned(),
        ]
    );
    let back: Vec<String> = new.changes_to(&old).iter().map(ToString::to_string).collect();
    assert!(back.contains(&"- jq 1.6".to_owned()), "{back:?}");
}
