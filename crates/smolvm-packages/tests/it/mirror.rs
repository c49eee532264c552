//! Real release files and indexes, from the mirror that the host's apt uses.

use smolvm_packages::deb::in_release::{SignedRelease, verify_in_release};
use smolvm_packages::deb::openpgp::Keyring;
use smolvm_packages::deb::release::RELEASES;

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

/// The release files of the other releases of the table, where the same mirror serves them.
#[test]
fn the_other_releases_are_signed_by_the_embedded_keys() {
    let Some(apt) = HostApt::get() else { return };
    let mut checked = 0;
    for release in RELEASES {
        let keyring = Keyring::parse(release.keyring).expect("the embedded keyring");
        for suite in release.suites {
            let Some(bytes) = apt.release_file(suite.archive, suite.suite) else {
                eprintln!("skipped: the host's mirror does not serve {} {}", suite.archive, suite.suite);
                continue;
            };
            let verify = |bytes: &[u8]| -> Result<SignedRelease, _> {
                verify_in_release(bytes, &keyring, suite.archive, suite.suite, made_at(bytes))
            };
            if let Err(error) = verify(&bytes) {
                panic!("{} {}: {error}", suite.archive, suite.suite);
            }
            let text = String::from_utf8(bytes).expect("text");
            assert!(verify(text.replacen("Architectures: ", "Architectures: evil ", 1).as_bytes()).is_err());
            checked += 1;
        }
    }
    assert!(checked >= apt.release.suites.len());
}
