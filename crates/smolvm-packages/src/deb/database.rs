//! dpkg's database below `var/lib/dpkg`: read as it is, written as dpkg would have written it after unpacking.

mod accounts;
mod installed;
mod overrides;
mod status;
mod triggers;

use std::collections::{BTreeMap, HashMap};

use smolvm_sandbox::SandboxError;

use self::accounts::Accounts;
use self::overrides::Overrides;
use self::triggers::Triggers;
use super::control::{Control, Paragraph};
use super::diversions::Diversions;
use super::unpack::{ControlFiles, UnpackedPackage};

pub(crate) use self::installed::{ConffileRecord, Installed};
pub use self::triggers::TriggerError;
pub(crate) use self::triggers::TriggerNames;

/// dpkg's folder, inside the image.
const FOLDER: &str = "var/lib/dpkg";

/// Reads a file of the image; `None` where there is none.
pub(crate) type ReadImage<'a> = dyn FnMut(&str) -> Result<Option<Vec<u8>>, SandboxError> + 'a;

/// Which packages are installed, and which files are whose.
#[derive(Debug, Default)]
pub(crate) struct Database {
    packages: Vec<Installed>,
    by_name: HashMap<String, usize>,
    /// Who has a path: one package, but for folders and a few special cases.
    owners: HashMap<String, Vec<Owner>>,
    /// Stanzas of packages that are known but not installed.
    others: Vec<Paragraph>,
    diversions: Diversions,
    overrides: Overrides,
    accounts: Accounts,
    triggers: Triggers,
    /// What has to be written, by path inside the image.
    changed: BTreeMap<String, DatabaseFile>,
    status_changed: bool,
}

/// A package's claim on a path.
#[derive(Debug, Clone, Copy)]
struct Owner {
    package: usize,
    is_folder: Option<bool>,
}

/// A file to write into the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatabaseFile {
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
    /// `None`: it is made now.
    pub(crate) mtime: Option<i64>,
}

/// An entry that a package has from now on.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) path: &'a str,
    pub(crate) is_folder: bool,
    /// The file's MD5, hex, if it is known.
    pub(crate) md5: Option<&'a str>,
}

impl Database {
    /// Reads the image's database; an image without one has an empty one.
    pub(crate) fn load(read: &mut ReadImage<'_>) -> Result<Self, SandboxError> {
        let mut database = Self::default();
        match text(read, &format!("{FOLDER}/status"))? {
            Some(status) => database.take_status(&status),
            None => database.begin(read)?,
        }
        for number in 0..database.packages.len() {
            let list = database.info_path(number, "list");
            let paths = text(read, &list)?.unwrap_or_default();
            let paths = paths.lines().map(|path| path.trim_start_matches('/'));
            database.packages[number].files =
                paths.map(|path| if path == "." { "" } else { path }.to_owned()).collect();
            for path in database.packages[number].files.clone() {
                // Folders come before what is in them.
                if let Some((parent, _)) = path.rsplit_once('/') {
                    for owner in database.owners.get_mut(parent).into_iter().flatten() {
                        owner.is_folder = Some(true);
                    }
                }
                database.owners.entry(path).or_default().push(Owner { package: number, is_folder: None });
            }
        }
        database.triggers = Triggers::load(FOLDER, read)?;
        database.refresh(read)?;
        Ok(database)
    }

    /// Reads again what maintainer scripts may have changed: diversions, overrides, users and groups.
    pub(crate) fn refresh(&mut self, read: &mut ReadImage<'_>) -> Result<(), SandboxError> {
        let diversions = text(read, &format!("{FOLDER}/diversions"))?.unwrap_or_default();
        self.diversions = Diversions::parse(&diversions);
        let overrides = text(read, &format!("{FOLDER}/statoverride"))?.unwrap_or_default();
        let passwd = text(read, "etc/passwd")?.unwrap_or_default();
        let group = text(read, "etc/group")?.unwrap_or_default();
        self.accounts = Accounts::parse(&passwd, &group);
        self.overrides = Overrides::parse(&overrides, &self.accounts);
        Ok(())
    }

