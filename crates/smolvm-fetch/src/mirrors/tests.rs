use crate::apt_sources::{SourcesFormat, apt_sources};

use super::*;

const DEBIAN: [BuiltInArchive<'_>; 2] = [
    BuiltInArchive {
        name: "debian",
        suites: &["bookworm", "bookworm-updates"],
        url: "http://public.example.org/debian",
        snapshot: Some("https://snapshot.example.org/debian/{timestamp}"),
    },
    BuiltInArchive {
        name: "debian-security",
        suites: &["bookworm-security"],
        url: "http://public.example.org/debian-security",
        snapshot: None,
    },
];

struct Setting {
    repositories: Vec<Repository>,
    variables: Vec<(&'static str, &'static str)>,
    config: Config,
    host: Vec<AptSource>,
}

impl Setting {
    fn new(host: &str) -> Self {
        Self {
            repositories: Vec::new(),
            variables: Vec::new(),
            config: Config::default(),
            host: apt_sources(SourcesFormat::OneLine, host),
        }
    }

    fn collect(&self) -> Result<Mirrors, MirrorError> {
        let variable =
            |name: &str| self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Mirrors::collect(&MirrorInputs {
            repositories: &self.repositories,
            variable: &variable,
            config: &self.config,
            host: &self.host,
            arch: Arch::Amd64,
            built_in: &DEBIAN,
        })
    }

    fn check(&self, archive: &str, expected: &[&str]) {
        let mirrors = self.collect().unwrap();
        let shown: Vec<_> =
            mirrors.of(archive).iter().map(|mirror| format!("{:?} {mirror}", mirror.origin())).collect();
        assert_eq!(shown, expected);
    }
}

fn repository(name: &str, url: &str) -> Repository {
    Repository {
        name: name.to_owned(),
        url: url.to_owned(),
        suites: Vec::new(),
        components: Vec::new(),
        signed_by: Vec::new(),
        key_file: None,
    }
}

#[test]
fn the_order_is_smolfile_variable_config_host_public() {
    let mut setting = Setting::new("deb http://host.example.org/debian bookworm main");
    setting.repositories = vec![repository("debian", "http://smolfile.example.org/debian")];
    setting.variables = vec![("SMOLVM_MIRROR_DEBIAN", "http://one.example.org/debian  http://two.example.org/debian")];
    setting.config = Config::parse("c", "mirrors: {debian: [http://config.example.org/debian]}").unwrap();
    setting.check(
        "debian",
        &[
            "Smolfile http://smolfile.example.org/debian",
            "Variable http://one.example.org/debian",
            "Variable http://two.example.org/debian",
            "Config http://config.example.org/debian",
            "Host http://host.example.org/debian",
            "BuiltIn http://public.example.org/debian",
        ],
    );
    setting.check("debian-security", &["BuiltIn http://public.example.org/debian-security"]);
    setting.check("nobody", &[]);
}

#[test]
fn an_address_is_asked_once_however_often_it_is_named() {
    let mut setting = Setting::new("deb http://public.example.org/debian/ bookworm main");
    setting.variables = vec![("SMOLVM_MIRROR_DEBIAN", "http://public.example.org/debian")];
    setting.check("debian", &["Variable http://public.example.org/debian"]);
}

#[test]
fn suites_tell_which_of_the_hosts_sources_serve_an_archive() {
    let setting = Setting::new(
        "\
deb http://m.example.org/debian bookworm main
deb http://m.example.org/debian bookworm-updates main
deb http://updates.example.org/debian bookworm-updates main
deb http://m.example.org/debian-security bookworm-security main
deb http://m.example.org/backports bookworm-backports main
deb http://old.example.org/debian-security buster/updates main
deb http://newer.example.org/debian trixie main
",
    );
    setting.check(
        "debian",
        &[
            "Host http://m.example.org/debian",
            "Host http://updates.example.org/debian",
            "Host http://newer.example.org/debian",
            "BuiltIn http://public.example.org/debian",
        ],
    );
    setting.check(
        "debian-security",
        &[
            "Host http://m.example.org/debian-security",
            "Host http://old.example.org/debian-security",
            "BuiltIn http://public.example.org/debian-security",
        ],
    );
}

