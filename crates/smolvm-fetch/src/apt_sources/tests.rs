use super::*;

/// Each source as one line: address, suites, components, architectures, key.
fn check(format: SourcesFormat, text: &str, expected: &[&str]) {
    let line = |source: &AptSource| {
        let AptSource { address, suites, components, architectures, signed_by } = source;
        format!(
            "{address} {} {} [{}] {}",
            suites.join(","),
            components.join(","),
            architectures.join(","),
            signed_by.as_deref().unwrap_or("-").replace('\n', "|")
        )
    };
    assert_eq!(apt_sources(format, text).iter().map(line).collect::<Vec<_>>(), expected);
}

#[test]
fn one_line_format() {
    check(
        SourcesFormat::OneLine,
        "\
# deb http://disabled.example.org/debian bookworm main
deb http://mirror.example.org/debian bookworm main contrib # why not
  deb\t[arch=amd64,arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]  http://a.example.org/debian/  bookworm-updates  main
deb [ trusted=yes ] https://b.example.org/debian bookworm main
deb [arch=amd64]http://tight.example.org/debian bookworm main
deb-src http://mirror.example.org/debian bookworm main
debian http://not.a/source bookworm main
deb cdrom:[Debian GNU/Linux 12]/ bookworm main
deb file:/srv/debian bookworm main
deb mirror+file:/etc/apt/mirrors/debian.list bookworm main
deb http://flat.example.org/repo ./
deb http://broken.example.org/debian
deb [arch=amd64 http://unclosed.example.org/debian bookworm main
",
        &[
            "http://mirror.example.org/debian bookworm main,contrib [] -",
            "http://a.example.org/debian bookworm-updates main [amd64,arm64] /usr/share/keyrings/debian-archive-keyring.gpg",
            "https://b.example.org/debian bookworm main [] -",
            "http://tight.example.org/debian bookworm main [amd64] -",
        ],
    );
}

#[test]
fn deb822_format() {
    check(
        SourcesFormat::Deb822,
        "\
Types: deb deb-src
# a comment in the middle
URIs: http://mirror.example.org/debian
 https://second.example.org/debian
Suites: bookworm
# and inside a field
  bookworm-updates
Components: main
Architectures: amd64
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
Enabled: no
URIs: http://disabled.example.org/debian
Suites: bookworm
Components: main

#Types: deb
#URIs: http://commented.example.org/debian


types: deb
uris: http://small.example.org/debian-security
suites: bookworm-security
components: main
signed-by:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc

Types: deb-src
URIs: http://source.example.org/debian
Suites: bookworm
Components: main

Types: deb
URIs: mirror+file:/etc/apt/mirrors/debian.list
Suites: bookworm
Components: main

Types: deb
URIs: http://flat.example.org/repo
Suites: /",
        &[
            "http://mirror.example.org/debian bookworm,bookworm-updates main [amd64] /usr/share/keyrings/debian-archive-keyring.gpg",
            "https://second.example.org/debian bookworm,bookworm-updates main [amd64] /usr/share/keyrings/debian-archive-keyring.gpg",
            "http://small.example.org/debian-security bookworm-security main [] -----BEGIN PGP PUBLIC KEY BLOCK-----|.|abc",
        ],
    );
}

#[test]
fn a_password_in_a_source_is_not_shown() {
    let sources = apt_sources(SourcesFormat::OneLine, "deb http://me:canary@mirror.example.org/debian bookworm main");
    assert_eq!(sources.len(), 1);
    assert!(!format!("{sources:?}").contains("canary"));
}

#[test]
fn only_files_that_apt_reads_have_a_format() {
    let formats = ["debian.sources", "a.list", "sources.list", "x.sources.disabled", "x.list.save", "a b.list", "list"];
    let (deb822, one_line) = (Some(SourcesFormat::Deb822), Some(SourcesFormat::OneLine));
    assert_eq!(formats.map(SourcesFormat::of_file), [deb822, one_line, one_line, None, None, None, None]);
}

#[test]
fn hostile_text_is_no_trouble() {
    for text in
        ["", "\n\n\n", " continued", ":", "deb", "deb [", "deb []", "deb [x] ", "Types: deb\n URIs", "\u{feff}deb x"]
    {
        assert!(apt_sources(SourcesFormat::OneLine, text).is_empty());
        assert!(apt_sources(SourcesFormat::Deb822, text).is_empty());
    }
}
