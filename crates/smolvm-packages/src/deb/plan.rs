//! The order in which packages are unpacked and configured.

use std::collections::{BTreeMap, HashMap};

use super::control::Control;
use super::dependency::{self, Dependency};

/// Packages that are unpacked together, after which some are configured together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wave {
    /// Whether the image is empty before it: nothing can run until all files of the wave are placed, so its `preinst`
    /// scripts come after that.
    pub bootstrap: bool,
    /// The packages whose `preinst` is run and whose files are placed, in this order.
    pub unpack: Vec<String>,
    /// The packages to configure then, in this order: of this wave and of those before it.
    pub configure: Vec<String>,
}

/// What is placed first among the bootstrap set: its `preinst` and `postinst` make the users and folders that others
/// take for granted without depending on it.
const FIRST: [&str; 2] = ["base-passwd", "base-files"];

/// Divides packages into as few waves as their `Pre-Depends` allow.
///
/// A set with dpkg itself in it is meant for an empty image: its essential packages, and all that they depend on, are
/// the first wave. From there on, whatever a package pre-depends on is configured before the wave in which it is
/// unpacked. What is needed and not among `controls` is taken for installed. The same packages give the same waves, in
/// whatever order they come.
pub fn plan(controls: &[Control]) -> Vec<Wave> {
    let graph = Graph::new(controls);
    let (order, component) = graph.order();
    let bootstraps = graph.packages.iter().any(|control| control.name == "dpkg");
    let mut in_bootstrap = vec![false; controls.len()];
    if bootstraps {
        let essential = |&package: &usize| graph.packages[package].is_essential();
        graph.mark_closure((0..controls.len()).filter(essential), &mut in_bootstrap);
    }

    // `ready[c]`: the first wave in which all packages of the component and all that they depend on are unpacked.
    let mut unpacked_in = vec![0; controls.len()];
    let mut ready = vec![0; controls.len()];
    for members in components(&order, &component) {
        for &package in &members {
            if in_bootstrap[package] {
                continue;
            }
            // Within a cycle nothing can be configured first; dpkg is left to break it where it does least harm.
            let before = graph.pre_depends[package].iter().filter(|needed| component[**needed] != component[package]);
            let waits_for = before.map(|needed| ready[component[*needed]] + 1).max();
            unpacked_in[package] = waits_for.unwrap_or(0).max(usize::from(bootstraps));
        }
        let own = members.iter().map(|package| unpacked_in[*package]);
        let below = members.iter().flat_map(|package| &graph.depends[*package]).map(|needed| ready[component[*needed]]);
        ready[component[members[0]]] = own.chain(below).max().unwrap_or(0);
    }

    let last = unpacked_in.iter().copied().max();
    let mut configured = vec![false; controls.len()];
    let mut waves = Vec::new();
    for number in last.map_or(0..0, |last| 0..last + 1) {
        let name = |package: &usize| graph.packages[*package].name.clone();
        let unpack: Vec<usize> = order.iter().copied().filter(|package| unpacked_in[*package] == number).collect();
        let mut wanted = vec![false; controls.len()];
        if Some(number) == last || (bootstraps && number == 0) {
            for package in 0..controls.len() {
                wanted[package] = unpacked_in[package] <= number;
            }
        } else {
            let next = (0..controls.len()).filter(|package| unpacked_in[*package] == number + 1);
            let needed = next.flat_map(|package| graph.pre_depends[package].iter().copied());
            let needed = needed.filter(|needed| unpacked_in[*needed] <= number);
            graph.mark_closure(needed, &mut wanted);
        }
        let configure: Vec<usize> =
            order.iter().copied().filter(|package| wanted[*package] && !configured[*package]).collect();
        for package in &configure {
            configured[*package] = true;
        }
        waves.push(Wave {
            bootstrap: bootstraps && number == 0,
            unpack: unpack.iter().map(name).collect(),
            configure: configure.iter().map(name).collect(),
        });
    }
    // A set of which nothing is essential has no bootstrap wave.
    waves.retain(|wave| !wave.unpack.is_empty() || !wave.configure.is_empty());
    waves
}

