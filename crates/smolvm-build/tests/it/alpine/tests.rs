//! What the real apk-tools, and a real client of OpenSSH, say of the mirror.

use std::path::Path;
use std::process::{Command, Output};

use rsa::pkcs8::DecodePublicKey as _;
use rsa::{Pkcs1v15Sign, RsaPublicKey};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::AlpineMirror;
use super::chroot::Chroot;
use super::installed::{Installed, installed};
use super::minirootfs::read_all;
use super::signing_key::{SigningKey, sha1};
use crate::mirror::Fault;
use crate::support::{has, programs_are_here};

/// A mirror, and an Alpine that asks it.
fn mirror_and_chroot() -> Option<(AlpineMirror, Chroot)> {
    let mirror = AlpineMirror::start()?;
    let chroot = Chroot::new(&mirror)?;
    Some((mirror, chroot))
}

#[test]
fn apk_installs_what_the_mirror_has_and_runs_its_scripts() {
    let Some((_mirror, chroot)) = mirror_and_chroot() else { return };
    let update = chroot.sh("apk update").expect_success();
    // The 14 that are installed count too: the mirror's, of the same versions, have other digests.
    assert!(update.ends_with("OK: 32 distinct packages available\n"), "{update}");
    // The image has the user already.
    chroot.sh("deluser sshd; ! grep sshd /etc/passwd /etc/group").expect_success();
    let before = chroot.sh("apk audit").expect_success();

    let add = chroot.sh("apk add hello openssh iproute2").expect_success();
    let installed: Vec<_> =
        add.lines().filter_map(|line| line.split_once("Installing ")).map(|(_, what)| what).collect();
    assert_eq!(installed.len(), 4, "{add}");
    assert_eq!(installed[..2], ["greeting (1.0-r0)", "hello (1.2-r3)"], "a dependency comes first: {add}");
    assert!(!add.contains("WARNING") && !add.contains("ERROR"), "{add}");
    assert_eq!(chroot.read("var/lib/hello/log"), "post-install 1.2-r3\ntrigger /usr/share/hello.d\n");
    assert_eq!(chroot.sh("hello").expect_success(), "Hello, world!\n");
    let owner = chroot.sh("apk info --who-owns /usr/sbin/sshd").expect_success();
    assert!(owner.starts_with("/usr/sbin/sshd is owned by openssh-"), "{owner}");
    assert!(chroot.read("etc/passwd").contains("\nsshd:x:22:22:"));
    let ip = chroot.sh("apk info --installed iproute2 && ip link show lo").expect_success();
    assert!(ip.starts_with("iproute2\n") && ip.contains("LOOPBACK"), "{ip}");

    // Nothing is out of order.
    let fix = chroot.sh("apk fix").expect_success();
    assert!(fix.starts_with("OK: ") && fix.ends_with(" in 18 packages\n"), "{fix}");
    assert_eq!(chroot.sh("apk audit").expect_success(), before);
    assert_eq!(chroot.sh("apk audit --system").expect_success(), "");
    // An audit of what is not as it was says so.
    chroot.sh("echo >>/usr/bin/hello").expect_success();
    assert_eq!(chroot.sh("apk audit --system").expect_success(), "U usr/bin/hello\n");

    // All that the server lacks is a host key.
    assert!(chroot.sh("sshd -t").expect_failure().contains("no hostkeys available"));
    chroot.sh("ssh-keygen -A && sshd -t").expect_success();
    assert!(chroot.sh("sshd -V").text.contains("OpenSSH_"), "it has a version");
}

