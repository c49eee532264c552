//! The choice of packages is apt's.

use std::collections::BTreeSet;

use smolvm_manifest::{PackageLayer, PackageRequest};
use smolvm_packages::deb::resolve::{Request, resolve};
use smolvm_packages::deb::universe::Universe;

use crate::host_apt::HostApt;

/// From one package to a whole desktop.
const SETS: &[&[&str]] = &[
    &["bash"],
    &["openssh-server", "iproute2"],
    &["openssh-server", "iproute2", "curl", "bash", "ca-certificates", "python3"],
    &["nodejs", "npm"],
    &["postgresql"],
    &["default-jre-headless"],
    &["nginx-full"],
    &["build-essential"],
    &["systemd-sysv"],
    &["systemd", "dbus", "network-manager"],
    &["exim4"],
    &["postfix"],
    &["exim4-daemon-light", "mailutils"],
    &["gawk"],
    &["apache2", "php", "libapache2-mod-php", "php-mysql", "mariadb-server"],
    &["docker.io"],
    &["podman"],
    &["git", "vim", "emacs-nox"],
    &["python3-dev", "python3-venv", "python3-pip"],
    &["ruby-full", "rails"],
    &["golang", "rustc", "cargo"],
    &["texlive-latex-extra"],
    &["qemu-system-x86", "libvirt-daemon-system"],
    &["default-mta"],
    &["chromium"],
    &["firefox-esr"],
    &["libreoffice"],
    &["xfce4"],
    &["gnome-core"],
    &["kde-plasma-desktop"],
    &["r-base"],
    &["octave", "gnuplot"],
    &["samba", "winbind"],
    &["linux-image-cloud-amd64"],
    &["busybox-static", "dropbear"],
    &["ansible"],
    &["redis-server", "memcached", "rabbitmq-server"],
    &["openjdk-17-jdk", "maven", "gradle"],
    &["cups", "hplip"],
    &["mawk", "original-awk", "busybox"],
];

/// Sets of which no choice is possible.
const IMPOSSIBLE: &[&[&str]] = &[&["exim4-daemon-light", "postfix"], &["systemd-sysv", "sysvinit-core"], &["netcat"]];

fn requests(packages: &[&str]) -> Vec<PackageRequest> {
    packages.iter().map(|name| PackageRequest { name: (*name).into(), version: None }).collect()
}

fn ours(universe: &Universe, base: bool, packages: &[&str], layer: PackageLayer) -> Option<BTreeSet<String>> {
    let packages = requests(packages);
    let chosen = resolve(universe, &Request { base, implied: &[], packages: &packages }).ok()?;
    let of_layer = chosen.iter().filter(|chosen| chosen.layer == layer).map(|chosen| {
        let package = universe.package(chosen.package);
        format!("{}={}", package.name(), package.version())
    });
    Some(of_layer.collect())
}

/// How two choices differ, for people; empty if they do not.
fn difference(packages: &[&str], ours: Option<BTreeSet<String>>, apts: Option<BTreeSet<String>>) -> Option<String> {
    match (ours, apts) {
        (Some(ours), Some(apts)) if ours == apts => None,
        (Some(ours), Some(apts)) => Some(format!(
            "{packages:?}: ours alone {:?}, apt's alone {:?}, of {}",
            ours.difference(&apts).collect::<Vec<_>>(),
            apts.difference(&ours).collect::<Vec<_>>(),
            apts.len()
        )),
        (None, None) => None,
        (ours, _) => {
            Some(format!("{packages:?}: {} can install it", if ours.is_some() { "only we" } else { "only apt" }))
        }
    }
}

fn assert_none(differences: &[String]) {
    assert!(differences.is_empty(), "{} sets differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn from_an_empty_system() {
    let Some(apt) = HostApt::get() else { return };
    let universe = apt.universe();
    let differences: Vec<String> = SETS
        .iter()
        .filter_map(|set| difference(set, ours(&universe, false, set, PackageLayer::User), apt.install("status", set)))
        .collect();
    assert_none(&differences);
}

#[test]
fn the_base_and_what_comes_on_top_of_it() {
    let Some(apt) = HostApt::get() else { return };
    let universe = apt.universe();
    let base = apt.install("status", &["?essential", "?priority(required)", "apt"]);
    let base_set = base.clone().expect("a base system");
    assert_none(&Vec::from_iter(difference(&["base"], ours(&universe, true, &[], PackageLayer::Base), base)));

    let status = apt.status_with(&base_set);
    let differences: Vec<String> = SETS
        .iter()
        .filter_map(|set| {
            let ours_base = ours(&universe, true, set, PackageLayer::Base);
            difference(set, ours(&universe, true, set, PackageLayer::User), apt.install(status, set))
                .or_else(|| difference(set, ours_base, Some(base_set.clone())))
        })
        .collect();
    assert_none(&differences);
}

#[test]
fn what_cannot_be_is_refused_by_both() {
    let Some(apt) = HostApt::get() else { return };
    let universe = apt.universe();
    for set in IMPOSSIBLE {
        assert!(apt.install("status", set).is_none(), "apt installs {set:?}");
        assert!(ours(&universe, false, set, PackageLayer::User).is_none(), "{set:?} resolves");
    }
    let packages = requests(&["bash", "exim4-daemon-light", "postfix"]);
    let error =
        resolve(&universe, &Request { base: true, implied: &["openssh-server"], packages: &packages }).unwrap_err();
    assert_eq!(error.problems.len(), 1);
    assert_eq!(error.problems[0].requests, [1, 2]);
    assert_eq!(
        error.problems[0].message,
        "packages[1] `exim4-daemon-light` and packages[2] `postfix` cannot be installed together: `postfix` refuses \
         `mail-transport-agent`, which `exim4-daemon-light` provides"
    );
}
