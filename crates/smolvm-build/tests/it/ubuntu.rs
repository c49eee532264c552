//! A release in Ubuntu's layout: Debian packages, published again by a local mirror and signed by a test key.

use std::path::Path;

use smolvm_build::BuiltImage;
use smolvm_manifest::{Arch, Distro, LockFile};
use smolvm_packages::deb::release::release;
use smolvm_packages::test_archive::TestArchive;
use smolvm_packages::test_key::TestKey;
use smolvm_vm::Work;
use tower_http::services::ServeDir;

use crate::support::{Project, debian_host, download_cache, has, machine, programs_are_here, runtime};

const PACKAGES: &str = "base: debian:bookworm\nsize: 1GiB\npackages: [less]\n";

#[test]
fn a_release_in_ubuntus_layout_is_built() {
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    let debian = Project::new(PACKAGES);
    debian.build().unwrap();
    let lock = fs_err::read_to_string(debian.path().join("Smolfile.lock")).unwrap();
    let file = LockFile::parse("Smolfile.lock", &lock, Arch::Amd64).unwrap();
    let (_, lock) = file.iter().next().unwrap();

    let (folder, epoch) = (tempfile::tempdir().unwrap(), lock.epoch);
    let key = TestKey::generate(lock.epoch);
    let mut archive = TestArchive::new(folder.path(), release(Distro::Ubuntu2404).unwrap(), key, lock.epoch);
    for package in &lock.packages {
        let deb = download_cache().join("sha256").join(&package.sha256[..2]).join(&package.sha256);
        archive.add_deb("noble", "main", &deb).unwrap();
    }
    archive.write().unwrap();
    let address = serve(&archive.archive_folder("ubuntu"));

    let project = Project::new(&format!(
        "name: ubuntu-shaped\nbase: ubuntu:24.04\nsize: 1GiB\npackages: [less]\nkernel: debian\nrepositories:\n  - {{name: ubuntu, url: \"http://{address}\", signed_by: test.gpg}}\n"
    ));
    fs_err::write(project.path().join("test.gpg"), archive.key().certificate()).unwrap();
    let image = project.build().unwrap();
    assert!(image.initrd.is_some());
    let lock = fs_err::read_to_string(project.path().join("Smolfile.lock")).unwrap();
    assert!(lock.contains("archive: \"ubuntu\"") && lock.contains("from: \"debian\""), "{lock}");
    assert!(!lock.contains(&address), "a lock names no host");
    if has("qemu-system-x86_64 and ssh", programs_are_here(&["qemu-system-x86_64", "ssh"])) {
        assert_eq!(boot(&image, project.path()), 7);
    }

    // Signed by a key that nobody allowed, the same archive is refused.
    let other = Project::new(&fs_err::read_to_string(project.path().join("Smolfile.yaml")).unwrap());
    fs_err::write(other.path().join("test.gpg"), TestKey::generate(epoch).certificate()).unwrap();
    let error = other.build().unwrap_err();
    assert!(error.to_string().ends_with("was refused"), "{error}");
    assert!(format!("{:?}", error.diagnostic()).contains("UnknownKey"), "{:?}", error.diagnostic());
}

/// Serves a folder on loopback for as long as the process lives.
fn serve(folder: &Path) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = axum::Router::new().fallback_service(ServeDir::new(folder));
    std::thread::spawn(move || {
        runtime().block_on(async {
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), service).await.unwrap();
        });
    });
    address
}

/// Boots the image with Debian's kernel, and looks whether it is whole.
fn boot(image: &BuiltImage, scratch: &Path) -> i32 {
    let script = "test -z \"$(dpkg --audit)\" && apt-get check && less --version && exit 7".into();
    let command = ["sh".into(), "-c".into(), script];
    let (machine, never) = (machine(image, scratch), std::future::pending());
    runtime().block_on(smolvm_vm::run(&machine, Work::Command(&command), never, &|_| {})).unwrap().unwrap()
}
