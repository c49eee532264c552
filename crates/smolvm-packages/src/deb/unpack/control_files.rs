//! The control member: scripts, lists, and what else dpkg keeps about a package.

use std::collections::BTreeMap;
use std::io::Read;

use tar::EntryType;

use super::compression::{Budget, Compression};
use super::{UnpackLimits, UnpackProblem, paths};

/// A package's control files.
#[derive(Debug, Clone, Default)]
pub struct ControlFiles {
    /// The text of `control`.
    pub control: String,
    /// The configuration files, as `conffiles` lists them.
    pub conffiles: Vec<Conffile>,
    files: BTreeMap<String, ControlFile>,
}

/// One line of `conffiles`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conffile {
    /// Relative to the root.
    pub path: String,
    /// Whether the package no longer brings it, and wants it removed when an older version had it.
    pub remove_on_upgrade: bool,
}

/// A file of the control member.
#[derive(Debug, Clone)]
pub(crate) struct ControlFile {
    pub(crate) content: Vec<u8>,
    pub(crate) mtime: i64,
}

/// The files that dpkg runs.
const SCRIPTS: [&str; 5] = ["preinst", "postinst", "prerm", "postrm", "config"];

impl ControlFiles {
    /// The bytes of a file.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(|file| file.content.as_slice())
    }

    /// All files but `control`, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &ControlFile)> {
        self.files.iter().map(|(name, file)| (name.as_str(), file))
    }

    /// The mode that a control file has in dpkg's database.
    pub(crate) fn mode(name: &str) -> u32 {
        if SCRIPTS.contains(&name) { 0o755 } else { 0o644 }
    }
}

/// Reads the control member.
pub(super) fn read<R: Read>(
    member: R,
    compression: Compression,
    limits: &UnpackLimits,
) -> Result<ControlFiles, UnpackProblem> {
    let budget = Budget::new(limits.control_bytes);
    let reader = compression.open(member, &budget).map_err(UnpackProblem::damaged)?;
    let mut archive = tar::Archive::new(reader);
    let mut entries = archive.entries().map_err(|error| budget.problem(error))?;
    let mut files = BTreeMap::new();
    loop {
        budget.begin_header();
        let Some(entry) = entries.next() else { break };
        let mut entry = entry.map_err(|error| budget.problem(error))?;
        budget.begin_content();
        let kind = entry.header().entry_type();
        let name = paths::entry_path(&entry.path_bytes())?;
        match kind {
            EntryType::Directory if name.is_empty() => continue,
            EntryType::XGlobalHeader => continue,
            EntryType::Regular | EntryType::Continuous if !name.is_empty() && !name.contains('/') => {}
            _ => return Err(UnpackProblem::refused(name, "has no place among the control files")),
        }
        let mtime = entry.header().mtime().map_err(|error| budget.problem(error))?;
        let size = entry.size();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(|error| budget.problem(error))?;
        if content.len() as u64 != size {
            return Err(UnpackProblem::Damaged { reason: format!("its control file `{name}` is cut short") });
        }
        let file = ControlFile { content, mtime: i64::try_from(mtime).unwrap_or(i64::MAX) };
        if files.insert(name.clone(), file).is_some() {
            return Err(UnpackProblem::refused(name, "occurs twice among the control files"));
        }
    }
    let Some(control) = files.remove("control") else {
        return Err(UnpackProblem::Damaged { reason: "it has no control file".to_owned() });
    };
    // dpkg itself does not look at names with a dot: they would be mistaken for another package's files.
    files.retain(|name, _| !name.contains('.') && name != "list");
    let conffiles = files.get("conffiles").map_or(Ok(Vec::new()), |file| parse_conffiles(&file.content))?;
    let control = String::from_utf8_lossy(&control.content).into_owned();
    Ok(ControlFiles { control, conffiles, files })
}

fn parse_conffiles(content: &[u8]) -> Result<Vec<Conffile>, UnpackProblem> {
    let mut conffiles = Vec::new();
    for line in content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty()) {
        let (path, remove_on_upgrade) = match line.strip_prefix(b"remove-on-upgrade ") {
            Some(path) => (path, true),
            None => (line, false),
        };
        let Some(path) = path.strip_prefix(b"/") else {
            let line = String::from_utf8_lossy(line);
            return Err(UnpackProblem::Damaged { reason: format!("its conffiles list has the line `{line}`") });
        };
        conffiles.push(Conffile { path: paths::entry_path(path)?, remove_on_upgrade });
    }
    Ok(conffiles)
}
