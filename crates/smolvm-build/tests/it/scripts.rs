//! A repository of one's own on top of Debian's, and a package in it whose script fails, then does not arrive, then works;
//! and run steps that change who and what there is.

use smolvm_build::FailureClass;
use smolvm_manifest::Distro;
use smolvm_packages::deb::release::release;
use smolvm_packages::test_archive::TestArchive;
use smolvm_packages::test_deb::TestDeb;
use smolvm_packages::test_key::TestKey;

use crate::archive::{DAY, assert_fails, build_with, now};
use crate::mirror::{Fault, Mirror};
use crate::support::{Project, debian_host, has};

const FAILING: &str = "#!/bin/sh\necho looking for the frobnicator >&2\necho it is not here\nexit 3\n";
const WORKING: &str = "#!/bin/sh\nset -e\necho configured by $DPKG_MAINTSCRIPT_PACKAGE > /opt/our-proof\n";

#[test]
fn a_package_that_failed_is_built_when_it_is_mended() {
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    let (folder, date) = (tempfile::tempdir().unwrap(), now() - DAY);
    let row = release(Distro::DebianBookworm).unwrap();
    let mut archive = TestArchive::new(folder.path(), row, TestKey::generate(date), date);
    let mirror = Mirror::start(&archive.archive_folder("debian"));
    let project = Project::new(&format!(
        "base: debian:bookworm\nsize: auto\nssh: false\npackages: [our-tool]\nrepositories:\n  \
         - {{name: ours, url: \"{}\", suites: [bookworm], components: [main], signed_by: ours.gpg}}\n",
        mirror.address()
    ));
    fs_err::write(project.path().join("ours.gpg"), archive.key().certificate()).unwrap();
    let mut options = project.options();

    publish(&mut archive, "1.0", FAILING);
    let words = [
        "the postinst script of the package our-tool failed",
        "exit code 3",
        "looking for the frobnicator",
        "it is not here",
    ];
    assert_fails("postinst", &options, FailureClass::Build, &words);

    // The lock holds the version that fails, until it is made anew.
    publish(&mut archive, "1.1", WORKING);
    fs_err::remove_file(options.lock_path()).unwrap();
    mirror.fail("/our-tool_1.1", Fault::Cut);
    options.retries.attempts = 1;
    assert_fails("cut", &options, FailureClass::Build, &["our-tool", mirror.address(), "the connection broke"]);

    mirror.repair("/our-tool_1.1");
    let image = build_with(&options).unwrap();
    let bytes = fs_err::read(image.rootfs).unwrap();
    let proof = b"configured by our-tool\n";
    assert!(bytes.chunks(4096).any(|block| block.starts_with(proof)), "the script ran, and its file is in the image");
    let lock = fs_err::read_to_string(options.lock_path()).unwrap();
    assert!(lock.contains("archive: \"ours\"") && !lock.contains(mirror.address()), "{lock}");
}

#[test]
fn a_step_may_change_users_and_may_not_remove_what_the_guest_needs() {
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    let project = Project::new(
        "base: debian:bookworm\nsize: auto\nssh: false\nrun:\n  \
         - {command: usermod --home /srv www-data, network: false}\n  \
         - {command: test \"$(id -un) $HOME\" = 'www-data /srv', user: www-data, network: false}\n  \
         - {command: rm /etc/passwd, network: false}\n",
    );
    let words = ["after run[2], `/etc/passwd` no longer has the user `root`", "rm /etc/passwd"];
    assert_fails("root", &project.options(), FailureClass::Build, &words);

    let smolfile =
        "base: debian:bookworm\nsize: auto\nssh: false\nrun:\n  - {command: ls, workdir: /nowhere, network: false}\n";
    let words = ["run[0] did not start", "/nowhere"];
    assert_fails("workdir", &Project::new(smolfile).options(), FailureClass::Build, &words);

    let smolfile =
        "base: debian:bookworm\nsize: auto\nssh: false\nrun:\n  - {command: rm -r /usr/lib, network: false}\n";
    let words = ["the image cannot boot: `/lib", "is missing"];
    assert_fails("library folder", &Project::new(smolfile).options(), FailureClass::Build, &words);
}

fn publish(archive: &mut TestArchive, version: &str, postinst: &str) {
    // Unlike that of any earlier run, which is in the download cache.
    let content = now().to_string();
    let deb = TestDeb::new("our-tool", version).dir("./opt/").file("./opt/our-tool", &content);
    let deb = deb.control_file("postinst", postinst);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file.path(), deb.build().unwrap()).unwrap();
    archive.add_deb("bookworm", "main", file.path()).unwrap();
    archive.write().unwrap();
}
