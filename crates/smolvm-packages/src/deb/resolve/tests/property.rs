//! On small worlds, where every set of packages can be tried: a choice is found whenever there is one, and it is one.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::deb::universe::PackageId;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// A line of [`universe`] with random fields.
fn line(name: &'static str, version: u8) -> impl Strategy<Value = String> {
    let other = || proptest::sample::select(&NAMES[..]);
    let condition = proptest::sample::select(&["", "", "", "", " (= 1)", " (>= 2)"][..]);
    let dependency = (other(), condition).prop_map(|(name, condition)| format!("{name}{condition}"));
    let group = proptest::collection::vec(dependency.clone(), 1..4).prop_map(|group| group.join(" | "));
    let depends = proptest::collection::vec(group, 0..3).prop_map(|groups| groups.join(", "));
    let refuses = move |weight| {
        let entry = proptest::option::weighted(weight, dependency.clone());
        entry.prop_map(Option::unwrap_or_default)
    };
    let provides = proptest::option::weighted(0.2, other());
    (depends, refuses(0.4), refuses(0.2), provides).prop_map(move |(depends, conflicts, breaks, provides)| {
        let provides = provides.unwrap_or_default();
        format!("{name} {version}; Depends: {depends}; Conflicts: {conflicts}; Breaks: {breaks}; Provides: {provides}")
    })
}

/// Both versions of some names, one of the others.
fn world() -> impl Strategy<Value = Vec<String>> {
    let optional = |name| proptest::option::weighted(0.5, line(name, 2));
    NAMES
        .map(|name| (line(name, 1), optional(name)).prop_map(|(first, second)| [Some(first), second]))
        .prop_map(|lines| lines.into_iter().flatten().flatten().collect())
}

/// Whether a set has everything it needs and nothing that it refuses, and no package twice.
fn stands(universe: &Universe, set: &BTreeSet<PackageId>) -> bool {
    let names: BTreeSet<NameId> = set.iter().map(|id| universe.name_of(*id)).collect();
    names.len() == set.len()
        && set.iter().all(|id| {
            let package = universe.package(*id);
            let has = |group: &[crate::deb::dependency::Dependency<'_>]| {
                group.iter().any(|dependency| set.iter().any(|other| universe.fulfils(*other, dependency)))
            };
            package.needs().all(|group| has(&group))
                && package
                    .refuses()
                    .all(|entry| !set.iter().any(|other| other != id && universe.is_meant(*other, &entry)))
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn a_choice_is_found_whenever_there_is_one(lines in world(), first in 0..6_usize, second in 0..6_usize) {
        let universe = universe(&[("bookworm", &lines.join("\n"))]);
        let asked = [NAMES[first], NAMES[second]];
        let newest: Option<Vec<PackageId>> = asked.iter().map(|name| universe.newest(name)).collect();
        prop_assume!(newest.is_some());
        let wanted: BTreeSet<PackageId> = newest.unwrap_or_default().into_iter().collect();
        let all: Vec<PackageId> = NAMES
            .iter()
            .filter_map(|name| universe.find(name))
            .flat_map(|name| universe.versions(name).to_vec())
            .collect();
        let possible = (0..1_u32 << all.len()).any(|bits| {
            let set: BTreeSet<PackageId> =
                all.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1).map(|(_, id)| *id).collect();
            wanted.is_subset(&set) && stands(&universe, &set)
        });
        let packages = requests(&asked.join(" "));
        match resolve(&universe, &Request { base: false, implied: &[], packages: &packages }) {
            Ok(chosen) => {
                let set: BTreeSet<PackageId> = chosen.iter().map(|chosen| chosen.package).collect();
                prop_assert!(wanted.is_subset(&set) && stands(&universe, &set), "{set:?}");
            }
            Err(error) => {
                prop_assert!(!possible, "{error:?}");
                prop_assert!(error.problems.iter().all(|problem| !problem.requests.is_empty()));
            }
        }
    }
}