#[test]
fn a_root_made_of_the_packages_is_the_image() {
    let Some((_mirror, chroot)) = mirror_and_chroot() else { return };
    let apk = "apk --root /fresh --keys-dir /etc/apk/keys --repositories-file /etc/apk/repositories --no-cache";
    let add = chroot.sh(&format!("{apk} --initdb add $(cat /etc/apk/world)")).expect_success();
    assert!(!add.contains("WARNING") && !add.contains("ERROR"), "{add}");
    assert_eq!(what_is_installed(&chroot, "fresh/"), what_is_installed(&chroot, ""));
    assert_eq!(chroot.read("fresh/etc/apk/world"), chroot.read("etc/apk/world"));
    // Those that busybox's script makes.
    let links = |root: &str| {
        let each = "while read -r link; do echo \"$link $(readlink \"$link\")\"; done";
        chroot.sh(&format!("cd {root}/ && find bin sbin usr/bin usr/sbin -type l | sort | {each}")).expect_success()
    };
    assert!(links("/fresh").contains("\nbin/ls /bin/busybox\n"));
    assert_eq!(links("/fresh"), links(""));
    assert_eq!(chroot.sh(&format!("{apk} audit --system")).expect_success(), "");
}

/// Every package with its files, but for the digest of its control member, which was made anew.
fn what_is_installed(chroot: &Chroot, root: &str) -> Vec<Installed> {
    let mut packages = installed(&chroot.read(&format!("{root}lib/apk/db/installed")));
    packages.sort_by(|a, b| a.fields[&'P'].cmp(&b.fields[&'P']));
    for package in &mut packages {
        package.checksum.clear();
    }
    packages
}

#[test]
fn apk_refuses_what_the_key_did_not_sign() {
    let Some((mirror, chroot)) = mirror_and_chroot() else { return };
    chroot.sh("apk update").expect_success();
    // Whole, and signed, but not what the index promised.
    let packages = mirror.folder().join("v3.20/main/x86_64");
    let hello = packages.join("hello-1.2-r3.apk");
    let promised = fs_err::read(&hello).unwrap();
    fs_err::copy(packages.join("iproute2-6.9.0-r0.apk"), &hello).unwrap();
    let changed = chroot.sh("apk add hello").expect_failure();
    assert!(changed.contains("ERROR: hello-1.2-r3: BAD signature"), "{changed}");
    fs_err::write(&hello, promised).unwrap();
    // Damaged on the way.
    mirror.server.fail("hello-1.2", Fault::Changed);
    let changed = chroot.sh("apk add hello").expect_failure();
    assert!(changed.contains("ERROR: hello-1.2-r3: "), "{changed}");
    mirror.server.repair("hello-1.2");
    chroot.sh("apk add hello && hello").expect_success();

    fs_err::remove_file(chroot.path().join("etc/apk/keys").join(mirror.key_file())).unwrap();
    let unknown = chroot.sh("apk update").expect_failure();
    assert!(unknown.contains("UNTRUSTED signature"), "{unknown}");
    // A key of the same name, but another one.
    let other = SigningKey::generate().public_pem();
    fs_err::write(chroot.path().join("etc/apk/keys").join(mirror.key_file()), other).unwrap();
    let wrong = chroot.sh("apk update").expect_failure();
    assert!(wrong.contains("BAD signature"), "{wrong}");
}

#[test]
fn the_server_lets_in_by_key_and_by_password() {
    let Some((_mirror, chroot)) = mirror_and_chroot() else { return };
    if !has("ssh and ssh-keygen", programs_are_here(&["ssh", "ssh-keygen"])) {
        return;
    }
    chroot.sh("apk add --no-cache openssh && ssh-keygen -A").expect_success();
    chroot.sh("adduser -D dev && echo dev:right | chpasswd && mkdir /home/dev/.ssh").expect_success();
    let client = tempfile::tempdir().unwrap();
    let key = client.path().join("key");
    let keygen = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(keygen.unwrap().success());
    fs_err::copy(client.path().join("key.pub"), chroot.path().join("home/dev/.ssh/authorized_keys")).unwrap();
    chroot.sh("chown -R dev:dev /home/dev/.ssh").expect_success();

    let by_key = ssh(&chroot, &["-o", "BatchMode=yes", "-i", key.to_str().unwrap()], client.path(), "");
    assert_eq!(String::from_utf8_lossy(&by_key.stdout), "dev\n", "{by_key:?}");
    let by_password = |password| ssh(&chroot, &["-o", "PreferredAuthentications=password"], client.path(), password);
    let right = by_password("right");
    assert_eq!(String::from_utf8_lossy(&right.stdout), "dev\n", "{right:?}");
    let wrong = by_password("wrong");
    let refusal = String::from_utf8_lossy(&wrong.stderr);
    assert!(refusal.contains("Permission denied") && wrong.stdout.is_empty(), "{wrong:?}");
}

