//! Real release files and indexes, from the mirror that the host's apt uses.

use sha2::{Digest as _, Sha256};
use smolvm_manifest::{Modules, PackageLayer, PackageRequest};
use smolvm_packages::deb::in_release::{SignedRelease, verify_in_release};
use smolvm_packages::deb::index::{PackageIndex, read_index};
use smolvm_packages::deb::kernel_choice::resolve_kernel;
use smolvm_packages::deb::openpgp::Keyring;
use smolvm_packages::deb::release::{RELEASES, Release};
use smolvm_packages::deb::resolve::{Request, locked, resolve};
use smolvm_packages::deb::universe::Universe;

use crate::host_apt::{HostApt, made_at};

#[test]
fn the_hosts_release_files_are_good_and_describe_its_lists() {
    let Some(apt) = HostApt::get() else { return };
    for (release, suite) in apt.verified().iter().zip(apt.release.suites) {
        for component in suite.components {
            let indexes = release.package_indexes(component, apt.arch).expect("an index");
            assert!(indexes[0].size > 0 && indexes[0].path.starts_with(&format!("dists/{}/", suite.suite)));
        }
    }
}

/// From the signature to the last package, for every release of the table that the mirror serves.
#[test]
fn every_release_is_verified_read_and_resolved() {
    let Some(apt) = HostApt::get() else { return };
    let mut resolved = 0;
    for release in RELEASES {
        let Some(indexes) = verified_indexes(apt, release) else {
            skipped(release);
            continue;
        };
        let universe = Universe::new(apt.arch, indexes);
        let packages = [PackageRequest { name: "python3".into(), version: Some("3.*".into()) }];
        let request = Request { base: true, implied: release.ssh_packages, packages: &packages };
        let chosen = resolve(&universe, &request).expect("a choice");
        let locked: Vec<_> = chosen.into_iter().map(|chosen| locked(&universe, chosen)).collect();
        let layer = |name: &str| locked.iter().find(|package| package.name == name).map(|package| package.layer);
        assert_eq!(layer("apt"), Some(PackageLayer::Base), "{}", release.codename);
        assert_eq!(layer("dpkg"), Some(PackageLayer::Base), "{}", release.codename);
        assert_eq!(layer("openssh-server"), Some(PackageLayer::User), "{}", release.codename);
        assert_eq!(layer("python3"), Some(PackageLayer::User), "{}", release.codename);
        assert!((100..200).contains(&locked.len()), "{}: {} packages", release.codename, locked.len());
        let kernel = resolve_kernel(&universe, release, Modules::Chosen).expect("a kernel");
        assert!(!kernel.packages.is_empty(), "{}", release.codename);
        resolved += 1;
    }
    assert!(resolved > 0);
}

/// The packages of a release; `None` if the mirror does not serve it.
fn verified_indexes(apt: &HostApt, release: &'static Release) -> Option<Vec<PackageIndex>> {
    let keyring = Keyring::parse(release.keyring).expect("the embedded keyring");
    let mut indexes = Vec::new();
    for suite in release.suites {
        let bytes = apt.archive_file(suite.archive, &format!("dists/{}/InRelease", suite.suite))?;
        let verify = |bytes: &[u8]| -> Result<SignedRelease, _> {
            verify_in_release(bytes, &keyring, suite.archive, suite.suite, made_at(bytes))
        };
        let signed = verify(&bytes).unwrap_or_else(|error| panic!("{} {}: {error}", suite.archive, suite.suite));
        let text = String::from_utf8(bytes).expect("text");
        assert!(verify(text.replacen("Architectures: ", "Architectures: evil ", 1).as_bytes()).is_err());
        for component in suite.components {
            for index in signed.package_indexes(component, apt.arch).expect("an index") {
                let bytes = apt.archive_file(suite.archive, &index.path).expect("the index");
                assert_eq!((bytes.len() as u64, Sha256::digest(&bytes).as_slice()), (index.size, &index.sha256[..]));
                let read = read_index(bytes.as_slice(), index.compression, suite.archive, suite.suite, apt.arch);
                indexes.push(read.expect("an index"));
            }
        }
    }
    Some(indexes)
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skipped(release: &Release) {
    eprintln!("skipped: the host's mirror does not serve {}", release.codename);
}
