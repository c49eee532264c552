//! A small archive of made-up packages on loopback: enough to resolve and to fetch, nothing that could run.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use smolvm_build::{BuildError, BuildOptions, BuiltImage, Events, FailureClass, Retries, Timeouts, build};
use smolvm_manifest::Distro;
use smolvm_packages::deb::release::release;
use smolvm_packages::test_archive::TestArchive;
use smolvm_packages::test_deb::{TestCompression, TestDeb};
use smolvm_packages::test_key::TestKey;

use crate::mirror::{Fault, Mirror};
use crate::support::{Project, runtime};

/// An archive in Ubuntu's layout with a base set of two packages, the parts of a kernel, and `subject`.
///
/// The kernel takes minutes to arrive, so that a build fails because of something else or not at all.
pub(crate) struct Small {
    pub(crate) archive: TestArchive,
    pub(crate) mirror: Mirror,
    folder: tempfile::TempDir,
}

pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

pub(crate) const DAY: i64 = 24 * 60 * 60;

impl Small {
    /// With this package as the subject.
    pub(crate) fn new(subject: &TestDeb) -> Self {
        let (folder, date) = (tempfile::tempdir().unwrap(), now() - DAY);
        let archive =
            TestArchive::new(folder.path(), release(Distro::Ubuntu2404).unwrap(), TestKey::generate(date), date);
        let mirror = Mirror::start(&archive.archive_folder("ubuntu"));
        mirror.fail("/linux-image-6-made-up/", Fault::Leisurely);
        let mut small = Self { archive, mirror, folder };
        for deb in [
            TestDeb::new("base-files", "1").field("Essential", "yes"),
            TestDeb::new("apt", "1"),
            TestDeb::new("linux-image-virtual", "1").field("Depends", "linux-image-6-made-up"),
            TestDeb::new("linux-image-6-made-up", "1")
                .file("./kernel", &"x".repeat(500_000))
                .compression(TestCompression::None),
            TestDeb::new("busybox-static", "1"),
            subject.clone(),
        ] {
            small.add(&deb);
        }
        small.archive.write().unwrap();
        small
    }

    /// Publishes one more package.
    pub(crate) fn publish(&mut self, deb: &TestDeb) {
        self.add(deb);
        self.archive.write().unwrap();
    }

    /// The indexes name these packages no more.
    pub(crate) fn forget(&mut self, names: &[&str]) {
        for name in names {
            self.archive.forget(name);
        }
    }

    fn add(&mut self, deb: &TestDeb) {
        let path = self.folder.path().join("new.deb");
        fs_err::write(&path, deb.build().unwrap()).unwrap();
        self.archive.add_deb("noble", "main", &path).unwrap();
    }

    /// A project that installs `subject` from this archive.
    pub(crate) fn project(&self) -> Project {
        self.project_at(self.mirror.address())
    }

    /// The same, told that the archive is somewhere else.
    pub(crate) fn project_at(&self, address: &str) -> Project {
        let project = Project::new(&format!(
            "name: faulty\nbase: ubuntu:24.04\nsize: 64MiB\nssh: false\npackages: [subject]\nrepositories:\n  - {{name: ubuntu, url: \"{address}\", signed_by: test.gpg}}\n"
        ));
        fs_err::write(project.path().join("test.gpg"), self.archive.key().certificate()).unwrap();
        project
    }
}

/// Options that give a mirror up soon, with a download cache of the project's own.
pub(crate) fn impatient(project: &Project) -> BuildOptions {
    let mut options = project.options();
    options.cache_dir = project.path().join("cache");
    options.retries = Retries { attempts: 2, first_wait: Duration::from_millis(10), ..Retries::default() };
    options.timeouts = Timeouts {
        connect: Duration::from_millis(500),
        answer: Duration::from_millis(500),
        idle: Duration::from_millis(500),
        slow_over: Duration::from_millis(500),
        slow_bytes_per_second: 1024,
    };
    options
}

pub(crate) fn build_with(options: &BuildOptions) -> Result<BuiltImage, BuildError> {
    runtime().block_on(build(options, &Events::silent()))
}

/// The build fails in this class; the whole report names all of `words` and says what to do; nothing half is left anywhere.
pub(crate) fn assert_fails(what: &str, options: &BuildOptions, class: FailureClass, words: &[&str]) {
    let error = build_with(options).expect_err(what);
    let report = report(&error);
    assert_eq!(error.class(), class, "{what}: {report}");
    for word in words {
        assert!(report.contains(word), "{what}: `{word}` is not in: {report}");
    }
    assert!(has_help(error.diagnostic()), "{what}: no help with: {report}");
    assert_nothing_half(what, options);
}

/// What is said: the message, those of its causes, and those of the single mistakes.
pub(crate) fn report(error: &BuildError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        let _ = write!(text, "\n{deeper}");
        cause = deeper.source();
    }
    for mistake in error.diagnostic().related().into_iter().flatten() {
        let _ = write!(text, "\n{mistake}");
    }
    text
}

fn has_help(diagnostic: &dyn miette::Diagnostic) -> bool {
    diagnostic.help().is_some()
        || diagnostic.related().is_some_and(|mut related| related.any(has_help))
        || diagnostic.diagnostic_source().is_some_and(has_help)
}

/// No image or part of one in the store, no name, and nothing in the download cache that is not what it is called.
pub(crate) fn assert_nothing_half(what: &str, options: &BuildOptions) {
    for folder in ["images", "scratch", "staging", "names"] {
        let left = names(&options.image_dir.join(folder));
        assert!(left.is_empty(), "{what}: `{folder}` of the store holds {left:?}");
    }
    for entry in walkdir::WalkDir::new(options.cache_dir.join("sha256")).into_iter().flatten() {
        if entry.file_type().is_file() {
            let digest = hex::encode(Sha256::digest(fs_err::read(entry.path()).unwrap()));
            assert_eq!(entry.file_name().to_str(), Some(digest.as_str()), "{what}: half a file is in the cache");
        }
    }
}

/// What a folder holds; nothing if it is not there.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