#[test]
fn what_cannot_be_the_distributions_own_archive_is_left_out() {
    let setting = Setting::new(
        "\
deb [signed-by=/usr/share/keyrings/vendor.gpg] http://vendor.example.org/linux bookworm main
deb http://stable.example.org/linux bookworm stable
deb [arch=arm64] http://arm.example.org/debian bookworm main
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://good.example.org/debian bookworm main
",
    );
    setting.check("debian", &["Host http://good.example.org/debian", "BuiltIn http://public.example.org/debian"]);
}

#[test]
fn repositories_of_other_names_are_archives_of_their_own() {
    let mut setting = Setting::new("");
    setting.repositories = vec![repository("deb.vendor.org", "https://deb.vendor.org")];
    setting.variables = vec![("SMOLVM_MIRROR_DEB_VENDOR_ORG", "http://near.example.org/vendor")];
    setting.check("deb.vendor.org", &["Smolfile https://deb.vendor.org", "Variable http://near.example.org/vendor"]);
}

fn snapshot_of(setting: &Setting, archive: &str) -> String {
    let mirrors = setting.collect().unwrap();
    mirrors.snapshots.get(archive).map(|address| format!("{address:?}")).unwrap_or_default()
}

#[test]
fn the_snapshot_of_an_archive_is_named_by_variable_config_or_nobody_and_can_be_turned_off() {
    let mut setting = Setting::new("");
    assert_eq!(snapshot_of(&setting, "debian"), "SnapshotAddress(https://snapshot.example.org/debian/{timestamp})");
    assert_eq!(snapshot_of(&setting, "debian-security"), "");

    let config = "snapshots:\n  debian: http://config.example.org/{timestamp}\n  other: http://o.example.org/x\n";
    setting.config = Config::parse("c", config).unwrap();
    assert_eq!(snapshot_of(&setting, "debian"), "SnapshotAddress(http://config.example.org/{timestamp})");
    assert_eq!(snapshot_of(&setting, "other"), "SnapshotAddress(http://o.example.org/x)");

    setting.variables = vec![("SMOLVM_SNAPSHOT_DEBIAN", "http://variable.example.org/{timestamp}")];
    assert_eq!(snapshot_of(&setting, "debian"), "SnapshotAddress(http://variable.example.org/{timestamp})");

    setting.variables = vec![("SMOLVM_SNAPSHOT_DEBIAN", "off")];
    assert_eq!(snapshot_of(&setting, "debian"), "");
    setting.variables.clear();
    setting.config = Config::parse("c", "snapshots: {debian: off}").unwrap();
    assert_eq!(snapshot_of(&setting, "debian"), "");

    setting.variables = vec![("SMOLVM_SNAPSHOT_DEBIAN", "ftp://me:canary@example.org/x")];
    let error = setting.collect().unwrap_err();
    let shown = format!("{error} {} {error:?}", error.reason);
    assert!(shown.contains("SMOLVM_SNAPSHOT_DEBIAN") && !shown.contains("canary"), "{shown}");
}

#[test]
fn a_folder_of_packages_is_no_mirror_of_an_archive_of_that_name() {
    let mut setting = Setting::new("");
    setting.repositories = vec![repository("dir", "http://dir.example.org/x")];
    setting.variables = vec![("SMOLVM_MIRROR_DIR", "/srv/packages")];
    setting.check("dir", &["Smolfile http://dir.example.org/x"]);
}

#[test]
fn a_bad_address_is_refused_with_whoever_named_it_and_without_its_password() {
    let mut setting = Setting::new("");
    setting.variables = vec![("SMOLVM_MIRROR_DEBIAN_SECURITY", "ftp://me:canary@example.org/x")];
    let error = setting.collect().unwrap_err();
    let shown = format!("{error} {} {error:?}", error.reason);
    assert!(shown.contains("SMOLVM_MIRROR_DEBIAN_SECURITY") && !shown.contains("canary"), "{shown}");
}

#[test]
fn the_variable_of_an_archive() {
    assert_eq!(mirror_variable("debian-security"), "SMOLVM_MIRROR_DEBIAN_SECURITY");
}
