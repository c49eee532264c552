//! The search that finds a choice if there is one.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;

use resolvo::{
    Candidates, Condition, ConditionId, Dependencies, DependencyProvider, HintDependenciesAvailable, Interner,
    KnownDependencies, NameId as SolverName, Problem, Requirement, SolvableId, Solver, SolverCache, StringId,
    VersionSetId, VersionSetUnionId,
};

use super::{Policy, Root};
use crate::deb::dependency::Dependency;
use crate::deb::universe::{NameId, PackageId};

/// A choice that holds every root and all they need, keeping to `preferred` packages where it can; `None` if there is none.
pub(super) fn solve(policy: &Policy<'_>, roots: &[Root], preferred: &HashSet<PackageId>) -> Option<HashSet<PackageId>> {
    let world = World { policy, preferred, sets: RefCell::default() };
    let requirements = roots.iter().map(|root| {
        let name = policy.universe.name_of(root.package);
        let packages = if policy.any_version { policy.allowed(name).to_vec() } else { vec![root.package] };
        let set = world.set(name, packages);
        Requirement::Single(set).into()
    });
    let problem = Problem::new().requirements(requirements.collect());
    let solution = Solver::new(world).solve(problem).ok()?;
    Some(solution.into_iter().map(|id| PackageId(id.into_raw())).collect())
}

/// The packages as the solver sees them.
struct World<'p, 'u> {
    policy: &'p Policy<'u>,
    preferred: &'p HashSet<PackageId>,
    sets: RefCell<Sets>,
}

/// A set of packages that all have one name: the solver reports conflicts that do not exist if they have several.
#[derive(Default)]
struct Sets {
    members: Vec<(NameId, Vec<PackageId>)>,
    numbers: HashMap<(NameId, Vec<PackageId>), VersionSetId>,
    unions: Vec<Vec<VersionSetId>>,
}

impl World<'_, '_> {
    fn set(&self, name: NameId, packages: Vec<PackageId>) -> VersionSetId {
        let mut sets = self.sets.borrow_mut();
        let key = (name, packages);
        if let Some(known) = sets.numbers.get(&key) {
            return *known;
        }
        let id = VersionSetId(number(sets.members.len()));
        sets.members.push(key.clone());
        sets.numbers.insert(key, id);
        id
    }

    /// The packages that fulfil a group, as one set per name; `None` if there are none.
    fn requirement(&self, group: &[Dependency<'_>]) -> Option<Requirement> {
        let universe = self.policy.universe;
        let mut by_name: Vec<(NameId, Vec<PackageId>)> = Vec::new();
        for dependency in group {
            let Some(name) = universe.find(dependency.name) else { continue };
            for id in universe.versions(name).iter().chain(universe.providers(name)).copied() {
                if !self.policy.allows(id) || !universe.fulfils(id, dependency) {
                    continue;
                }
                let own_name = universe.name_of(id);
                match by_name.iter_mut().find(|(name, _)| *name == own_name) {
                    Some((_, packages)) if packages.contains(&id) => {}
                    Some((_, packages)) => packages.push(id),
                    None => by_name.push((own_name, vec![id])),
                }
            }
        }
        by_name.sort_by_key(|(name, _)| !self.policy.earlier.contains(name));
        let sets: Vec<VersionSetId> = by_name.into_iter().map(|(name, packages)| self.set(name, packages)).collect();
        match sets[..] {
            [] => None,
            [one] => Some(Requirement::Single(one)),
            _ => {
                let mut known = self.sets.borrow_mut();
                known.unions.push(sets);
                Some(Requirement::Union(VersionSetUnionId(number(known.unions.len() - 1))))
            }
        }
    }

    /// For each name that a package refuses, or whose packages provide it, the packages that may stand beside it.
    fn constraints(&self, id: PackageId) -> Vec<VersionSetId> {
        let universe = self.policy.universe;
        let mut constraints = Vec::new();
        for entry in universe.package(id).refuses() {
            let Some(refused) = universe.find(entry.name) else { continue };
            let mut names: Vec<NameId> = universe.providers(refused).iter().map(|id| universe.name_of(*id)).collect();
            names.push(refused);
            names.sort_unstable();
            names.dedup();
            for name in names.into_iter().filter(|name| *name != universe.name_of(id)) {
                let allowed = self.policy.allowed(name);
                let may_stand: Vec<PackageId> =
                    allowed.iter().copied().filter(|other| !universe.is_meant(*other, &entry)).collect();
                if may_stand.len() < allowed.len() {
                    constraints.push(self.set(name, may_stand));
                }
            }
        }
        constraints
    }

    fn describe(&self, id: SolvableId) -> String {
        format!("{:?}", self.policy.universe.package(PackageId(id.into_raw())))
    }
}

impl Interner for World<'_, '_> {
    type NameId = SolverName;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        self.describe(solvable)
    }

    fn display_name(&self, name: SolverName) -> impl Display + '_ {
        name.into_raw()
    }

    fn display_version_set(&self, version_set: VersionSetId) -> impl Display + '_ {
        version_set.0
    }

    fn display_string(&self, _: StringId) -> impl Display + '_ {
        "needs a package that does not exist"
    }

    fn version_set_name(&self, version_set: VersionSetId) -> SolverName {
        SolverName::from_raw(self.sets.borrow().members[version_set.0 as usize].0.0)
    }

    fn solvable_name(&self, solvable: SolvableId) -> SolverName {
        SolverName::from_raw(self.policy.universe.name_of(PackageId(solvable.into_raw())).0)
    }

    fn version_sets_in_union(&self, union: VersionSetUnionId) -> impl Iterator<Item = VersionSetId> {
        self.sets.borrow().unions[union.0 as usize].clone().into_iter()
    }

    fn resolve_condition(&self, condition: ConditionId) -> Condition {
        unreachable!("no dependency of the deb world has a condition, yet {condition:?} was asked for")
    }
}

impl DependencyProvider for World<'_, '_> {
    async fn filter_candidates(
        &self,
        candidates: &[SolvableId],
        version_set: VersionSetId,
        inverse: bool,
    ) -> Vec<SolvableId> {
        let sets = self.sets.borrow();
        let (_, packages) = &sets.members[version_set.0 as usize];
        let is_in = |id: &SolvableId| packages.contains(&PackageId(id.into_raw())) != inverse;
        candidates.iter().copied().filter(is_in).collect()
    }

    async fn get_candidates(&self, name: SolverName) -> Option<Candidates> {
        let allowed = self.policy.allowed(NameId(name.into_raw()));
        let solvable = |id: &PackageId| SolvableId::from_raw(id.0);
        (!allowed.is_empty()).then(|| Candidates {
            candidates: allowed.iter().map(solvable).collect(),
            favored: allowed.iter().find(|id| self.preferred.contains(id)).map(solvable),
            hint_dependencies_available: HintDependenciesAvailable::None,
            ..Candidates::default()
        })
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, solvables: &mut [SolvableId]) {
        let universe = self.policy.universe;
        solvables.sort_by_key(|id| {
            let id = PackageId(id.into_raw());
            universe.versions(universe.name_of(id)).iter().position(|known| *known == id)
        });
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        let id = PackageId(solvable.into_raw());
        let mut requirements = Vec::new();
        for group in self.policy.universe.package(id).needs() {
            match self.requirement(&group) {
                Some(requirement) => requirements.push(requirement.into()),
                None => return Dependencies::Unknown(StringId(0)),
            }
        }
        Dependencies::Known(KnownDependencies { requirements, constrains: self.constraints(id) })
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
