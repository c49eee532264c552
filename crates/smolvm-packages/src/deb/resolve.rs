//! From what is asked for to the packages that are installed.
//!
//! The choice is apt's wherever apt has one: depth first, in the order of the fields, an alternative that is already chosen,
//! else the first that can be. Where that leads nowhere, a complete search decides whether anything does.

mod complete;
mod explain;
mod greedy;
mod problem;
mod refresh;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{HashMap, HashSet};

use smolvm_manifest::{LockedPackage, PackageLayer, PackageRequest};

use super::index::Priority;
use super::universe::{NameId, PackageId, Universe};
use super::version::matches_pattern;
use greedy::Greedy;
pub use problem::{Problem, Unsatisfiable};
pub use refresh::refresh;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Whether the base system is part of it: what is essential, what is required, and apt.
    pub base: bool,
    /// What a part of the Smolfile other than `packages` needs, such as an SSH server.
    pub implied: &'a [&'a str],
    /// The Smolfile's `packages`.
    pub packages: &'a [PackageRequest],
}

/// A package that is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// Which.
    pub package: PackageId,
    /// The layer that installs it.
    pub layer: PackageLayer,
}

/// The packages to install, sorted by name.
///
/// The base layer is what the base system needs by itself, whatever else is asked for, unless a request rules a part of it out.
pub fn resolve(universe: &Universe, request: &Request<'_>) -> Result<Vec<Chosen>, Unsatisfiable> {
    let (policy, roots) = problem::find_roots(universe, request, &HashMap::new())?;
    choose(&policy, &roots).ok_or_else(|| {
        let (base, user): (Vec<Root>, Vec<Root>) = roots.iter().partition(|root| root.origin == Origin::Base);
        explain::explain(&policy, &base, &user)
    })
}

/// A choice for these roots, if there is one.
fn choose(policy: &Policy<'_>, roots: &[Root]) -> Option<Vec<Chosen>> {
    let universe = policy.universe;
    let base: Vec<Root> = roots.iter().filter(|root| root.origin == Origin::Base).copied().collect();
    let user: Vec<Root> = roots.iter().filter(|root| root.origin != Origin::Base).copied().collect();

    let mut greedy = Greedy::new(policy);
    let base_alone: HashSet<PackageId> = if greedy.add(&base) {
        greedy.chosen().collect()
    } else {
        let alone = complete::solve(policy, &base, &HashSet::new())?;
        greedy = Greedy::new(policy);
        greedy.assume(&closure(universe, &alone, &base));
        closure(universe, &alone, &base)
    };
    if greedy.add(&user) {
        let chosen: HashSet<PackageId> = greedy.chosen().collect();
        return Some(layered(universe, &chosen, |id| base_alone.contains(&id)));
    }
    let solution = complete::solve(policy, roots, &base_alone)?;
    let chosen = closure(universe, &solution, roots);
    let base_layer = if base_alone.is_subset(&chosen) { base_alone } else { closure(universe, &chosen, &base) };
    Some(layered(universe, &chosen, |id| base_layer.contains(&id)))
}

/// A chosen package as the lock names it.
pub fn locked(universe: &Universe, chosen: Chosen) -> LockedPackage {
    universe.package(chosen.package).locked(chosen.layer)
}

/// A package that must be installed, and who says so.
#[derive(Debug, Clone, Copy)]
struct Root {
    package: PackageId,
    origin: Origin,
}

/// Who asks for a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The base system.
    Base,
    /// Another part of the Smolfile.
    Implied,
    /// An entry of `packages`.
    Request(usize),
}

/// Which package of a name may be taken.
#[derive(Debug)]
struct Policy<'u> {
    universe: &'u Universe,
    pins: HashMap<NameId, PackageId>,
    /// What an earlier choice had: taken before others that would do as well.
    earlier: HashSet<NameId>,
    /// Whether what is asked for may be of any version, where the newest cannot be.
    any_version: bool,
}

impl Policy<'_> {
    /// The one package of a name that is taken unless there is a need for another: the pinned, else the newest one.
    fn candidate(&self, name: NameId) -> Option<PackageId> {
        self.allowed(name).first().copied()
    }

    /// Every package of a name that may be taken, best first.
    fn allowed(&self, name: NameId) -> &[PackageId] {
        match self.pins.get(&name) {
            Some(pinned) => std::slice::from_ref(pinned),
            None => self.universe.versions(name),
        }
    }

    /// Whether a package may be taken.
    fn allows(&self, id: PackageId) -> bool {
        self.allowed(self.universe.name_of(id)).contains(&id)
    }

    /// The base system, as mmdebstrap's `minbase` has it: essential and required packages, and apt.
    fn base(&self) -> Vec<PackageId> {
        self.universe
            .newest_of_all()
            .filter(|id| {
                let package = self.universe.package(*id);
                package.is_essential() || package.priority() == Priority::Required || package.name() == "apt"
            })
            .filter_map(|id| self.candidate(self.universe.name_of(id)))
            .collect()
    }

    /// The newest package of a name whose version matches a pattern.
    fn matching(&self, name: NameId, pattern: &str) -> Option<PackageId> {
        let versions = self.universe.versions(name).iter().copied();
        versions.into_iter().find(|id| matches_pattern(pattern, self.universe.package(*id).version()))
    }
}

/// The part of a solution that roots need: the roots, and of each dependency the first alternative that the solution has.
fn closure(universe: &Universe, solution: &HashSet<PackageId>, roots: &[Root]) -> HashSet<PackageId> {
    let by_name: HashMap<NameId, PackageId> = solution.iter().map(|id| (universe.name_of(*id), *id)).collect();
    let mut closed = HashSet::new();
    let mut open: Vec<PackageId> =
        roots.iter().filter_map(|root| by_name.get(&universe.name_of(root.package)).copied()).collect();
    while let Some(id) = open.pop() {
        if !closed.insert(id) {
            continue;
        }
        for group in universe.package(id).needs() {
            let found = group.iter().find_map(|dependency| {
                let name = universe.find(dependency.name)?;
                let providers = universe.providers(name).iter().filter(|provider| solution.contains(provider)).copied();
                let mut known = by_name.get(&name).copied().into_iter().chain(providers);
                known.find(|id| universe.fulfils(*id, dependency))
            });
            open.extend(found);
        }
    }
    closed
}

fn layered(universe: &Universe, chosen: &HashSet<PackageId>, is_base: impl Fn(PackageId) -> bool) -> Vec<Chosen> {
    let layer = |id| if is_base(id) { PackageLayer::Base } else { PackageLayer::User };
    let mut chosen: Vec<Chosen> = chosen.iter().map(|id| Chosen { package: *id, layer: layer(*id) }).collect();
    chosen.sort_by_key(|chosen| universe.package(chosen.package).name());
    chosen
}
