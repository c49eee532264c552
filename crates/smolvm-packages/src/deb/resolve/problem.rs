//! What is wrong with a request, in words.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write as _};

use miette::Diagnostic;

use super::{Origin, Policy, Request, Root};
use crate::deb::universe::{NameId, PackageId, Universe};
use crate::deb::version::matches_pattern;

/// A request that no choice of packages answers, with everything that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
#[error("the packages cannot be installed")]
#[diagnostic(code(smolvm::packages::unsatisfiable))]
pub struct Unsatisfiable {
    /// What stands in the way.
    #[related]
    pub problems: Vec<Problem>,
}

/// One thing that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
#[error("{message}")]
#[diagnostic(code(smolvm::packages::request), help("{help}"))]
pub struct Problem {
    /// The entries of `packages` that it is about, by their index; empty if it is about none.
    pub requests: Vec<usize>,
    /// What and why.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// The packages that are asked for by name, and the versions that the request fixes; or everything that is wrong with it.
///
/// `pins` are versions that are fixed beside those, unless the request rules them out.
pub(super) fn find_roots<'u>(
    universe: &'u Universe,
    request: &Request<'_>,
    pins: &HashMap<NameId, PackageId>,
) -> Result<(Policy<'u>, Vec<Root>), Unsatisfiable> {
    let mut policy = Policy { universe, pins: HashMap::new(), earlier: HashSet::new(), any_version: false };
    let mut problems = Vec::new();
    let mut pinned_by: HashMap<NameId, usize> = HashMap::new();
    for (index, package) in request.packages.iter().enumerate() {
        let Some(pattern) = &package.version else { continue };
        let Some(name) = universe.find(&package.name).filter(|name| !universe.versions(*name).is_empty()) else {
            continue;
        };
        let pinned = pins.get(&name).filter(|id| matches_pattern(pattern, universe.package(**id).version()));
        let Some(id) = pinned.copied().or_else(|| policy.matching(name, pattern)) else {
            problems.push(no_such_version(universe, index, &package.name, name, pattern));
            continue;
        };
        if let Some(other) = policy.pins.insert(name, id).filter(|other| *other != id) {
            problems.push(two_versions(universe, [pinned_by[&name], index], [other, id]));
        }
        pinned_by.insert(name, index);
    }
    for (name, id) in pins {
        policy.pins.entry(*name).or_insert(*id);
    }

    let mut roots = Vec::new();
    if request.base {
        roots.extend(policy.base().into_iter().map(|package| Root { package, origin: Origin::Base }));
        if universe.newest("apt").is_none() {
            problems.push(Problem {
                requests: Vec::new(),
                message: format!("the base system needs `apt`, which {} does not have", places(universe)),
                help: "the archive must hold a whole release: check its suites and components".into(),
            });
        }
    }
    let implied = request.implied.iter().map(|name| (*name, Origin::Implied));
    let asked = request.packages.iter().enumerate().map(|(index, package)| (&*package.name, Origin::Request(index)));
    for (name, origin) in implied.chain(asked) {
        match find_package(&policy, name, origin) {
            Ok(package) => roots.push(Root { package, origin }),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        return Ok((policy, roots));
    }
    problems.sort_by(|a, b| a.requests.cmp(&b.requests));
    Err(Unsatisfiable { problems })
}

fn find_package(policy: &Policy<'_>, name: &str, origin: Origin) -> Result<PackageId, Problem> {
    let universe = policy.universe;
    let Some(id) = universe.find(name) else { return Err(unknown_package(universe, name, origin)) };
    if let Some(package) = policy.candidate(id) {
        return Ok(package);
    }
    let mut providers: Vec<NameId> = universe.providers(id).iter().map(|id| universe.name_of(*id)).collect();
    providers.sort_unstable();
    providers.dedup();
    let candidates: Vec<PackageId> = providers
        .into_iter()
        .filter_map(|name| policy.candidate(name))
        .filter(|id| universe.package(*id).provides().any(|provided| provided.name == name))
        .collect();
    match candidates[..] {
        [] => return Err(unknown_package(universe, name, origin)),
        [only] => return Ok(only),
        _ => {}
    }
    let names: Vec<String> = candidates.iter().map(|id| universe.package(*id).name().to_owned()).collect();
    Err(Problem {
        requests: origin.request(),
        message: format!("{} is a virtual package, which {} packages provide", Asked(origin, name), names.len()),
        help: format!("name one of them: {}", some_of(&names)),
    })
}

fn unknown_package(universe: &Universe, name: &str, origin: Origin) -> Problem {
    Problem {
        requests: origin.request(),
        message: format!("{}: there is no such package in {}", Asked(origin, name), places(universe)),
        help: match near_names(universe, name).as_slice() {
            [] => "look for it with `apt-cache search`, or add the repository that has it under `repositories`".into(),
            names => format!("did you mean {}?", any_of(names)),
        },
    }
}

fn no_such_version(universe: &Universe, index: usize, name: &str, id: NameId, pattern: &str) -> Problem {
    let asked = Asked(Origin::Request(index), name);
    let with_epoch = universe.versions(id).iter().map(|id| universe.package(*id).version()).find_map(|version| {
        let (epoch, rest) = version.split_once(':')?;
        matches_pattern(pattern, rest).then_some(epoch)
    });
    let available: Vec<String> = universe.versions(id).iter().map(|id| version_and_suite(universe, *id)).collect();
    Problem {
        requests: vec![index],
        message: format!("{asked}: no version matches `{pattern}`"),
        help: match with_epoch {
            Some(epoch) => format!("its versions begin with `{epoch}:`; write `{name}={epoch}:{pattern}`"),
            None => format!("there is: {}", available.join(", ")),
        },
    }
}

fn two_versions(universe: &Universe, requests: [usize; 2], ids: [PackageId; 2]) -> Problem {
    let [first, second] = ids.map(|id| universe.package(id));
    Problem {
        requests: requests.to_vec(),
        message: format!(
            "packages[{}] and packages[{}] ask for two versions of `{}`: {} and {}",
            requests[0],
            requests[1],
            first.name(),
            first.version(),
            second.version()
        ),
        help: "leave one of them out".into(),
    }
}

impl Origin {
    /// The index of the entry of `packages`, if it is one.
    pub(super) fn request(self) -> Vec<usize> {
        match self {
            Self::Request(index) => vec![index],
            Self::Base | Self::Implied => Vec::new(),
        }
    }
}

/// A package that was asked for, by the name of its place in the Smolfile.
pub(super) struct Asked<'a>(pub(super) Origin, pub(super) &'a str);

