//! Who gets in: keys, passwords, users.

use super::{Meaning, Seen, accounts, below};
use crate::finding::Finding;
use crate::keys::{self, NoKey};
use crate::manifest::{Ssh, User};
use crate::password::crypt;
use crate::secret::Secret;
use crate::written::{self, KeyText, List, Password, PasswordSource, TextOr};

impl Meaning<'_> {
    pub(super) fn ssh(&mut self, written: written::Ssh, image: &str) -> Option<Ssh> {
        match written {
            written::Ssh::Off => None,
            written::Ssh::On(access) => Some(Ssh {
                authorized_keys: self.authorized_keys("/ssh/authorized_keys", access.authorized_keys),
                password_hash: access
                    .password
                    .and_then(|password| self.password("/ssh/password", password, image, "root")),
            }),
        }
    }

    pub(super) fn users(&mut self, written: List<written::User>, image: &str, ssh: bool) -> Vec<User> {
        let mut names = Seen::new();
        let mut ids = Seen::new();
        let mut users = Vec::new();
        for (index, user) in written.entries() {
            let pointer = format!("/users/{index}");
            let name = user.name.0;
            let at_name = below(&pointer, "name");
            if let Some(reason) = accounts::taken(&name) {
                self.add(
                    Finding::at("clash", &at_name, format!("the user `{name}` cannot be created: {reason}"))
                        .label("already there")
                        .help(accounts::advice(&name)),
                );
            }
            if let Some(earlier) = names.again(name.clone(), &at_name) {
                self.add(
                    Finding::at("clash", &at_name, format!("two users have the name `{name}`"))
                        .also(earlier, "the first")
                        .label("the second")
                        .help("give one of them another name, or make one user of them"),
                );
            }
            let at_uid = below(&pointer, "uid");
            let uid = user.uid.map(|uid| uid.0);
            if let Some(uid) = uid
                && let Some(earlier) = ids.again(uid, &at_uid)
            {
                self.add(
                    Finding::at("clash", &at_uid, format!("two users have the uid {uid}"))
                        .also(earlier, "the first")
                        .label("the second")
                        .help("give one of them another uid, or leave it out: then the next free one is taken"),
                );
            }
            let at_keys = below(&pointer, "authorized_keys");
            let authorized_keys = self.authorized_keys(&at_keys, user.authorized_keys);
            if !ssh && !authorized_keys.is_empty() {
                self.add(
                    Finding::at("unused", &at_keys, format!("the keys of `{name}` open nothing: SSH is off"))
                        .label("nobody asks for them")
                        .help("remove them, or remove `ssh: false`")
                        .warning(),
                );
            }
            let at_password = below(&pointer, "password");
            let password_hash = user.password.and_then(|password| self.password(&at_password, password, image, &name));
            let mut groups: Vec<String> = Vec::new();
            for (_, group) in user.groups.entries() {
                if !groups.contains(&group.0) {
                    groups.push(group.0);
                }
            }
            users.push(User {
                uid,
                groups,
                shell: user.shell.map_or_else(|| "/bin/sh".to_owned(), |shell| shell.0),
                home: user.home.map_or_else(|| format!("/home/{name}"), |home| home.0),
                authorized_keys,
                password_hash,
                name,
            });
        }
        users
    }

    fn authorized_keys(&mut self, pointer: &str, written: List<KeyText>) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for (index, KeyText(entry)) in written.entries() {
            let pointer = format!("{pointer}/{index}");
            let found = if keys::looks_like_key(&entry) {
                keys::parse_lines(&entry).map_err(|reason| no_key(&pointer, None, reason))
            } else if let Some(bytes) = self.read(&pointer, &entry, "the key file") {
                match String::from_utf8(bytes).map_err(|_| NoKey::Other).and_then(|text| keys::parse_lines(&text)) {
                    Ok(lines) if lines.is_empty() => Err(no_key(&pointer, Some(&entry), NoKey::Other)),
                    Ok(lines) => Ok(lines),
                    Err(reason) => Err(no_key(&pointer, Some(&entry), reason)),
                }
            } else {
                continue;
            };
            match found {
                Ok(found) => {
                    for line in found {
                        if !lines.contains(&line) {
                            lines.push(line);
                        }
                    }
                }
                Err(finding) => self.add(finding),
            }
        }
        lines
    }

    /// The crypt hash of a password, wherever it comes from.
    fn password(&mut self, pointer: &str, written: Password, image: &str, user: &str) -> Option<String> {
        let secret = match written {
            TextOr::Text(text) => {
                self.add(
                    Finding::at("password", pointer, format!("the password of `{user}` stands in the Smolfile"))
                        .label("everybody who reads the file knows it")
                        .help("take it from the environment or a file: `password: {from_env: NAME}` or `{from_file: PATH}`")
                        .warning(),
                );
                text.0
            }
            TextOr::Map(PasswordSource { hash: Some(hash), .. }) => return Some(hash.0),
            TextOr::Map(PasswordSource { from_env: Some(name), .. }) => {
                self.secret_variable(&below(pointer, "from_env"), &name.0, user)?
            }
            TextOr::Map(PasswordSource { from_file: Some(path), .. }) => {
                self.secret_file(&below(pointer, "from_file"), &path.0, user)?
            }
            TextOr::Map(_) => return None,
        };
        Some(crypt(&secret, image, user))
    }

    fn secret_variable(&mut self, pointer: &str, name: &str, user: &str) -> Option<Secret> {
        let Some(value) = self.surroundings.variable(name) else {
            let message = format!("the variable `{name}`, which holds the password of `{user}`, is not set");
            self.add(
                Finding::at("password", pointer, message)
                    .label("not set")
                    .help(format!("set it before you build: read -rs {name}; export {name}")),
            );
            return None;
        };
        let value = value.into_encoded_bytes();
        self.usable_password(pointer, value, &format!("the variable `{name}`"), user)
    }

    fn secret_file(&mut self, pointer: &str, path: &str, user: &str) -> Option<Secret> {
        let mut bytes = self.read(pointer, path, "the password file")?;
        // Every editor ends a file with a line break that nobody means to type at a login.
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        self.usable_password(pointer, bytes, &format!("the file `{path}`"), user)
    }

    fn usable_password(&mut self, pointer: &str, bytes: Vec<u8>, place: &str, user: &str) -> Option<Secret> {
        let (message, help) = if bytes.is_empty() {
            (format!("the password of `{user}` is empty"), format!("put a password into {place}, or remove `password`"))
        } else if bytes.iter().any(u8::is_ascii_control) {
            (
                format!("the password of `{user}` holds a line break or control character"),
                format!("nobody could type it at a login: put a password of one line into {place}"),
            )
        } else {
            return Some(Secret::new(bytes));
        };
        self.add(Finding::at("password", pointer, message).label(format!("comes from {place}")).help(help));
        None
    }
}

