//! A new choice that differs from an earlier one only where it has to.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Chosen, Request, Unsatisfiable, choose, problem, resolve};
use crate::deb::universe::{NameId, PackageId, Universe};

/// The packages to install, sorted by name: those named in `renewed` as [`resolve`] would choose them now, of the others that `earlier`
/// holds as many as possible as they are there. Not one more of them could stay, and of alternatives that serve equally, those are taken.
pub fn refresh(
    universe: &Universe,
    request: &Request<'_>,
    earlier: &[PackageId],
    renewed: &BTreeSet<&str>,
) -> Result<Vec<Chosen>, Unsatisfiable> {
    let is_renewed = |id: &PackageId| renewed.contains(universe.package(*id).name());
    let newest = resolve(universe, request)?;
    let pins = newest.iter().map(|chosen| chosen.package).filter(is_renewed).map(|id| (universe.name_of(id), id));
    let others: Vec<PackageId> = earlier.iter().copied().filter(|id| !is_renewed(id)).collect();
    let names =
        earlier.iter().map(|id| universe.name_of(*id)).chain(renewed.iter().filter_map(|name| universe.find(name)));
    let (pins, earlier) = (pins.collect(), names.collect());
    let mut search = Search { universe, request, pins, earlier, held: Vec::new(), chosen: newest };
    search.hold(&others);
    Ok(search.chosen)
}

struct Search<'a> {
    universe: &'a Universe,
    request: &'a Request<'a>,
    /// The renewed.
    pins: HashMap<NameId, PackageId>,
    earlier: HashSet<NameId>,
    /// What is known to be able to stay, all together.
    held: Vec<PackageId>,
    /// The last choice that could be: its witness.
    chosen: Vec<Chosen>,
}

impl Search<'_> {
    /// Holds as many of these as possible. What cannot be held beside some cannot be held beside more, since every other package may
    /// be of any version: so one pass is enough, halving what cannot be held as a whole: few of hundreds have to move.
    fn hold(&mut self, packages: &[PackageId]) {
        if packages.is_empty() {
            return;
        }
        if let Some(chosen) = self.with(packages) {
            self.held.extend(packages);
            self.chosen = chosen;
        } else if packages.len() > 1 {
            let (first, second) = packages.split_at(packages.len() / 2);
            self.hold(first);
            self.hold(second);
        }
    }

    /// A choice with the renewed, all that is held, and these.
    fn with(&self, packages: &[PackageId]) -> Option<Vec<Chosen>> {
        let held = || self.held.iter().chain(packages).copied();
        let mut pins = self.pins.clone();
        pins.extend(held().map(|id| (self.universe.name_of(id), id)));
        let (mut policy, roots) = problem::find_roots(self.universe, self.request, &pins).ok()?;
        // A request for a version that rules a held package out has pinned another one.
        if held().any(|id| policy.pins.get(&self.universe.name_of(id)) != Some(&id)) {
            return None;
        }
        policy.earlier.clone_from(&self.earlier);
        policy.any_version = true;
        choose(&policy, &roots)
    }
}
