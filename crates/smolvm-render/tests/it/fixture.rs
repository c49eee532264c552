//! Manifests made by hand: the loader is another crate's business.

use std::collections::BTreeMap;
use std::sync::Arc;

use smolvm_manifest::{
    Arch, Base, Distro, Document, FileContent, FileEntry, KernelChoice, LocalEntry, LocalKind, LocalSource, Lock,
    LockedKernel, LockedManifest, LockedPackage, Manifest, Modules, Owner, PackageLayer, PackagedKernel, Repository,
    Restart, RunStep, Service, Size, Ssh, Tmp, User,
};
use smolvm_render::{Content, FileStep, Recipe, Step};

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
        kernel: LockedKernel::Distro(PackagedKernel {
            modules: Modules::Chosen,
            packages: vec![package("linux-image-cloud-amd64", "6.1", "amd64", PackageLayer::User)],
            busybox: package("busybox-static", "1.35", "amd64", PackageLayer::User),
        }),
        base_image: None,
    };
    LockedManifest { manifest, lock }
}

/// A Smolfile that uses every key that this crate renders.
pub(crate) fn full(distro: Distro) -> LockedManifest {
    let mut locked = locked(distro);
    let manifest = &mut locked.manifest;
    "dev.example.org".clone_into(&mut manifest.hostname);
    manifest.env = map(&[("EDITOR", "vim"), ("GREETING", "it's \"$HOME\" `id` \\ # ü")]);
    manifest.ssh = Some(Ssh { authorized_keys: vec![KEY.to_owned()], password_hash: Some("$6$salt$hash".to_owned()) });
    manifest.users = vec![
        User {
            groups: vec!["sudo".to_owned(), "audio".to_owned()],
            authorized_keys: vec![KEY.to_owned()],
            ..user("dev", None)
        },
        User { password_hash: Some("$6$x$y/z.".to_owned()), ..user("ops", Some(1000)) },
    ];
    manifest.files = vec![
        inline("/etc/motd", "hello\n"),
        FileEntry {
            target: "/opt/it's $HOME".to_owned(),
            content: FileContent::Local(LocalSource {
                root: "/project/app".into(),
                entries: vec![
                    entry("", LocalKind::Directory),
                    entry("bin", LocalKind::Directory),
                    entry("bin/run", LocalKind::File { blake3: "0".repeat(64), size: 3, executable: true }),
                    entry("latest", LocalKind::Symlink { target: "bin/run".to_owned() }),
                    entry("read.me", LocalKind::File { blake3: "1".repeat(64), size: 3, executable: false }),
                ],
            }),
            mode: None,
            owner: Some(Owner { user: "dev".to_owned(), group: "1000".to_owned() }),
        },
        FileEntry { mode: Some(0o4750), ..inline("/usr/local/bin/tool", "#!/bin/sh\n") },
    ];
    manifest.run = vec![
        step("echo 'one' > \"$HOME/two\"\nprintf '%s\\n' <<EOF\nx\nEOF"),
        RunStep {
            workdir: "/srv/my $app".to_owned(),
            user: "dev".to_owned(),
            env: map(&[("V", "a b"), ("W", "")]),
            network: false,
            secrets: vec!["NPM_TOKEN".to_owned()],
            ..step("make install")
        },
        RunStep { user: "www-data".to_owned(), secrets: vec!["NPM_TOKEN".to_owned()], ..step("true") },
    ];
    manifest.services = vec![
        Service {
            user: "dev".to_owned(),
            workdir: "/srv/my $app".to_owned(),
            env: map(&[("EDITOR", "ed"), ("V", "it's \"$HOME\"\n")]),
            ..service("app", &["/usr/bin/app", "--name", "it's \"$HOME\" `id` \\\n# ü", ""])
        },
        Service { restart: Restart::Always, after_network: true, ..service("web-1.x", &["/usr/bin/web"]) },
        Service { restart: Restart::Never, ..service("once", &["/usr/bin/once"]) },
    ];
    manifest.dns = vec!["8.8.8.8".parse().unwrap(), "2001:4860:4860::8888".parse().unwrap()];
    manifest.tmp = Tmp::Tmpfs(Some(512 << 20));
    manifest.repositories = vec![Repository {
        name: "deb.example.org".to_owned(),
        url: "https://deb.example.org".to_owned(),
        suites: vec!["stable".to_owned()],
        components: vec!["main".to_owned(), "extra".to_owned()],
        signed_by: b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n".to_vec(),
        key_file: None,
    }];
    locked
}

pub(crate) fn user(name: &str, uid: Option<u32>) -> User {
    User {
        name: name.to_owned(),
        uid,
        groups: Vec::new(),
        shell: "/bin/bash".to_owned(),
        home: format!("/home/{name}"),
        authorized_keys: Vec::new(),
        password_hash: None,
    }
}

pub(crate) fn service(name: &str, command: &[&str]) -> Service {
    Service {
        name: name.to_owned(),
        command: command.iter().map(|&word| word.to_owned()).collect(),
        user: "root".to_owned(),
        workdir: "/".to_owned(),
        env: BTreeMap::new(),
        restart: Restart::OnFailure,
        after_network: false,
    }
}

pub(crate) fn step(command: &str) -> RunStep {
    RunStep {
        command: command.to_owned(),
        workdir: "/".to_owned(),
        user: "root".to_owned(),
        env: BTreeMap::new(),
        network: true,
        secrets: Vec::new(),
    }
}

pub(crate) fn inline(target: &str, text: &str) -> FileEntry {
    FileEntry { target: target.to_owned(), content: FileContent::Inline(text.to_owned()), mode: None, owner: None }
}

pub(crate) fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The identity files of a recipe.
pub(crate) fn identity(recipe: &Recipe) -> impl Iterator<Item = &FileStep> {
    recipe.steps.iter().filter_map(|step| match step {
        Step::WriteIdentity(file) => Some(file),
        _ => None,
    })
}

/// The text of one identity file.
pub(crate) fn identity_text<'a>(recipe: &'a Recipe, target: &str) -> Option<&'a str> {
    let file = identity(recipe).find(|file| file.target == target)?;
    let Content::Bytes(bytes) = &file.content else { panic!("{target} is not made of bytes") };
    Some(std::str::from_utf8(bytes).unwrap())
}

fn entry(path: &str, kind: LocalKind) -> LocalEntry {
    LocalEntry { path: path.to_owned(), kind }
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
