//! From what is written to what it means: defaults filled in, outside files read, clashes found. All mistakes at once.

mod access;
mod accounts;
mod files;
mod machine;
mod names;
mod places;
mod repositories;
mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::Base;
use crate::document::Document;
use crate::finding::{Finding, Place, child};
use crate::manifest::{Manifest, PackageRequest};
use crate::surroundings::Surroundings;
use crate::written::{self, Env, List, PackageText, Smolfile, TextOr};

pub use names::image_name_from;

/// A manifest, if nothing stood in the way, and all that was found.
pub(crate) struct Meant {
    pub(crate) manifest: Option<Manifest>,
    pub(crate) findings: Vec<Finding>,
}

/// Works out what a document means. `whole` is false if parts of it were refused before: then what refers to another
/// part is not judged.
pub(crate) fn interpret(
    written: Smolfile,
    document: &Arc<Document>,
    surroundings: &dyn Surroundings,
    whole: bool,
) -> Meant {
    let mut meaning = Meaning { surroundings, findings: Vec::new(), whole };
    let base = meaning.base(written.base);
    let family = base.as_ref().and_then(|base| match base {
        Base::Distro(distro) => Some(distro.family()),
        Base::Image(_) => None,
    });
    let name = meaning.name(written.name);
    let arch = meaning.arch(written.arch);
    let hostname = written.hostname.map_or_else(|| names::host_name_from(&name), |name| name.0);
    let size = meaning.size(written.size);
    let packages = meaning.packages(written.packages);
    let repositories = meaning.repositories(written.repositories, family);
    let ssh = meaning.ssh(written.ssh, &name);
    let users = meaning.users(written.users, &name, ssh.is_some());
    let files = meaning.files(written.files, &users);
    let secrets = meaning.secrets(written.secrets);
    let run = meaning.run(written.run, &users, &secrets);
    let services = meaning.services(written.services, &users);
    let env = meaning.env("/env", written.env.0);
    let dns = machine::dns(written.network);
    let tmp = meaning.tmp(written.tmp);
    let kernel = meaning.kernel(written.kernel);
    let boot_args = meaning.boot_args(written.boot);
    let document = Arc::clone(document);
    let manifest = match (base, arch, size, tmp, kernel) {
        (Some(base), Some(arch), Some(size), Some(tmp), Some(kernel)) => Some(Manifest {
            document,
            name,
            base,
            arch,
            size,
            packages,
            repositories,
            ssh,
            env,
            hostname,
            users,
            files,
            run,
            secrets,
            services,
            dns,
            tmp,
            kernel,
            boot_args,
        }),
        _ => None,
    };
    Meant { manifest, findings: meaning.findings }
}

struct Meaning<'a> {
    surroundings: &'a dyn Surroundings,
    findings: Vec<Finding>,
    whole: bool,
}

impl Meaning<'_> {
    fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    #[expect(clippy::unused_self, reason = "reads like its neighbours")]
    fn base(&self, written: Option<written::Base>) -> Option<Base> {
        Some(match written? {
            TextOr::Text(name) => Base::Distro(name.0),
            TextOr::Map(map) => Base::Image(map.image.0),
        })
    }

    fn packages(&mut self, written: List<PackageText>) -> Vec<PackageRequest> {
        let mut first: BTreeMap<String, (String, Option<String>)> = BTreeMap::new();
        let mut packages = Vec::new();
        for (index, PackageText(text)) in written.entries() {
            let pointer = format!("/packages/{index}");
            let (name, version) = match text.split_once('=') {
                Some((name, version)) => (name.to_owned(), Some(version.to_owned())),
                None => (text, None),
            };
            if let Some((earlier, earlier_version)) = first.get(&name) {
                let finding = Finding::at("clash", pointer, format!("`{name}` is listed twice"))
                    .also(Place::Value(earlier.clone()), "the first time")
                    .label("the second time");
                if *earlier_version == version {
                    self.add(finding.help("remove one of the two").warning());
                } else {
                    self.add(finding.help("keep the entry whose version you want"));
                }
                continue;
            }
            first.insert(name.clone(), (pointer, version.clone()));
            packages.push(PackageRequest { name, version });
        }
        packages
    }

    fn env(&mut self, pointer: &str, written: Env) -> BTreeMap<String, String> {
        let list = match written {
            Env::Map(map) => return map,
            Env::List(list) => list,
        };
        let mut env = BTreeMap::new();
        let mut seen = Seen::new();
        for (index, assignment) in list.entries() {
            let Some((name, value)) = assignment.split_once('=') else { continue };
            let pointer = format!("{pointer}/{index}");
            if let Some(earlier) = seen.again(name.to_owned(), &pointer) {
                self.add(
                    Finding::at("clash", pointer, format!("the variable `{name}` is given twice"))
                        .also(earlier, "the first time")
                        .label("the second time")
                        .help("keep one of the two"),
                );
                continue;
            }
            env.insert(name.to_owned(), value.to_owned());
        }
        env
    }

    /// Reads a file of whoever builds; `~` is their home.
    fn read(&mut self, pointer: &str, path: &str, what: &str) -> Option<Vec<u8>> {
        let resolved = match names::expand_home(path, self.surroundings.home()) {
            Ok(resolved) => resolved,
            Err(reason) => {
                self.add(
                    Finding::at("path", pointer, format!("`{path}`: {reason}"))
                        .help("write the whole path, or one relative to the Smolfile"),
                );
                return None;
            }
        };
        match self.surroundings.read(&resolved) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let help = if error.kind() == std::io::ErrorKind::NotFound {
                    format!("the path of {what} is relative to the Smolfile's folder; `~/` is your home folder")
                } else {
                    format!("make it readable: ls -l {path}")
                };
                let (reason, label) = match error.kind() {
                    std::io::ErrorKind::NotFound => ("there is no such file".to_owned(), "does not exist"),
                    _ => (error.to_string(), "cannot be read"),
                };
                let message = format!("{what} `{path}` cannot be read: {reason}");
                self.add(Finding::at("unreadable", pointer, message).label(label).help(help));
                None
            }
        }
    }
}

/// The first place of a name, to point at when it comes again.
struct Seen<K> {
    places: BTreeMap<K, String>,
}

impl<K: Ord> Seen<K> {
    fn new() -> Self {
        Self { places: BTreeMap::new() }
    }

    /// Where it stood before, if it did.
    fn again(&mut self, key: K, pointer: &str) -> Option<Place> {
        if let Some(earlier) = self.places.get(&key) {
            return Some(Place::Value(earlier.clone()));
        }
        self.places.insert(key, pointer.to_owned());
        None
    }
}

/// A pointer one level down.
fn below(pointer: &str, key: &str) -> String {
    child(pointer, key)
}
