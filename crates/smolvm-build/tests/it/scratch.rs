//! Where the files of an image lie while it is built: in memory or on a disk, of which the image knows nothing.

use smolvm_build::{BuiltImage, CacheUse, build};

use crate::support::{Project, debian_host, has, recording, runtime};

const OUTGREW: &str = "the image outgrew the memory for builds";

#[test]
fn an_image_that_outgrows_memory_is_built_on_the_disk_and_is_the_same() {
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    let project = Project::new(
        "base: debian:bookworm\nname: large\nsize: auto\nssh: false\nfiles: [{target: /etc/app, source: Smolfile.yaml}]\nrun:\n  \
         - {command: \"head -c 600000000 /dev/zero > /large && rm /large\", network: false}\n",
    );
    let mut options = project.options();
    options.cache = CacheUse::Refresh;
    let mut with = |scratch_memory: u64| -> (BuiltImage, String) {
        let (events, said) = recording();
        options.scratch_memory = Some(scratch_memory);
        let image = runtime().block_on(build(&options, &events)).unwrap();
        (image, said.lock().unwrap().clone())
    };
    let (on_disk, said) = with(0);
    assert!(!said.contains(OUTGREW), "{said}");
    let (outgrown, said) = with(550 << 20);
    assert!(said.contains(OUTGREW), "{said}");
    let (in_memory, said) = with(4 << 30);
    assert!(!said.contains(OUTGREW), "{said}");
    assert_eq!(outgrown.rootfs_blake3, on_disk.rootfs_blake3);
    assert_eq!(in_memory.rootfs_blake3, on_disk.rootfs_blake3);
}