    /// Reads again what dpkg has changed: the status of the packages it configured.
    pub(crate) fn refresh_status(&mut self, read: &mut ReadImage<'_>) -> Result<(), SandboxError> {
        if let Some(status) = text(read, &format!("{FOLDER}/status"))? {
            self.take_status(&status);
        }
        self.refresh(read)
    }

    /// The package of this name, if it is installed or about to be.
    pub(crate) fn get(&self, name: &str) -> Option<&Installed> {
        self.by_name.get(name).map(|number| &self.packages[*number])
    }

    /// All installed packages.
    pub(crate) fn packages(&self) -> impl Iterator<Item = &Installed> {
        self.packages.iter()
    }

    /// Who has a path already, and whether it is known to be a folder there (or not).
    pub(crate) fn owners(&self, path: &str) -> impl Iterator<Item = (&Installed, Option<bool>)> {
        let owners = self.owners.get(path).map(Vec::as_slice).unwrap_or_default();
        owners.iter().map(|owner| (&self.packages[owner.package], owner.is_folder))
    }

    /// The image's diversions.
    pub(crate) fn diversions(&self) -> &Diversions {
        &self.diversions
    }

    /// The administrator's owner and mode for a path.
    pub(crate) fn stat_override(&self, path: &str) -> Option<&overrides::Override> {
        self.overrides.get(path)
    }

    /// The image's users and groups.
    pub(crate) fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Sets off the triggers that a package names, as dpkg does before it unpacks anything of it.
    pub(crate) fn activate_named(&mut self, package: &UnpackedPackage) -> Result<(), TriggerError> {
        let Some(directives) = package.control_files.get("triggers") else { return Ok(()) };
        let name = package.control.database_name();
        self.triggers.activate_named(&String::from_utf8_lossy(directives), &name)
    }

    /// Notes that a file is placed which others may be waiting for.
    pub(crate) fn activate_file(&mut self, path: &str, by: &str) {
        self.triggers.activate_file(path, by);
    }

    /// A package that waits for a path, or for what is below a folder that the path is in.
    pub(crate) fn watcher(&self, path: &str) -> Option<&str> {
        self.triggers.watcher(path)
    }

    /// Notes that `package` takes `path` over from all who have it, but for `except`.
    pub(crate) fn take_over(&mut self, path: &str, is_conffile: bool, except: Option<&str>) {
        let Some(owners) = self.owners.get_mut(path) else { return };
        let mut losers = Vec::new();
        owners.retain(|owner| {
            let keeps = except == Some(self.packages[owner.package].control.name.as_str());
            if !keeps {
                losers.push(owner.package);
            }
            keeps
        });
        for number in losers {
            self.packages[number].files.retain(|file| file != path);
            if is_conffile {
                self.packages[number].set_conffile_obsolete(path);
                self.status_changed = true;
            }
            self.write_list(number);
        }
    }

    /// What is known of a conffile: the digest that dpkg noted for an owner of it.
    pub(crate) fn conffile_digest(&self, path: &str) -> Option<String> {
        self.owners(path).find_map(|(owner, _)| owner.conffile_digest(path))
    }

