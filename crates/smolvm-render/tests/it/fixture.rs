//! Manifests made by hand: the loader is another crate's business.

use std::collections::BTreeMap;
use std::sync::Arc;

use smolvm_manifest::{
    Arch, Base, Distro, Document, KernelChoice, KernelSource, Lock, LockedKernel, LockedManifest, LockedPackage,
    Manifest, Modules, PackageLayer, Size, Ssh, Tmp,
};

/// A key whose private half nobody has.
pub(crate) const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g me@host";

/// The smallest Smolfile: a base alone.
pub(crate) fn locked(distro: Distro) -> LockedManifest {
    let manifest = Manifest {
        document: Arc::new(Document { name: "Smolfile.yaml".to_owned(), text: String::new() }),
        name: "team-dev".to_owned(),
        base: Base::Distro(distro),
        arch: Arch::Amd64,
        size: Size::Auto,
        packages: Vec::new(),
        repositories: Vec::new(),
        ssh: Some(Ssh { authorized_keys: Vec::new(), password_hash: None }),
        env: BTreeMap::new(),
        hostname: "dev".to_owned(),
        users: Vec::new(),
        files: Vec::new(),
        run: Vec::new(),
        secrets: BTreeMap::new(),
        services: Vec::new(),
        dns: Vec::new(),
        tmp: Tmp::Disk,
        kernel: KernelChoice::Auto,
        boot_args: Vec::new(),
    };
    let lock = Lock {
        version: Lock::VERSION,
        question: String::new(),
        epoch: 1_760_000_000,
        indexes: Vec::new(),
        packages: vec![
            package("openssh-server", "1:9.2p1-2+deb12u7", "amd64", PackageLayer::User),
            package("base-files", "12.4+deb12u12", "amd64", PackageLayer::Base),
            package("adduser", "3.134", "all", PackageLayer::Base),
        ],
        kernel: LockedKernel {
            from: KernelSource::Distro,
            modules: Modules::Chosen,
            packages: vec![package("linux-image-cloud-amd64", "6.1", "amd64", PackageLayer::User)],
            busybox: package("busybox-static", "1.35", "amd64", PackageLayer::User),
        },
    };
    LockedManifest { manifest, lock }
}

fn package(name: &str, version: &str, arch: &str, layer: PackageLayer) -> LockedPackage {
    LockedPackage {
        name: name.to_owned(),
        version: version.to_owned(),
        arch: arch.to_owned(),
        layer,
        archive: "debian".to_owned(),
        path: format!("pool/{name}.deb"),
        size: 1,
        sha256: "0".repeat(64),
    }
}
