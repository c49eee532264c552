//! What a cold build waits for before the first package can be fetched.

use std::path::Path;
use std::time::Instant;

use liblzma::stream::MtStreamBuilder;
use liblzma::write::XzEncoder;
use smolvm_manifest::PackageRequest;
use smolvm_packages::deb::in_release::{Compression, verify_in_release};
use smolvm_packages::deb::index::read_index;
use smolvm_packages::deb::openpgp::Keyring;
use smolvm_packages::deb::resolve::{Request, resolve};
use smolvm_packages::deb::universe::Universe;

use crate::host_apt::{HostApt, made_at};

/// Verify, decompress, parse and resolve for the work that the project measures itself by. The time is told, not judged: other tests
/// run beside this one. Memory is judged: the process, which held the compressed indexes as well, stays far below 400 MB.
#[test]
fn from_release_files_to_a_choice() {
    let Some(apt) = HostApt::get() else { return };
    let inputs: Vec<_> = apt
        .release
        .suites
        .iter()
        .map(|suite| {
            let list = apt.packages_list(suite.suite, "main").expect("a list");
            let compressed = compressed_like_the_archive(&list);
            let release_file = apt.list(suite.suite, "InRelease").expect("a release file");
            (suite, std::fs::read(release_file).expect("a release file"), compressed)
        })
        .collect();
    let packages: Vec<PackageRequest> = ["curl", "bash", "ca-certificates", "python3"]
        .map(|name| PackageRequest { name: name.into(), version: None })
        .into();

    let start = Instant::now();
    let keyring = Keyring::parse(apt.release.keyring).expect("the embedded keyring");
    for (suite, release_file, _) in &inputs {
        let now = made_at(release_file);
        verify_in_release(release_file, &keyring, suite.archive, suite.suite, now).expect("a good signature");
    }
    let verified = start.elapsed();
    let indexes = std::thread::scope(|scope| {
        let read = |suite: &'static smolvm_packages::deb::release::Suite, compressed: &[u8]| {
            read_index(compressed, Compression::Xz, suite.archive, suite.suite, apt.arch).expect("an index")
        };
        let threads: Vec<_> =
            inputs.iter().map(|(suite, _, compressed)| scope.spawn(move || read(suite, compressed))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    });
    let parsed = start.elapsed();
    let universe = Universe::new(apt.arch, indexes);
    let entered = start.elapsed();
    let request = Request { base: true, implied: apt.release.ssh_packages, packages: &packages };
    let chosen = resolve(&universe, &request).expect("a choice");
    let resolved = start.elapsed();
    eprintln!(
        "verify {verified:?}, decompress and parse {:?}, index names {:?}, resolve {:?}; {} packages; in all {resolved:?}",
        parsed - verified,
        entered - parsed,
        resolved - entered,
        chosen.len()
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap_or_default();
    eprintln!("peak memory {} MB", peak / 1_024);
    assert!(peak < 300 * 1_024, "{peak} kB");
}

/// In blocks of the size that archives use.
fn compressed_like_the_archive(list: &Path) -> Vec<u8> {
    let mut blocks = MtStreamBuilder::new();
    let stream = blocks.preset(2).threads(2).block_size(24 << 20).encoder().expect("an encoder");
    let mut encoder = XzEncoder::new_stream(Vec::new(), stream);
    let mut list = std::fs::File::open(list).expect("a list");
    std::io::copy(&mut list, &mut encoder).expect("compressed");
    encoder.finish().expect("compressed")
}