/// Packages by number, sorted by name, and what each needs.
struct Graph<'a> {
    packages: Vec<&'a Control>,
    /// `Pre-Depends` and `Depends`.
    depends: Vec<Vec<usize>>,
    pre_depends: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    fn new(controls: &'a [Control]) -> Self {
        let by_name: BTreeMap<&str, &Control> =
            controls.iter().map(|control| (control.name.as_str(), control)).collect();
        let packages: Vec<&Control> = by_name.into_values().collect();
        let finder = Finder::new(&packages);
        let needed = |field: &str| -> Vec<Vec<usize>> {
            packages.iter().map(|control| finder.needed_by(control.field(field).unwrap_or_default())).collect()
        };
        let pre_depends = needed("Pre-Depends");
        let mut depends = pre_depends.clone();
        for (all, further) in depends.iter_mut().zip(needed("Depends")) {
            all.extend(further);
        }
        Self { packages, depends, pre_depends }
    }

    /// All packages, each after what it depends on as far as cycles allow, and the cycle that each belongs to.
    fn order(&self) -> (Vec<usize>, Vec<usize>) {
        let mut search = Search {
            graph: self,
            found: vec![None; self.packages.len()],
            lowest: vec![0; self.packages.len()],
            component: vec![usize::MAX; self.packages.len()],
            stack: Vec::new(),
            order: Vec::new(),
            clock: 0,
        };
        let first = FIRST.iter().filter_map(|name| self.packages.iter().position(|control| control.name == *name));
        for root in first.chain(0..self.packages.len()) {
            if search.found[root].is_none() {
                search.visit(root);
            }
        }
        (search.order, search.component)
    }

    fn mark_closure(&self, roots: impl Iterator<Item = usize>, marked: &mut [bool]) {
        let mut left: Vec<usize> = roots.collect();
        while let Some(package) = left.pop() {
            if !marked[package] {
                marked[package] = true;
                left.extend(&self.depends[package]);
            }
        }
    }
}

/// Tarjan's search for strongly connected components.
struct Search<'a> {
    graph: &'a Graph<'a>,
    found: Vec<Option<usize>>,
    lowest: Vec<usize>,
    /// Named after one of its packages.
    component: Vec<usize>,
    stack: Vec<usize>,
    order: Vec<usize>,
    clock: usize,
}

impl Search<'_> {
    /// Goes as deep as the longest chain of dependencies, a few hundred packages at most.
    fn visit(&mut self, package: usize) {
        let found = self.clock;
        self.clock += 1;
        self.found[package] = Some(found);
        self.lowest[package] = found;
        self.stack.push(package);
        let graph = self.graph;
        for &needed in &graph.depends[package] {
            match self.found[needed] {
                None => {
                    self.visit(needed);
                    self.lowest[package] = self.lowest[package].min(self.lowest[needed]);
                }
                Some(when) if self.component[needed] == usize::MAX => {
                    self.lowest[package] = self.lowest[package].min(when);
                }
                Some(_) => {}
            }
        }
        self.order.push(package);
        if self.lowest[package] == found {
            while let Some(member) = self.stack.pop() {
                self.component[member] = package;
                if member == package {
                    break;
                }
            }
        }
    }
}

/// The members of each component; those that others depend on come first.
fn components(order: &[usize], component: &[usize]) -> Vec<Vec<usize>> {
    let mut place: HashMap<usize, usize> = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    // A component is complete when its first visited package, the one that names it, is: the last in `order`.
    for &package in order.iter().rev() {
        let group = *place.entry(component[package]).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(package);
    }
    groups.reverse();
    groups
}

/// Finds the packages that a dependency means.
struct Finder<'a> {
    packages: &'a [&'a Control],
    by_name: HashMap<&'a str, usize>,
    providers: HashMap<&'a str, Vec<(usize, Dependency<'a>)>>,
}

impl<'a> Finder<'a> {
    fn new(packages: &'a [&'a Control]) -> Self {
        let by_name = packages.iter().enumerate().map(|(number, control)| (control.name.as_str(), number)).collect();
        let mut providers: HashMap<&str, Vec<(usize, Dependency)>> = HashMap::new();
        for (number, control) in packages.iter().enumerate() {
            for provided in dependency::entries(control.field("Provides").unwrap_or_default()) {
                providers.entry(provided.name).or_default().push((number, provided));
            }
        }
        Self { packages, by_name, providers }
    }

    /// For each group of a field, the package that fulfils it: the first alternative that is there.
    fn needed_by(&self, field: &str) -> Vec<usize> {
        dependency::groups(field)
            .filter_map(|group| group.iter().find_map(|alternative| self.find(alternative)))
            .collect()
    }

    fn find(&self, wanted: &Dependency<'_>) -> Option<usize> {
        let fulfils = |version: &str| wanted.condition.is_none_or(|condition| condition.holds_for(version));
        let real = self.by_name.get(wanted.name).copied();
        if let Some(package) = real.filter(|package| fulfils(&self.packages[*package].version)) {
            return Some(package);
        }
        let provides = |(_, provided): &&(usize, Dependency<'_>)| match provided.condition {
            Some(condition) => fulfils(condition.version),
            None => wanted.condition.is_none(),
        };
        self.providers.get(wanted.name)?.iter().find(provides).map(|(package, _)| *package)
    }
}

#[cfg(test)]
mod tests;
