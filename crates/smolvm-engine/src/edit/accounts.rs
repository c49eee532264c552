//! The account files of a root file system: `/etc/passwd`, `group`, `shadow` and `gshadow`, as shadow-utils keeps them.
//!
//! Formats: passwd(5), group(5), shadow(5), gshadow(5).

use miette::Diagnostic;
use smolvm_manifest::{Manifest, Owner, User};
use smolvm_rootfs::{RootTree, TreeError};
use thiserror::Error;

/// The lowest id that a user of the Smolfile gets by itself, as in Debian's `/etc/login.defs`.
const FIRST_USER_ID: u32 = 1000;
/// The last one before the ids that systemd keeps for itself.
const LAST_USER_ID: u32 = 59_999;

/// The account files, parsed into lines of fields.
#[derive(Debug, Clone)]
pub(crate) struct Accounts {
    passwd: Table,
    group: Table,
    shadow: Table,
    gshadow: Table,
}

/// Why an account could not be made or found.
#[derive(Debug, Error, Diagnostic)]
pub enum AccountError {
    /// A group that no package and no user brings.
    #[error("user `{user}` is to be in group `{group}`, which the image does not have")]
    #[diagnostic(
        code(smolvm::engine::no_such_group),
        help("name a group of the base system, or add the package that creates `{group}` to `packages`")
    )]
    NoSuchGroup {
        /// Who.
        user: String,
        /// The missing group.
        group: String,
    },
    /// A user that exists already.
    #[error("user `{user}` is already in the image, with uid {uid}")]
    #[diagnostic(code(smolvm::engine::user_exists), help("choose another name: packages created this one"))]
    UserExists {
        /// Who.
        user: String,
        /// Its id.
        uid: u32,
    },
    /// A group that exists already, and that others are in or own files by.
    #[error("user `{user}` cannot have a group of its own: the image has a group `{user}` already, with gid {gid}")]
    #[diagnostic(
        code(smolvm::engine::group_exists),
        help("choose another name; who should be in that group says so: `groups: [{user}]`")
    )]
    GroupExists {
        /// Who.
        user: String,
        /// The group's id.
        gid: u32,
    },
    /// An id that is taken.
    #[error("user `{user}` is to have uid {uid}, which `{holder}` has already")]
    #[diagnostic(
        code(smolvm::engine::uid_taken),
        help("choose another `uid`, or leave it out: the next free one is taken")
    )]
    UidTaken {
        /// Who wants it.
        user: String,
        /// The id.
        uid: u32,
        /// Who has it.
        holder: String,
    },
    /// An owner or step user that the image lacks.
    #[error("{what} names the user `{user}`, which the image does not have")]
    #[diagnostic(code(smolvm::engine::no_such_user), help("add it under `users`, or name one that a package creates"))]
    NoSuchUser {
        /// Where it was named.
        what: String,
        /// The name.
        user: String,
    },
    /// A group that an owner names and the image lacks.
    #[error("{what} names the group `{group}`, which the image does not have")]
    #[diagnostic(
        code(smolvm::engine::no_such_owner_group),
        help("name a group of the base system, or of a user under `users`")
    )]
    NoSuchOwnerGroup {
        /// Where it was named.
        what: String,
        /// The name.
        group: String,
    },
    /// No id is free.
    #[error("no user id between {FIRST_USER_ID} and {LAST_USER_ID} is free for `{0}`")]
    #[diagnostic(code(smolvm::engine::no_free_uid), help("give it a `uid` of its own"))]
    NoFreeUid(String),
    /// The tree could not be changed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Tree(#[from] TreeError),
    /// An account file could not be read.
    #[error("cannot read the image's `/{path}`: {error}")]
    #[diagnostic(code(smolvm::engine::account_file))]
    Read {
        /// Which one.
        path: &'static str,
        /// Why.
        error: std::io::Error,
    },
}

impl AccountError {
    /// The part of the Smolfile that this is about, as a JSON pointer.
    pub(crate) fn pointer(&self, manifest: &Manifest) -> Option<String> {
        let (user, key) = match self {
            Self::NoSuchGroup { user, .. } => (user, "/groups"),
            Self::UserExists { user, .. } | Self::GroupExists { user, .. } => (user, "/name"),
            Self::UidTaken { user, .. } => (user, "/uid"),
            Self::NoFreeUid(user) => (user, ""),
            Self::NoSuchUser { .. } | Self::NoSuchOwnerGroup { .. } | Self::Tree(_) | Self::Read { .. } => return None,
        };
        let index = manifest.users.iter().position(|declared| declared.name == *user)?;
        Some(format!("/users/{index}{key}"))
    }
}

