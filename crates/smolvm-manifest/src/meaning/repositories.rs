//! Package archives besides the base's own.

use url::Url;

use super::{Meaning, Seen, below};
use crate::base::Family;
use crate::finding::Finding;
use crate::manifest::Repository;
use crate::written::{self, List};

impl Meaning<'_> {
    pub(super) fn repositories(
        &mut self,
        written: List<written::Repository>,
        family: Option<Family>,
    ) -> Vec<Repository> {
        let mut seen = Seen::new();
        let mut repositories = Vec::new();
        for (index, repository) in written.entries() {
            let pointer = format!("/repositories/{index}");
            let Some(url) = self.web_address(&below(&pointer, "url"), &repository.url.0) else { continue };
            let named = repository.name.is_some();
            let name = repository.name.map_or_else(|| archive_name_of(&url), |name| name.0);
            if let Some(earlier) = seen.again(name.clone(), &pointer) {
                let help = if named { "give one of the two another name" } else { "give each a `name` of its own" };
                self.add(
                    Finding::at("clash", &pointer, format!("two repositories have the name `{name}`"))
                        .also(earlier, "the first")
                        .label("the second")
                        .help(help),
                );
            }
            let replaces = own_archives(family).contains(&name.as_str());
            let suites: Vec<String> = repository.suites.entries().map(|(_, suite)| suite.0).collect();
            let mut key_file = None;
            let signed_by = if let Some(path) = repository.signed_by {
                let pointer = below(&pointer, "signed_by");
                if family == Some(Family::Alpine) {
                    key_file = path.0.rsplit('/').next().map(str::to_owned);
                    self.apk_key(&pointer, &path.0)
                } else {
                    self.certificates(&pointer, &path.0)
                }
            } else {
                self.unsigned(&pointer, &name, replaces, family);
                Vec::new()
            };
            if suites.is_empty() && !replaces && self.whole && is_deb(family) {
                self.add(
                    Finding::at("missing_key", &pointer, format!("the repository `{name}` names no suites"))
                        .label("needs `suites`")
                        .help("add the suites that it publishes, for example: suites: [bookworm]"),
                );
            }
            repositories.push(Repository {
                name,
                url: url.as_str().trim_end_matches('/').to_owned(),
                suites,
                components: repository.components.entries().map(|(_, component)| component.0).collect(),
                signed_by,
                key_file,
            });
        }
        repositories
    }

    fn unsigned(&mut self, pointer: &str, name: &str, replaces: bool, family: Option<Family>) {
        // Without a base nobody knows which archives are its own.
        if replaces || !self.whole {
            return;
        }
        let own = own_archives(family).join(", ");
        let help = if own.is_empty() {
            "add `signed_by` with the file of the key that signs it, for example: signed_by: keys/example.asc"
                .to_owned()
        } else {
            format!(
                "add `signed_by` with the file of the key that signs it, for example: signed_by: keys/example.asc; \
                 only a mirror of one of the base's own archives ({own}), named so by `name`, does without"
            )
        };
        self.add(
            Finding::at("missing_key", pointer, format!("the repository `{name}` has no key"))
                .label("needs `signed_by`")
                .help(help),
        );
    }

    /// The public key that signs an Alpine repository.
    fn apk_key(&mut self, pointer: &str, path: &str) -> Vec<u8> {
        let Some(bytes) = self.read(pointer, path, "the key file") else { return Vec::new() };
        let is_public = bytes.starts_with(b"-----BEGIN PUBLIC KEY-----");
        let is_named = path.ends_with(".rsa.pub");
        if is_public && is_named {
            return bytes;
        }
        let (message, help) = if is_public {
            ("does not end in `.rsa.pub`", "give it the name that it has in /etc/apk/keys: signatures refer to it")
        } else {
            (
                "holds no public key in PEM",
                "those of Alpine are in /etc/apk/keys; `abuild-keygen` makes one beside the private key",
            )
        };
        self.add(
            Finding::at("key", pointer, format!("the key file `{path}` {message}")).label("no apk key").help(help),
        );
        Vec::new()
    }

    /// The certificates of a key file. Whether they sign anything is found out when the index is read.
    fn certificates(&mut self, pointer: &str, path: &str) -> Vec<u8> {
        let Some(bytes) = self.read(pointer, path, "the key file") else { return Vec::new() };
        let contains = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        let (message, help) = if contains(b"BEGIN PGP PRIVATE KEY") {
            (
                "holds a private key",
                "name the file with the public key: gpg --export --armor KEY > keys/example.asc; and move the private one \
                 out of the project",
            )
        } else if contains(b"BEGIN PGP PUBLIC KEY BLOCK") || is_binary_certificate(&bytes) {
            return bytes;
        } else {
            ("holds no OpenPGP key", "make one with: gpg --export --armor KEY > keys/example.asc")
        };
        self.add(
            Finding::at("key", pointer, format!("the key file `{path}` {message}")).label("no public key").help(help),
        );
        Vec::new()
    }

    /// An address that a package archive or kernel can have. Errors never show the credentials that it may hold.
    pub(super) fn web_address(&mut self, pointer: &str, text: &str) -> Option<Url> {
        let finding = match Url::parse(text) {
            Ok(url) if !url.username().is_empty() || url.password().is_some() => Finding::at(
                "address",
                pointer,
                "the address holds a user name or password",
            )
            .label("everybody who reads the Smolfile would know it")
            .help("remove the part before `@`; name a mirror that needs a password in ~/.config/smolvm/config.yaml"),
            Ok(url) if url.host_str().is_some() => return Some(url),
            Ok(_) => Finding::at("address", pointer, "the address names no host"),
            Err(error) => Finding::at("address", pointer, format!("this is not an address: {error}"))
                .help("it looks like this: https://deb.example.org/debian"),
        };
        self.add(finding);
        None
    }
}

/// The archives that a base reads without being told.
fn own_archives(family: Option<Family>) -> &'static [&'static str] {
    match family {
        Some(Family::Debian) => &["debian", "debian-security"],
        Some(Family::Ubuntu) => &["ubuntu"],
        Some(Family::Alpine) => &["alpine"],
        None => &[],
    }
}

fn is_deb(family: Option<Family>) -> bool {
    matches!(family, Some(Family::Debian | Family::Ubuntu))
}

/// An archive's name after its host: `deb.example.org`.
fn archive_name_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    host.trim_matches(['[', ']'])
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c
            } else if c == '.' {
                '.'
            } else {
                '-'
            }
        })
        .collect()
}

/// A public key packet of OpenPGP, in its old or its new form.
fn is_binary_certificate(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(0x98..=0x9b | 0xc6))
}