/// Says what is wrong with a key without a letter of it.
fn no_key(pointer: &str, file: Option<&str>, reason: NoKey) -> Finding {
    let subject = file.map_or_else(|| "this entry".to_owned(), |file| format!("the key file `{file}`"));
    let (message, label, help) = match reason {
        NoKey::Private => (
            format!("{subject} holds a private key"),
            "private",
            match file {
                Some(file) => format!("name the public half, which ends in .pub: {file}.pub"),
                None => {
                    "put the public half there, which stands in the file that ends in .pub. Whoever has seen this file \
                         may have the private key: make a new pair with ssh-keygen -t ed25519"
                        .to_owned()
                }
            },
        ),
        NoKey::Options => (
            format!("{subject}: the options before the key have an open quote"),
            "a `\"` is missing",
            "close it, as in: from=\"10.0.0.0/8\" ssh-ed25519 AAAA… me@host".to_owned(),
        ),
        NoKey::Broken => (
            format!("{subject}: the key is damaged"),
            "cut off or mistyped",
            "copy the whole line from the file that ends in .pub; ssh-keygen -lf FILE.pub checks it".to_owned(),
        ),
        NoKey::Other => (
            format!("{subject} holds no public key of a type that OpenSSH takes"),
            "no key",
            "it looks like this: ssh-ed25519 AAAA… me@host (DSA keys are too weak and no longer taken)".to_owned(),
        ),
    };
    Finding::at("key", pointer, message).label(label).help(help)
}
