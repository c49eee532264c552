//! Why no choice answers a request: the fewest entries that cannot be had together, and what keeps them apart.

use std::collections::HashSet;

use super::greedy::{Greedy, Path, Setback, SetbackKind};
use super::problem::{Asked, Problem, Unsatisfiable, near_names, places, version_and_suite};
use super::{Origin, Policy, Root, complete};
use crate::deb::dependency::Dependency;
use crate::deb::universe::Universe;

const AT_ODDS: &str = "the archive is at odds with itself: use another mirror, or tell whoever runs it";

/// Problems are reported one by one, each with its entries left out for the next, up to this many.
const MOST_PROBLEMS: usize = 8;

/// Explains why `base` and `user` roots cannot be had together; without `user`, why the base system cannot be had.
pub(super) fn explain(policy: &Policy<'_>, base: &[Root], user: &[Root]) -> Unsatisfiable {
    let mut problems = Vec::new();
    let mut left = user.to_vec();
    while problems.len() < MOST_PROBLEMS && !is_possible(policy, base, &left) {
        let core = smallest(policy, base, &left);
        problems.push(explain_core(policy, base, &core));
        if core.is_empty() {
            break;
        }
        left.retain(|root| !core.iter().any(|other| other.origin == root.origin && other.package == root.package));
    }
    problems.sort_by(|a, b| a.requests.cmp(&b.requests));
    Unsatisfiable { problems }
}

fn is_possible(policy: &Policy<'_>, base: &[Root], user: &[Root]) -> bool {
    let mut greedy = Greedy::new(policy);
    if greedy.add(base) && greedy.add(user) {
        return true;
    }
    let roots: Vec<Root> = base.iter().chain(user).copied().collect();
    complete::solve(policy, &roots, &HashSet::new()).is_some()
}

/// A part of `user` that is impossible, while every smaller part of it is possible.
fn smallest(policy: &Policy<'_>, base: &[Root], user: &[Root]) -> Vec<Root> {
    if !is_possible(policy, base, &[]) {
        return Vec::new();
    }
    if let Some(alone) = user.iter().find(|root| !is_possible(policy, base, &[**root])) {
        return vec![*alone];
    }
    let mut core = user.to_vec();
    let mut position = 0;
    while position < core.len() {
        let mut without = core.clone();
        without.remove(position);
        if is_possible(policy, base, &without) {
            position += 1;
        } else {
            core = without;
        }
    }
    core
}

fn explain_core(policy: &Policy<'_>, base: &[Root], core: &[Root]) -> Problem {
    let universe = policy.universe;
    let mut greedy = Greedy::new(policy);
    let _ = greedy.add(base) && greedy.add(core);
    let requests: Vec<usize> = core.iter().flat_map(|root| root.origin.request()).collect();
    let mut problem = match greedy.setbacks.first() {
        Some(setback) => in_words(universe, setback),
        None => together(universe, core),
    };
    // The first setback may be a detour; the entries are certain.
    problem.requests = requests;
    problem
}

fn in_words(universe: &Universe, setback: &Setback<'_>) -> Problem {
    let path = &setback.path;
    let (message, help) = match &setback.kind {
        SetbackKind::Missing(group) => {
            let wanted: Vec<String> = group.iter().map(|dependency| format!("`{dependency}`")).collect();
            let found: Vec<String> = group.iter().map(|dependency| what_there_is(universe, dependency)).collect();
            let needing = needs(universe, path);
            let message = format!("{needing} needs {}, but {}", wanted.join(" or "), found.join(", and "));
            (message, missing_help(universe, path.origin, group))
        }
        SetbackKind::Refusal { other, by_other, entry } => {
            let (refusing, refused) = if *by_other { (other, path) } else { (path, other) };
            let refused_name = last_name(universe, refused);
            let meant = if refused_name == entry.name {
                format!("`{entry}`")
            } else {
                format!("`{entry}`, which `{refused_name}` provides")
            };
            // The newcomer is named last, as it is in the Smolfile.
            let message = format!(
                "{} and {} cannot be installed together: `{}` refuses {meant}",
                chain(universe, other),
                chain(universe, path),
                last_name(universe, refusing),
            );
            (message, leave_out(other, path))
        }
        SetbackKind::OtherVersion(other) => {
            let version = |path: &Path| path.packages.last().map_or("", |id| universe.package(*id).version());
            let message = format!(
                "`{}` would have to be version {} for {} and version {} for {}",
                last_name(universe, path),
                version(other),
                chain(universe, &other.without_last()).trim_end_matches(','),
                version(path),
                chain(universe, &path.without_last()).trim_end_matches(','),
            );
            (message, leave_out(other, path))
        }
    };
    Problem { requests: Vec::new(), message, help }
}

/// `packages[3] `foo`, through `mid`,`
fn chain(universe: &Universe, path: &Path) -> String {
    let names: Vec<&str> = path.packages.iter().map(|id| universe.package(*id).name()).collect();
    let asked = Asked(path.origin, names.first().copied().unwrap_or_default()).to_string();
    match names.get(1..).unwrap_or_default() {
        [] => asked,
        through => {
            let through: Vec<String> = through.iter().map(|name| format!("`{name}`")).collect();
            format!("{}, through {},", asked.trim_end_matches(','), through.join(", "))
        }
    }
}

/// `packages[3] `foo` needs `mid`, which`
fn needs(universe: &Universe, path: &Path) -> String {
    let mut names = path.packages.iter().map(|id| universe.package(*id).name());
    let asked = Asked(path.origin, names.next().unwrap_or_default()).to_string();
    names.fold(asked, |text, name| format!("{text} needs `{name}`, which"))
}

fn last_name<'u>(universe: &'u Universe, path: &Path) -> &'u str {
    path.packages.last().map_or("", |id| universe.package(*id).name())
}

/// `there is only `libbar` 1.5 (bookworm)`
fn what_there_is(universe: &Universe, dependency: &Dependency<'_>) -> String {
    let name = dependency.name;
    let versions = universe.find(name).map_or(&[][..], |name| universe.versions(name));
    if versions.is_empty() {
        return format!("there is no `{name}` in {}", places(universe));
    }
    let versions: Vec<String> = versions.iter().map(|id| version_and_suite(universe, *id)).collect();
    format!("there is only `{name}` {}", versions.join(", "))
}

fn missing_help(universe: &Universe, origin: Origin, group: &[Dependency<'_>]) -> String {
    if !matches!(origin, Origin::Request(_)) {
        return AT_ODDS.into();
    }
    let near = group.iter().find_map(|dependency| {
        universe.find(dependency.name).is_none().then(|| near_names(universe, dependency.name).into_iter().next())?
    });
    match near {
        Some(near) => format!(
            "the package comes from another release, which calls it otherwise (there is `{near}` here): take one made for this base"
        ),
        None => "leave the package out, or ask for a version of it that is made for this base".into(),
    }
}

fn leave_out(a: &Path, b: &Path) -> String {
    match (a.origin, b.origin) {
        (Origin::Request(a), Origin::Request(b)) if a != b => format!("leave out packages[{a}] or packages[{b}]"),
        (Origin::Request(index), _) | (_, Origin::Request(index)) => {
            format!("leave out packages[{index}], or ask for another version of it")
        }
        _ => AT_ODDS.into(),
    }
}

fn together(universe: &Universe, core: &[Root]) -> Problem {
    let names: Vec<String> =
        core.iter().map(|root| Asked(root.origin, universe.package(root.package).name()).to_string()).collect();
    Problem {
        requests: Vec::new(),
        message: format!("{} cannot be installed together", names.join(" and ")),
        help: "leave one of them out".into(),
    }
}
