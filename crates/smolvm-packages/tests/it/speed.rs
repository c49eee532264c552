//! What a cold build waits for before the first package can be fetched.

use std::path::Path;
use std::time::Instant;

use liblzma::stream::MtStreamBuilder;
use liblzma::write::XzEncoder;
use smolvm_manifest::{Arch, PackageRequest};
use smolvm_packages::deb::in_release::{Compression, verify_in_release};
use smolvm_packages::deb::index::{PackageIndex, read_index};
use smolvm_packages::deb::openpgp::Keyring;
use smolvm_packages::deb::release::Suite;
use smolvm_packages::deb::resolve::{Request, resolve};
use smolvm_packages::deb::universe::Universe;

use crate::host_apt::{HostApt, made_at};

/// Verify, decompress, parse and resolve for the work that the project measures itself by. The time is told, not judged: other tests
/// run beside this one. Memory is judged: the process, which held the compressed indexes as well, stays far below 400 MB.
#[test]
fn from_release_files_to_a_choice() {
    let Some(apt) = HostApt::get() else { return };
    let inputs: Vec<Input> = apt.release.suites.iter().map(|suite| Input::of(apt, suite)).collect();
    let packages: Vec<PackageRequest> = ["curl", "bash", "ca-certificates", "python3"]
        .map(|name| PackageRequest { name: name.into(), version: None })
        .into();

    let start = Instant::now();
    let keyring = Keyring::parse(apt.release.keyring).expect("the embedded keyring");
    for Input { suite, release_file, made_at, .. } in &inputs {
        verify_in_release(release_file, &keyring, suite.archive, suite.suite, *made_at).expect("a good signature");
    }
    let verify = start.elapsed();
    let parse_start = Instant::now();
    let indexes = std::thread::scope(|scope| {
        let threads: Vec<_> = inputs.iter().map(|input| scope.spawn(|| input.read(apt.arch))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    });
    let parse = parse_start.elapsed();
    let enter_start = Instant::now();
    let universe = Universe::new(apt.arch, indexes);
    let enter = enter_start.elapsed();
    let resolve_start = Instant::now();
    let request = Request { base: true, implied: apt.release.ssh_packages, packages: &packages };
    let chosen = resolve(&universe, &request).expect("a choice");
    let resolve = resolve_start.elapsed();
    eprintln!(
        "verify {verify:?}, decompress and parse {parse:?}, enter names {enter:?}, resolve {resolve:?}: {} packages in {:?}",
        chosen.len(),
        start.elapsed()
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap_or_default();
    eprintln!("peak memory {} MB", peak / 1_024);
    assert!(peak < 300 * 1_024, "{peak} kB");
}

/// What a build has of a suite when it begins to read.
struct Input {
    suite: &'static Suite,
    release_file: Vec<u8>,
    made_at: i64,
    compressed: Vec<u8>,
}

impl Input {
    fn of(apt: &HostApt, suite: &'static Suite) -> Self {
        let release_file =
            std::fs::read(apt.list(suite.suite, "InRelease").expect("a release file")).expect("a release file");
        let list = apt.packages_list(suite.suite, "main").expect("a list");
        let made_at = made_at(&release_file);
        Self { suite, release_file, made_at, compressed: compressed_like_the_archive(&list) }
    }

    fn read(&self, arch: Arch) -> PackageIndex {
        let Self { suite, compressed, .. } = self;
        read_index(compressed.as_slice(), Compression::Xz, suite.archive, suite.suite, arch).expect("an index")
    }
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
