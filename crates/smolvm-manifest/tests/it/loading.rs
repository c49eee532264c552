//! What a Smolfile means, piece by piece.

use smolvm_manifest::{
    Arch, Base, Distro, Document, KernelChoice, Modules, Size, Surroundings as _, Tmp, load, load_bytes,
};

use crate::surroundings::{KEY, World, load_text, manifest, render};

/// The base and one more line.
fn with(line: &str) -> smolvm_manifest::Manifest {
    manifest(&format!("base: debian:bookworm\n{line}\n"))
}

#[test]
fn the_base_alone_is_enough() {
    let manifest = manifest("base: debian:trixie\n");
    assert_eq!(manifest.base, Base::Distro(Distro::DebianTrixie));
    assert_eq!(manifest.name, "team-dev");
    assert_eq!(manifest.hostname, "team-dev");
    assert_eq!(manifest.arch, Arch::Amd64);
    assert_eq!(manifest.size, Size::Auto);
    assert_eq!(manifest.tmp, Tmp::Disk);
    assert_eq!(manifest.kernel, KernelChoice::Auto);
    assert_eq!(manifest.dns.iter().map(ToString::to_string).collect::<Vec<_>>(), ["8.8.8.8", "8.8.4.4"]);
    let ssh = manifest.ssh.expect("SSH is implied");
    assert!(ssh.authorized_keys.is_empty() && ssh.password_hash.is_none());
}

/// A key with nothing after it is an empty collection.
#[test]
fn nothing_after_a_collection_is_an_empty_one() {
    for key in
        ["packages", "repositories", "ssh", "env", "users", "files", "run", "secrets", "services", "network", "boot"]
    {
        assert!(load_text(&format!("base: debian:bookworm\n{key}:\n")).is_ok(), "{key}");
    }
    let nested = "base: debian:bookworm\nssh: {authorized_keys: }\nnetwork: {dns: }\nboot: {args: }\nusers: [{name: a, groups: }]\n\
                  run: [{command: make, env: , secrets: }]\n";
    if let Err(errors) = load_text(nested) {
        panic!("{}", render(&errors));
    }
}

#[test]
fn ssh_can_be_off() {
    assert!(with("ssh: false").ssh.is_none());
    assert!(with("ssh: true").ssh.is_some());
}

#[test]
fn sizes() {
    for (text, expected) in [
        ("auto", Size::Auto),
        ("512MiB", Size::Bytes(512 << 20)),
        ("4G", Size::Bytes(4 << 30)),
        // A whole number of blocks of 4 KiB.
        ("1500MB", Size::Bytes(1_500_000_256)),
    ] {
        assert_eq!(with(&format!("size: {text}")).size, expected, "{text}");
    }
}

#[test]
fn kernels() {
    for (text, expected) in [
        ("auto", KernelChoice::Auto),
        ("smolvm", KernelChoice::Smolvm),
        ("debian", KernelChoice::Debian),
        ("distro", KernelChoice::Distro { modules: Modules::Chosen }),
        ("{distro: {}}", KernelChoice::Distro { modules: Modules::Chosen }),
        ("{distro: {modules: all}}", KernelChoice::Distro { modules: Modules::All }),
        (
            "{path: vmlinux}",
            KernelChoice::Path {
                path: "vmlinux".into(),
                sha256: "a80723df74e70c90d44fca9d8b0f1d38c98b0f8ab0fd7b1ddf0e2ea1b6a2a8b6".into(),
            },
        ),
    ] {
        let found = with(&format!("kernel: {text}")).kernel;
        match (&found, &expected) {
            // The digest is the library's business; that there is one is ours.
            (KernelChoice::Path { path, sha256 }, KernelChoice::Path { path: wanted, .. }) => {
                assert_eq!((path, sha256.len()), (wanted, 64));
            }
            _ => assert_eq!(found, expected, "{text}"),
        }
    }
}

#[test]
fn tmp() {
    assert_eq!(with("tmp: tmpfs").tmp, Tmp::Tmpfs(None));
    assert_eq!(with("tmp: {tmpfs: 64M}").tmp, Tmp::Tmpfs(Some(64 << 20)));
}

#[test]
fn env_is_a_map_or_a_list() {
    let map = with("env: {A: b, C: \"\"}").env;
    assert_eq!(map, with("env: [A=b, C=]").env);
    assert_eq!(with("env: [\"A=b=c\"]").env["A"], "b=c");
    let step = |env: &str| with(&format!("run: [{{command: make, env: {env}}}]")).run.remove(0).env;
    assert_eq!(step("{A: \"b\\nc\"}"), step("[\"A=b\\nc\"]"));
    assert_eq!(step("[\"A=b\\nc\"]")["A"], "b\nc");
}

/// YAML 1.1 would have made `false` of this.
#[test]
fn no_is_a_word() {
    assert_eq!(with("env: {ANSWER: no}").env["ANSWER"], "no");
}

#[test]
fn keys_come_from_files_and_from_the_text() {
    let text = format!("ssh: {{authorized_keys: [~/.ssh/id_ed25519.pub, '{KEY}', 'no-pty,command=\"a b\" {KEY}']}}");
    let keys = with(&text).ssh.expect("SSH is on").authorized_keys;
    assert_eq!(keys, [KEY.to_owned(), format!("no-pty,command=\"a b\" {KEY}")]);
}

