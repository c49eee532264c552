//! The text of lock files.

use std::fmt::Write as _;

use smolvm_manifest::{
    Arch, ImageTools, KernelFile, Lock, LockError, LockFile, LockedImage, LockedIndex, LockedKernel, LockedManifest,
    LockedPackage, Manifest, Modules, PackageLayer, PackagedKernel, lock_schema, question,
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

/// A file with this lock alone.
fn written(lock: &Lock) -> String {
    LockFile::of(Arch::Amd64, lock.clone()).to_text()
}

fn read_file(text: &str) -> Result<LockFile, LockError> {
    LockFile::parse("Smolfile.lock", text, Arch::Amd64)
}

/// The lock of a file that has one.
fn read(text: &str) -> Lock {
    let file = read_file(text).unwrap_or_else(|error| panic!("{}", render(&error)));
    assert_eq!(file.iter().count(), 1);
    file.get(Arch::Amd64).expect("the one").clone()
}

fn text() -> String {
    written(&lock_for(&manifest("base: debian:bookworm\n")))
}

fn refused(text: &str) -> String {
    match read_file(text) {
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
    assert_eq!(read(&written(&lock)), lock);
    let mut empty = lock;
    empty.packages.clear();
    empty.indexes.clear();
    assert_eq!(read(&written(&empty)), empty);
}

/// Whatever a version or path holds: no text of ours breaks out of its quotes.
#[test]
fn quoting_holds() {
    let mut lock = lock_for(&manifest("base: debian:bookworm\n"));
    lock.packages[0].version = r#"1:2.0"},{#&*!|>'%@`\n~+"#.to_owned();
    assert_eq!(read(&written(&lock)), lock);
}

#[test]
fn a_merge_conflict_is_called_one() {
    let text = text().replace("    epoch:", "<<<<<<< HEAD\n    epoch: 1\n=======\n    epoch:");
    insta::assert_snapshot!(refused(&text));
}

#[test]
fn another_version_is_called_one() {
    let reports = ["version: 4\nlayers: {}\n", "version: 1\nquestion: \"\"\n"].map(refused);
    insta::assert_snapshot!(reports.join("\n\n"));
}

#[test]
fn damage_is_pointed_at() {
    let damage: [(&str, &str, &str); 16] = [
        ("no_lock", "", "hello: world\n"),
        ("unknown_key", "    epoch:", "    epcoh: 1\n    epoch:"),
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
        ("unknown_architecture", "  amd64:", "  riscv64:"),
        ("without_architectures", "architectures:", "locks:"),
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
    let lock = read(&text);
    for other in [
        text.replace('\n', "\r\n"),
        text.replacen("    packages:", "# Checked in by me.\n    packages:", 1),
        text.replace("epoch: 1", "epoch:   1"),
        text.replace('"', "'"),
    ] {
        assert_eq!(read(&other), lock);
    }
}

#[test]
fn a_package_twice_is_damage() {
    let lock = lock_for(&manifest("base: debian:bookworm\n"));
    for at in [0, lock.packages.len()] {
        let mut lock = lock.clone();
        lock.packages.insert(at, lock.packages[0].clone());
        assert!(refused(&written(&lock)).contains("`base-files` is listed twice"), "{at}");
    }
}

#[test]
fn equal_keys_are_damage() {
    refused(&text().replacen("    epoch:", "    epoch: 1\n    epoch:", 1));
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
    let text = written(&lock);
    let started = std::time::Instant::now();
    let parsed = read(&text);
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
        let text = written(&lock);
        assert!(text.contains(&format!("kernel:\n      from: \"{word}\"\n      sha256: \"cdcd")), "{text}");
        assert_eq!(read(&text), lock);
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

/// The locks of one Smolfile on two architectures.
fn two() -> LockFile {
    let mut file = LockFile::default();
    for arch in Arch::ALL {
        let mut lock = lock_for(&manifest(&format!("base: debian:bookworm\narch: {arch}\n")));
        for package in &mut lock.packages {
            package.arch = arch.to_string();
            package.path = package.path.replace("amd64", arch.as_str());
        }
        file.insert(arch, lock);
    }
    file
}

#[test]
fn a_file_has_the_locks_of_several_architectures() {
    let file = two();
    let text = file.to_text();
    insta::assert_snapshot!(text);
    assert_eq!(read_file(&text).unwrap(), file);
    let empty = LockFile::default();
    assert_eq!(read_file(&empty.to_text()).unwrap(), empty);
}

/// So that a diff shows one architecture, and version control can merge the work of two machines.
#[test]
fn the_lines_of_one_architecture_do_not_depend_on_another() {
    let both = two();
    let text = both.to_text();
    for arch in Arch::ALL {
        let alone = LockFile::of(arch, both.get(arch).unwrap().clone()).to_text();
        let block = &alone[alone.find(&format!("  {arch}:\n")).unwrap()..];
        assert!(text.contains(block), "{arch}");
    }
    let mut newer = both.clone();
    let mut lock = both.get(Arch::Arm64).unwrap().clone();
    lock.packages[0] = package("base-files", "12.4+deb12u6");
    newer.insert(Arch::Arm64, lock);
    let newer = newer.to_text();
    let changed: Vec<&str> = newer.lines().filter(|line| !text.contains(line)).collect();
    assert_eq!(changed.len(), 2, "the package and the digest: {changed:?}");
    assert!(changed[0].starts_with("    digest: ") && changed[1].contains("deb12u6"), "{changed:?}");
}

#[test]
fn damage_is_pointed_at_in_the_architecture_that_has_it() {
    let text = two().to_text();
    let arm64 = text.find("  arm64:").unwrap();
    let after = |from: &str, to: &str| format!("{}{}", &text[..arm64], text[arm64..].replacen(from, to, 1));
    let line = |report: &str| {
        let place = report.split("Smolfile.lock:").nth(1).unwrap();
        place.split(':').next().unwrap().parse::<usize>().unwrap()
    };
    let begins = text[..arm64].lines().count();
    for changed in [after("size: 12345", "size: 1"), after("pool/main", "../pool"), after("ababab", "xyzxyz")] {
        let report = refused(&changed);
        assert!(line(&report) > begins, "{report}");
    }
}

/// What smolvm wrote before a file could have several architectures.
fn version_two(text: &str) -> String {
    let lines = text.replace("version: 3\narchitectures:\n  amd64:\n", "version: 2\n");
    lines.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn a_file_of_version_2_is_read() {
    const OLD: &str = include_str!("lock-version-2.lock");
    let lock = lock_for(&manifest("base: debian:bookworm\n"));
    assert_eq!(version_two(&written(&lock)), OLD);
    // Its packages say for which architecture it is, whoever reads it.
    let file = LockFile::parse("Smolfile.lock", OLD, Arch::Arm64).unwrap();
    assert_eq!(file, LockFile::of(Arch::Amd64, lock.clone()));
    assert!(LockedManifest::new(manifest("base: debian:bookworm\n"), lock.clone()).is_ok());
    assert!(refused(&OLD.replace("size: 12345", "size: 1")).contains("smolvm::lock::changed"));
    // Without packages, it is taken for the one that is asked for.
    let mut bare = lock;
    bare.packages.clear();
    bare.kernel = LockedKernel::Url(KernelFile { sha256: "cd".repeat(32) });
    let file = LockFile::parse("Smolfile.lock", &version_two(&written(&bare)), Arch::Arm64).unwrap();
    assert_eq!(file, LockFile::of(Arch::Arm64, bare));
}

#[test]
fn what_is_written_is_valid_by_the_schema() {
    let schema = jsonschema::draft7::new(&lock_schema()).unwrap();
    let valid = |text: &str| {
        let value: serde_json::Value = serde_yaml::from_str(text).unwrap();
        schema.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect::<Vec<_>>()
    };
    let debian = lock_for(&manifest("base: debian:bookworm\n"));
    let LockedKernel::Distro(packaged) = debian.kernel.clone() else { panic!() };
    let mut image = debian.clone();
    image.packages.clear();
    image.kernel = LockedKernel::Debian(packaged);
    image.base_image = Some(LockedImage {
        reference: "node:22".to_owned(),
        digest: format!("sha256:{}", "ab".repeat(32)),
        in_registry: true,
        tools: ImageTools::Apt,
        env: [("PATH".to_owned(), "/bin".to_owned())].into(),
        user: String::new(),
        workdir: "/".to_owned(),
        entrypoint: vec!["docker-entrypoint.sh".to_owned()],
        cmd: Vec::new(),
    });
    let file = || KernelFile { sha256: "cd".repeat(32) };
    let with = |kernel| Lock { kernel, ..debian.clone() };
    let mut texts = vec![two().to_text(), LockFile::default().to_text()];
    for lock in [
        debian.clone(),
        image,
        with(LockedKernel::Smolvm(file())),
        with(LockedKernel::Url(file())),
        with(LockedKernel::Path(file())),
    ] {
        texts.push(written(&lock));
    }
    for text in &texts {
        assert_eq!(valid(text), Vec::<String>::new(), "{text}");
    }
    for (from, to) in [
        ("version: 3", "version: 2"),
        ("amd64:", "sparc:"),
        ("    digest: ", "    digits: "),
        ("modules: \"all\"", "modules: \"most\""),
        ("from: \"distro\"", "from: \"url\""),
        ("from: \"distro\"", "from: \"elsewhere\""),
        ("size: 12345", "size: -1"),
        ("abababab", "ABABABAB"),
        ("layer: \"user\"", "layer: \"top\""),
        ("suite: ", "sweet: "),
    ] {
        let text = texts[2].replacen(from, to, 1);
        assert_ne!(text, texts[2]);
        assert_ne!(valid(&text), Vec::<String>::new(), "{from} -> {to}");
    }
}
