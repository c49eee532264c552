//! The choice that apt would make: depth first, never looking back further than one alternative.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::{Origin, Policy, Root};
use crate::deb::dependency::Dependency;
use crate::deb::universe::{NameId, PackageId, Universe};

/// A growing choice of packages.
pub(super) struct Greedy<'p, 'u> {
    policy: &'p Policy<'u>,
    universe: &'u Universe,
    chosen: HashMap<NameId, PackageId>,
    /// What was chosen, in order, and why: undone from the end.
    journal: Vec<PackageId>,
    reasons: HashMap<PackageId, Reason>,
    /// Chosen packages by the names that they refuse.
    refused: HashMap<NameId, Vec<PackageId>>,
    steps: usize,
    /// Why choices failed, in order.
    pub(super) setbacks: Vec<Setback<'u>>,
}

/// Why a package was chosen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reason {
    /// It was asked for.
    Asked(Origin),
    /// Another package needs it.
    Needed(PackageId),
}

/// Why a choice failed.
#[derive(Debug)]
pub(super) struct Setback<'u> {
    /// The package that could not be had, or whose need could not be met, and before it what led there.
    pub(super) path: Path,
    pub(super) kind: SetbackKind<'u>,
}

/// From what was asked for to a package.
#[derive(Debug, Clone)]
pub(super) struct Path {
    pub(super) origin: Origin,
    /// The package that was asked for first.
    pub(super) packages: Vec<PackageId>,
}

impl Path {
    /// What led to its last package; the whole path if that was asked for.
    pub(super) fn without_last(&self) -> Self {
        let packages = self.packages.split_last().map(|(_, before)| before).filter(|before| !before.is_empty());
        Self { origin: self.origin, packages: packages.unwrap_or(&self.packages).to_vec() }
    }
}

#[derive(Debug)]
pub(super) enum SetbackKind<'u> {
    /// No package fulfils one of its dependencies.
    Missing(Vec<Dependency<'u>>),
    /// A chosen package and it refuse one another.
    Refusal {
        /// The chosen one.
        other: Path,
        /// Which of the two says so.
        by_other: bool,
        /// How.
        entry: Dependency<'u>,
    },
    /// Another version of it is chosen.
    OtherVersion(Path),
}

/// A chain of dependencies deeper than any real one; a stack holds it.
const DEEPEST: usize = 1_500;
/// More choices than a thousand-package set needs, so that dead ends inside dead ends come to an end.
const MOST_STEPS: usize = 100_000;

impl<'p, 'u> Greedy<'p, 'u> {
    pub(super) fn new(policy: &'p Policy<'u>) -> Self {
        Self {
            policy,
            universe: policy.universe,
            chosen: HashMap::new(),
            journal: Vec::new(),
            reasons: HashMap::new(),
            refused: HashMap::new(),
            steps: 0,
            setbacks: Vec::new(),
        }
    }

    /// Adds packages and all they need. All are chosen before the first dependency is looked at, so that an alternative that
    /// is asked for anyway is the one taken. On `false` the choice is spoiled.
    pub(super) fn add(&mut self, roots: &[Root]) -> bool {
        let mut all = true;
        for root in roots {
            all &= self.choose(root.package, Reason::Asked(root.origin));
        }
        all && roots.iter().all(|root| self.install_needs(root.package, 0))
    }