/// Every way to give a password ends in the same hash, and the hash is what crypt(3) makes of it.
#[test]
fn passwords_become_crypt_hashes() {
    let hash_of = |line: &str| with(line).ssh.expect("SSH is on").password_hash;
    let from_env = hash_of("ssh: {password: {from_env: ROOT_PASSWORD}}");
    assert!(from_env.as_deref().is_some_and(|hash| hash.starts_with("$6$")), "{from_env:?}");
    assert_eq!(from_env, hash_of("ssh: {password: {from_file: password.txt}}"));
    assert_eq!(from_env, hash_of("ssh: {password: correct horse}"));
    assert_ne!(from_env, hash_of("ssh: {password: correct horsE}"));
    assert_ne!(from_env, hash_of("name: other\nssh: {password: correct horse}"));
}

#[test]
fn users_have_a_shell_a_home_and_no_password() {
    let user = with("users: [{name: dev}]").users.remove(0);
    assert_eq!((user.shell.as_str(), user.home.as_str()), ("/bin/sh", "/home/dev"));
    assert_eq!((user.uid, user.password_hash), (None, None));
}

#[test]
fn repositories_have_names_and_no_trailing_slash() {
    let repository =
        with("repositories: [{url: 'https://deb.example.org/debian/', suites: [x], signed_by: keys/example.asc}]")
            .repositories
            .remove(0);
    assert_eq!(
        (repository.name.as_str(), repository.url.as_str()),
        ("deb.example.org", "https://deb.example.org/debian")
    );
    assert!(!repository.signed_by.is_empty());
}

#[test]
fn a_machine_of_another_kind_needs_an_arch() {
    let world = World { arch: None, ..World::default() };
    assert!(load("Smolfile.yaml", "base: debian:bookworm\n", &world).is_err());
    assert!(load("Smolfile.yaml", "base: debian:bookworm\narch: arm64\n", &world).is_ok());
    assert!(world.host_arch().is_none());
}

#[test]
fn without_a_home_tilde_is_a_mistake() {
    let world = World { home: None, folder: None, ..World::default() };
    let errors =
        load("Smolfile.yaml", "base: debian:bookworm\nssh: {authorized_keys: [~/.ssh/id_ed25519.pub]}\n", &world)
            .expect_err("no home");
    assert!(errors.mistakes()[0].to_string().contains("no home folder is known"));
}

/// Bytes that only look like the start of a Smolfile.
#[test]
fn a_byte_order_mark_and_windows_line_ends_are_fine() {
    assert!(
        load_bytes(
            "Smolfile.yaml",
            b"\xef\xbb\xbfbase: debian:bookworm\r\npackages:\r\n  - git\r\n",
            &World::default()
        )
        .is_ok()
    );
}

#[test]
fn a_document_knows_where_its_values_stand() {
    let text = "base: debian:bookworm\npackages: [git, curl]\nenv:\n  A: b\n".to_owned();
    let document = Document { name: "Smolfile.yaml".into(), text: text.clone() };
    let at = |pointer: &str| document.span(pointer).map(|span| text[span].to_owned());
    assert_eq!(at("/packages/1").as_deref(), Some("curl"));
    assert_eq!(at("/env/A").as_deref(), Some("b"));
    assert_eq!(at("/packages/7").as_deref(), Some("[git, curl]"));
    assert_eq!(document.key_span("/packages").map(|span| text[span].to_owned()).as_deref(), Some("packages"));
    assert_eq!(document.key_span("/packages/1"), None);

    let mistake =
        document.error("/packages/1", "no such package", Some("try `git`".into()), "smolvm::resolve::unknown");
    let report = render(&document.errors(vec![mistake.with_label("not in bookworm")]));
    insta::assert_snapshot!(report);
}

/// Passwords and hashes are in none of the forms that end up in logs.
#[test]
fn debug_output_holds_no_password() {
    let loaded = load_text("base: debian:bookworm\nssh: {password: CANARY}\n").expect("valid");
    assert!(!format!("{:?}", loaded.manifest.document).contains("CANARY"));
    assert!(!format!("{:?}", loaded.warnings).contains("CANARY"));
    let errors = load_text("base: debian:bookworm\nssh: {password: CANARY}\nx: y\n").expect_err("invalid");
    assert!(!format!("{errors:?}").contains("CANARY"));
}

/// The whole of a cache hit has 20 ms, and the schema is compiled in each process anew. This is a debug build on a machine
/// that does other things, so the bound is wide; the figure is printed.
#[test]
fn loading_is_fast() {
    let text = include_str!("everything.yaml");
    let started = std::time::Instant::now();
    assert!(load_text(text).is_ok());
    let first = started.elapsed();
    let started = std::time::Instant::now();
    assert!(load_text(text).is_ok());
    let second = started.elapsed();
    eprintln!("first load {first:?}, second {second:?}");
    assert!(first.as_millis() < 500, "{first:?}");
}