/// Who one is in the chroot, by an ssh whose server is a child of its own: no port is needed.
fn ssh(chroot: &Chroot, options: &[&str], client: &Path, password: &str) -> Output {
    let askpass = client.join("askpass");
    fs_err::write(&askpass, format!("#!/bin/sh\necho {password}\n")).unwrap();
    fs_err::set_permissions(&askpass, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let server = format!("ProxyCommand=chroot {} /usr/sbin/sshd -i", chroot.path().display());
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-o", &server, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
        .args(["-o", "NumberOfPasswordPrompts=1", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"])
        .args(options)
        .args(["dev@alpine", "id", "-un"])
        .env("SSH_ASKPASS", &askpass)
        .env("SSH_ASKPASS_REQUIRE", "force")
        .env_remove("SSH_AUTH_SOCK");
    ssh.output().unwrap()
}

#[test]
fn packages_are_made_as_alpine_makes_them() {
    let Some(mirror) = AlpineMirror::start() else { return };
    let real = mirror.minirootfs.archive().with_file_name("alpine-baselayout-3.4.0-r0.apk");
    let key = "alpine-devel@lists.alpinelinux.org-616ae350.rsa.pub";
    let pem = mirror.minirootfs.text(&format!("usr/share/apk/keys/{key}"));
    let real = judge(&fs_err::read(real).unwrap(), key, pem);
    let ours = mirror.folder().join("v3.20/main/x86_64/alpine-baselayout-3.6.5-r0.apk");
    let ours = judge(&fs_err::read(ours).unwrap(), mirror.key_file(), &mirror.public_key());
    assert_eq!(ours, real);
}

/// Checks signature and digests of a package, and returns what is in its control member.
fn judge(package: &[u8], key: &str, pem: &str) -> Vec<String> {
    let (signature, rest) = member(package);
    let (control, data) = member(rest);
    let packed_control = &rest[..rest.len() - data.len()];
    let signatures = tar_entries(&signature);
    assert_eq!(signatures.len(), 1);
    assert_eq!(signatures[0].0, format!(".SIGN.RSA.{key}"));
    let key = RsaPublicKey::from_public_key_pem(pem).unwrap();
    key.verify(Pkcs1v15Sign::new::<Sha1>(), &sha1(packed_control), &signatures[0].1).unwrap();

    let control = tar_entries(&control);
    assert_eq!(control[0].0, ".PKGINFO");
    let info = str::from_utf8(&control[0].1).unwrap();
    assert!(info.contains(&format!("\ndatahash = {}\n", hex::encode(Sha256::digest(data)))), "{info}");
    let (data, nothing) = member(data);
    assert!(nothing.is_empty());
    for mut entry in tar::Archive::new(&data[..]).entries().unwrap().map(Result::unwrap) {
        let has_checksum = entry
            .pax_extensions()
            .unwrap()
            .into_iter()
            .flatten()
            .any(|extension| extension.is_ok_and(|extension| extension.key() == Ok("APK-TOOLS.checksum.SHA1")));
        assert_eq!(has_checksum, !entry.header().entry_type().is_dir(), "{:?}", entry.path());
    }
    let mut names: Vec<_> = control.into_iter().map(|(name, _)| name).collect();
    names.sort();
    names
}

/// What the first gzip member holds, and the bytes after it.
fn member(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut decoder = flate2::bufread::GzDecoder::new(bytes);
    let content = read_all(&mut decoder);
    (content, decoder.into_inner())
}

/// Names and contents.
fn tar_entries(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut tar = tar::Archive::new(tar);
    let entries = tar.entries().unwrap().map(Result::unwrap);
    entries.map(|mut entry| (entry.path().unwrap().to_str().unwrap().to_owned(), read_all(&mut entry))).collect()
}