impl fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Origin::Base => write!(f, "the base system's `{}`", self.1),
            Origin::Implied => write!(f, "`{}`, which `ssh` needs,", self.1),
            Origin::Request(index) => write!(f, "packages[{index}] `{}`", self.1),
        }
    }
}

/// Where packages were looked for.
pub(super) fn places(universe: &Universe) -> String {
    match universe.suites()[..] {
        [] => "any index".into(),
        [one] => one.into(),
        [ref first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

pub(super) fn version_and_suite(universe: &Universe, id: PackageId) -> String {
    let package = universe.package(id);
    format!("{} ({})", package.version(), package.suite())
}

/// Names that somebody may have meant.
pub(super) fn near_names(universe: &Universe, name: &str) -> Vec<String> {
    let allowed = (name.len() / 3).clamp(1, 3);
    let mut near: Vec<(usize, usize, &str)> = universe
        .real_names()
        .filter(|known| known.len().abs_diff(name.len()) <= allowed)
        .map(|known| (strsim::osa_distance(known, name), usize::from(!known.starts_with(name)), known))
        .filter(|(distance, _, _)| *distance <= allowed)
        .collect();
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, _, known)| known.to_owned()).collect()
}

fn any_of(names: &[String]) -> String {
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        let separator = match index {
            0 => "",
            last if last + 1 == names.len() => " or ",
            _ => ", ",
        };
        let _ = write!(text, "{separator}`{name}`");
    }
    text
}

/// At most eight names.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        let _ = write!(text, " and {} more", names.len() - SHOWN);
    }
    text
}