    /// Records a package as unpacked, with its list, control files, triggers and stanza.
    pub(crate) fn record(
        &mut self,
        package: &UnpackedPackage,
        claims: &[Claim<'_>],
        conffiles: &[ConffileRecord<'_>],
    ) -> Result<(), TriggerError> {
        let number = self.packages.len();
        let conffiles: String = conffiles.iter().map(ConffileRecord::line).collect();
        let mut paragraph = package.control.paragraph().clone();
        paragraph.set("Status", "install ok unpacked");
        if !conffiles.is_empty() {
            paragraph.set("Conffiles", conffiles);
        }
        let name = package.control.database_name();
        if let Some(directives) = package.control_files.get("triggers") {
            self.triggers.add_interests(&String::from_utf8_lossy(directives), &name)?;
        }
        let control = package.control.with_paragraph(paragraph);
        self.by_name.insert(control.name.clone(), number);
        self.packages.push(Installed { control, files: claims.iter().map(|claim| claim.path.to_owned()).collect() });
        for claim in claims {
            let owner = Owner { package: number, is_folder: Some(claim.is_folder) };
            self.owners.entry(claim.path.to_owned()).or_default().push(owner);
        }
        self.write_list(number);
        for (name, file) in package.control_files.iter() {
            let (content, mode) = (file.content.clone(), ControlFiles::mode(name));
            let path = self.info_path(number, name);
            self.changed.insert(path, DatabaseFile { content, mode, mtime: Some(file.mtime) });
        }
        if package.control_files.get("md5sums").is_none() {
            let sums: String =
                claims.iter().filter_map(|claim| Some(format!("{}  {}\n", claim.md5?, claim.path))).collect();
            let path = self.info_path(number, "md5sums");
            self.changed.insert(path, DatabaseFile::new(sums));
        }
        self.status_changed = true;
        Ok(())
    }

    /// Whether the package brings a path.
    pub(crate) fn is_owned(&self, path: &str) -> bool {
        self.owners.get(path).is_some_and(|owners| !owners.is_empty())
    }

    /// Takes all files that have to be written, by path inside the image.
    pub(crate) fn take_changes(
        &mut self,
        read: &mut ReadImage<'_>,
    ) -> Result<BTreeMap<String, DatabaseFile>, SandboxError> {
        if std::mem::take(&mut self.status_changed) {
            let paragraphs = self.packages.iter().map(|package| package.control.paragraph());
            let text = status::write(paragraphs.chain(&self.others));
            self.changed.insert(format!("{FOLDER}/status"), DatabaseFile::new(text));
        }
        self.triggers.take_changes(FOLDER, read, &mut self.changed)?;
        Ok(std::mem::take(&mut self.changed))
    }

    /// The files that every database has.
    fn begin(&mut self, read: &mut ReadImage<'_>) -> Result<(), SandboxError> {
        // Without the last of them dpkg takes the database for one from before triggers, and activates all there are.
        let files = ["info/format", "available", "diversions", "statoverride", "triggers/Unincorp"];
        for name in files {
            let path = format!("{FOLDER}/{name}");
            if read(&path)?.is_none() {
                let content = if name == "info/format" { "1\n" } else { "" };
                self.changed.insert(path, DatabaseFile::new(content));
            }
        }
        self.status_changed = true;
        Ok(())
    }

    fn take_status(&mut self, text: &str) {
        self.others.clear();
        for paragraph in status::read(text) {
            let is_installed = paragraph
                .get("Status")
                .is_some_and(|status| !status.ends_with(" not-installed") && !status.ends_with(" config-files"));
            let control = match Control::from_paragraph(paragraph.clone()) {
                Ok(control) if is_installed => control,
                _ => {
                    self.others.push(paragraph);
                    continue;
                }
            };
            if let Some(number) = self.by_name.get(&control.name) {
                self.packages[*number].control = control;
            } else {
                self.by_name.insert(control.name.clone(), self.packages.len());
                self.packages.push(Installed { control, files: Vec::new() });
            }
        }
    }

    fn write_list(&mut self, number: usize) {
        let mut text = String::new();
        for path in &self.packages[number].files {
            text.push('/');
            text.push_str(if path.is_empty() { "." } else { path });
            text.push('\n');
        }
        let path = self.info_path(number, "list");
        self.changed.insert(path, DatabaseFile::new(text));
    }

    fn info_path(&self, number: usize, kind: &str) -> String {
        format!("{FOLDER}/info/{}.{kind}", self.packages[number].control.database_name())
    }
}

impl DatabaseFile {
    fn new(content: impl Into<Vec<u8>>) -> Self {
        Self { content: content.into(), mode: 0o644, mtime: None }
    }
}

fn text(read: &mut ReadImage<'_>, path: &str) -> Result<Option<String>, SandboxError> {
    Ok(read(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}