/// Who runs a command: ids and what the environment says of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
    pub(crate) shell: String,
}

impl Accounts {
    /// Reads the account files of a tree; a missing one is empty.
    pub(crate) fn read(tree: &RootTree) -> Result<Self, AccountError> {
        Self::read_by(|path| match tree.get(path) {
            Some(_) => tree.read(path).map_err(|error| AccountError::Read { path, error }),
            None => Ok(Vec::new()),
        })
    }

    /// Reads the account files by a function that gives a file's bytes: none for one that is missing.
    pub(crate) fn read_by<E>(mut read: impl FnMut(&'static str) -> Result<Vec<u8>, E>) -> Result<Self, E> {
        let mut table = |path| read(path).map(|bytes| Table::parse(&String::from_utf8_lossy(&bytes)));
        Ok(Self {
            passwd: table("etc/passwd")?,
            group: table("etc/group")?,
            shadow: table("etc/shadow")?,
            gshadow: table("etc/gshadow")?,
        })
    }

    /// Writes them back. The password age counts from `epoch`, for every account: the day of the build must not show.
    pub(crate) fn write(mut self, tree: &mut RootTree, epoch: i64) -> Result<(), AccountError> {
        let day = (epoch / 86_400).to_string();
        for line in &mut self.shadow.lines {
            if line.get(2).is_some_and(|changed| !changed.is_empty()) {
                line[2].clone_from(&day);
            }
        }
        let shadow_group = self.group_id("shadow").unwrap_or(0);
        let secret_mode = if shadow_group == 0 { 0o600 } else { 0o640 };
        tree.write_file("etc/passwd", self.passwd.text().into_bytes(), 0o644, 0, 0, epoch)?;
        tree.write_file("etc/group", self.group.text().into_bytes(), 0o644, 0, 0, epoch)?;
        if !self.shadow.lines.is_empty() {
            tree.write_file("etc/shadow", self.shadow.text().into_bytes(), secret_mode, 0, shadow_group, epoch)?;
        }
        if !self.gshadow.lines.is_empty() {
            tree.write_file("etc/gshadow", self.gshadow.text().into_bytes(), secret_mode, 0, shadow_group, epoch)?;
        }
        Ok(())
    }

    /// Adds a user with a primary group of the same name and id.
    pub(crate) fn add(&mut self, user: &User) -> Result<(u32, u32), AccountError> {
        if let Some(line) = self.passwd.find(&user.name) {
            return Err(AccountError::UserExists { user: user.name.clone(), uid: number(line, 2).unwrap_or(0) });
        }
        if let Some(line) = self.group.find(&user.name) {
            return Err(AccountError::GroupExists { user: user.name.clone(), gid: number(line, 2).unwrap_or(0) });
        }
        let uid = match user.uid {
            Some(uid) => uid,
            None => self.free_id().ok_or_else(|| AccountError::NoFreeUid(user.name.clone()))?,
        };
        if let Some(holder) = self.passwd.with_number(2, uid) {
            return Err(AccountError::UidTaken { user: user.name.clone(), uid, holder: holder[0].clone() });
        }
        let gid = self.add_group(&user.name, uid);
        for group in &user.groups {
            self.join(&user.name, group)?;
        }
        let (uid_text, gid_text) = (uid.to_string(), gid.to_string());
        self.passwd.push(&[&user.name, "x", &uid_text, &gid_text, "", &user.home, &user.shell]);
        let password = user.password_hash.as_deref().unwrap_or("*");
        self.shadow.push(&[&user.name, password, "0", "0", "99999", "7", "", "", ""]);
        Ok((uid, gid))
    }

    /// Sets a password hash; `None` makes the account one that no password opens but that keys do.
    pub(crate) fn set_password(&mut self, user: &str, hash: Option<&str>) -> Result<(), AccountError> {
        if self.passwd.find(user).is_none() {
            return Err(AccountError::NoSuchUser { what: "a password".into(), user: user.into() });
        }
        let hash = hash.unwrap_or("*");
        match self.shadow.lines.iter_mut().find(|line| line[0] == user) {
            Some(line) if line.len() > 1 => hash.clone_into(&mut line[1]),
            _ => self.shadow.push(&[user, hash, "0", "0", "99999", "7", "", "", ""]),
        }
        Ok(())
    }

    /// The ids of an owner, given by name or number.
    pub(crate) fn owner(&self, owner: &Owner, what: &str) -> Result<(u32, u32), AccountError> {
        let uid = self
            .user_id(&owner.user)
            .ok_or_else(|| AccountError::NoSuchUser { what: what.into(), user: owner.user.clone() })?;
        let gid = self
            .group_id(&owner.group)
            .ok_or_else(|| AccountError::NoSuchOwnerGroup { what: what.into(), group: owner.group.clone() })?;
        Ok((uid, gid))
    }

    /// Whether there is the user without whom nothing starts.
    pub(crate) fn has_root(&self) -> bool {
        self.passwd.find("root").is_some_and(|line| number(line, 2) == Some(0))
    }

    /// Everything that running a command as this user needs.
    pub(crate) fn login(&self, name: &str, what: &str) -> Result<Login, AccountError> {
        let missing = || AccountError::NoSuchUser { what: what.into(), user: name.into() };
        let line = self.passwd.find(name).ok_or_else(missing)?;
        let (uid, gid) = (number(line, 2).ok_or_else(missing)?, number(line, 3).ok_or_else(missing)?);
        let mut groups: Vec<u32> = self
            .group
            .lines
            .iter()
            .filter(|group| group.get(3).is_some_and(|members| members.split(',').any(|member| member == name)))
            .filter_map(|group| number(group, 2))
            .chain([gid])
            .collect();
        groups.sort_unstable();
        groups.dedup();
        let field = |index: usize, default: &str| {
            line.get(index).filter(|text| !text.is_empty()).map_or(default, String::as_str).to_owned()
        };
        Ok(Login { name: name.into(), uid, gid, groups, home: field(5, "/"), shell: field(6, "/bin/sh") })
    }

    fn user_id(&self, user: &str) -> Option<u32> {
        user.parse().ok().or_else(|| number(self.passwd.find(user)?, 2))
    }

    fn group_id(&self, group: &str) -> Option<u32> {
        group.parse().ok().or_else(|| number(self.group.find(group)?, 2))
    }

    /// An id that neither a user nor a group has, so that both of a new user's ids are equal.
    fn free_id(&self) -> Option<u32> {
        (FIRST_USER_ID..=LAST_USER_ID)
            .find(|id| self.passwd.with_number(2, *id).is_none() && self.group.with_number(2, *id).is_none())
    }

    /// Adds a group with the wanted id, or with the next free one where that is taken.
    fn add_group(&mut self, name: &str, wanted: u32) -> u32 {
        let gid = match self.group.with_number(2, wanted) {
            None => wanted,
            Some(_) => self.free_id().unwrap_or(wanted),
        };
        self.group.push(&[name, "x", &gid.to_string(), ""]);
        if !self.gshadow.lines.is_empty() {
            self.gshadow.push(&[name, "!", "", ""]);
        }
        gid
    }

    fn join(&mut self, user: &str, group: &str) -> Result<(), AccountError> {
        let missing = || AccountError::NoSuchGroup { user: user.into(), group: group.into() };
        let line = self.group.lines.iter_mut().find(|line| line[0] == group).ok_or_else(missing)?;
        add_member(line, user);
        if let Some(line) = self.gshadow.lines.iter_mut().find(|line| line[0] == group) {
            add_member(line, user);
        }
        Ok(())
    }
}

/// Members stand in the fourth field of both group files.
fn add_member(line: &mut Vec<String>, user: &str) {
    line.resize(line.len().max(4), String::new());
    let members = &mut line[3];
    if members.split(',').any(|member| member == user) {
        return;
    }
    if !members.is_empty() {
        members.push(',');
    }
    members.push_str(user);
}

fn number(line: &[String], field: usize) -> Option<u32> {
    line.get(field)?.parse().ok()
}

/// A file of lines whose fields are parted by colons.
#[derive(Debug, Clone)]
struct Table {
    lines: Vec<Vec<String>>,
}

impl Table {
    fn parse(text: &str) -> Self {
        let fields = |line: &str| line.split(':').map(str::to_owned).collect();
        Self { lines: text.lines().filter(|line| !line.is_empty()).map(fields).collect() }
    }

    fn text(&self) -> String {
        self.lines.iter().fold(String::new(), |text, line| text + &line.join(":") + "\n")
    }

    fn find(&self, name: &str) -> Option<&Vec<String>> {
        self.lines.iter().find(|line| line[0] == name)
    }

    fn with_number(&self, field: usize, wanted: u32) -> Option<&Vec<String>> {
        self.lines.iter().find(|line| number(line, field) == Some(wanted))
    }

    fn push(&mut self, fields: &[&str]) {
        self.lines.push(fields.iter().map(|field| (*field).to_owned()).collect());
    }
}

#[cfg(test)]
mod tests;