    /// Takes packages as given.
    pub(super) fn assume<'a>(&mut self, packages: impl IntoIterator<Item = &'a PackageId>) {
        for package in packages {
            self.enter(*package, Reason::Asked(Origin::Base));
        }
    }

    /// Everything chosen.
    pub(super) fn chosen(&self) -> impl Iterator<Item = PackageId> {
        self.journal.iter().copied()
    }

    fn install_needs(&mut self, id: PackageId, depth: usize) -> bool {
        if depth > DEEPEST {
            return false;
        }
        for group in self.universe.package(id).needs() {
            if group.iter().any(|dependency| self.has(dependency)) {
                continue;
            }
            let options = self.options(&group);
            if options.is_empty() {
                self.setbacks.push(Setback { path: self.path(id), kind: SetbackKind::Missing(group) });
                return false;
            }
            if !options.into_iter().any(|option| self.try_install(option, id, depth)) {
                return false;
            }
        }
        true
    }

    fn try_install(&mut self, option: PackageId, needed_by: PackageId, depth: usize) -> bool {
        self.steps += 1;
        let mark = self.journal.len();
        let installed = self.steps < MOST_STEPS
            && self.choose(option, Reason::Needed(needed_by))
            && self.install_needs(option, depth + 1);
        if !installed {
            self.undo(mark);
        }
        installed
    }

    /// The packages that fulfil one of a group's alternatives, in the order in which to try them: what an earlier choice had, what is
    /// newest of each name, then what is older.
    fn options(&self, group: &[Dependency<'u>]) -> Vec<PackageId> {
        let mut earlier = Vec::new();
        let mut newest = Vec::new();
        let mut older = Vec::new();
        for dependency in group {
            let Some(name) = self.universe.find(dependency.name) else { continue };
            let mut providers = self.universe.providers(name).to_vec();
            providers.retain(|id| self.policy.allows(*id) && self.universe.fulfils(*id, dependency));
            providers.sort_by(|a, b| self.compare_providers(*a, *b));
            for id in self.policy.allowed(name).iter().copied().chain(providers) {
                if !self.universe.fulfils(id, dependency) || !self.policy.allows(id) {
                    continue;
                }
                let is_newest = self.policy.candidate(self.universe.name_of(id)) == Some(id);
                let options = match (is_newest, self.policy.earlier.contains(&self.universe.name_of(id))) {
                    (true, true) => &mut earlier,
                    (true, false) => &mut newest,
                    (false, _) => &mut older,
                };
                if !options.contains(&id) {
                    options.push(id);
                }
            }
        }
        earlier.append(&mut newest);
        earlier.append(&mut older);
        earlier
    }

    /// apt's order among the providers of a name. Where it has no reason either, it takes the one that it heard of last.
    fn compare_providers(&self, a: PackageId, b: PackageId) -> Ordering {
        let rank = |id| {
            let package = self.universe.package(id);
            (!package.is_essential(), !package.is_protected(), package.priority())
        };
        rank(a).cmp(&rank(b)).then_with(|| self.universe.first_mention(b).cmp(&self.universe.first_mention(a)))
    }

    fn has(&self, dependency: &Dependency<'_>) -> bool {
        self.chosen_of(dependency.name).any(|id| self.universe.fulfils(id, dependency))
    }

    /// The chosen packages that have or provide a name.
    fn chosen_of(&self, name: &str) -> impl Iterator<Item = PackageId> {
        let name = self.universe.find(name);
        let own = name.and_then(|name| self.chosen.get(&name).copied());
        let providers = name.map_or(&[][..], |name| self.universe.providers(name)).iter().copied();
        own.into_iter().chain(providers.filter(|id| self.is_chosen(*id)))
    }

    fn is_chosen(&self, id: PackageId) -> bool {
        self.chosen.get(&self.universe.name_of(id)) == Some(&id)
    }

    fn choose(&mut self, id: PackageId, reason: Reason) -> bool {
        match self.chosen.get(&self.universe.name_of(id)) {
            Some(other) if *other == id => return true,
            Some(other) => {
                let kind = SetbackKind::OtherVersion(self.path(*other));
                self.setbacks.push(Setback { path: self.path_of_newcomer(id, reason), kind });
                return false;
            }
            None => {}
        }
        if let Some((other, by_other, entry)) = self.refusal(id) {
            let kind = SetbackKind::Refusal { other: self.path(other), by_other, entry };
            self.setbacks.push(Setback { path: self.path_of_newcomer(id, reason), kind });
            return false;
        }
        self.enter(id, reason);
        true
    }

    /// A chosen package that cannot stand beside a newcomer.
    fn refusal(&self, newcomer: PackageId) -> Option<(PackageId, bool, Dependency<'u>)> {
        let universe = self.universe;
        let package = universe.package(newcomer);
        let by_newcomer = package.refuses().find_map(|entry| {
            let mut meant = self.chosen_of(entry.name);
            Some((meant.find(|other| universe.is_meant(*other, &entry))?, false, entry))
        });
        by_newcomer.or_else(|| {
            let names = package.provides().filter_map(|provided| universe.find(provided.name));
            std::iter::once(universe.name_of(newcomer)).chain(names).find_map(|name| {
                self.refused.get(&name)?.iter().find_map(|other| {
                    let mut entries = universe.package(*other).refuses();
                    Some((*other, true, entries.find(|entry| universe.is_meant(newcomer, entry))?))
                })
            })
        })
    }

    fn enter(&mut self, id: PackageId, reason: Reason) {
        self.chosen.insert(self.universe.name_of(id), id);
        self.journal.push(id);
        self.reasons.insert(id, reason);
        for entry in self.universe.package(id).refuses() {
            if let Some(name) = self.universe.find(entry.name) {
                self.refused.entry(name).or_default().push(id);
            }
        }
    }

    fn undo(&mut self, mark: usize) {
        for id in self.journal.split_off(mark) {
            self.chosen.remove(&self.universe.name_of(id));
            self.reasons.remove(&id);
            for entry in self.universe.package(id).refuses() {
                if let Some(owners) = self.universe.find(entry.name).and_then(|name| self.refused.get_mut(&name)) {
                    owners.retain(|owner| *owner != id);
                }
            }
        }
    }

    fn path_of_newcomer(&self, id: PackageId, reason: Reason) -> Path {
        match reason {
            Reason::Asked(origin) => Path { origin, packages: vec![id] },
            Reason::Needed(by) => {
                let mut path = self.path(by);
                path.packages.push(id);
                path
            }
        }
    }

    fn path(&self, id: PackageId) -> Path {
        let mut packages = vec![id];
        let mut reason = self.reasons.get(&id);
        let origin = loop {
            match reason {
                Some(Reason::Needed(by)) => {
                    packages.push(*by);
                    reason = self.reasons.get(by);
                }
                Some(Reason::Asked(origin)) => break *origin,
                None => break Origin::Base,
            }
        };
        packages.reverse();
        Path { origin, packages }
    }
}
