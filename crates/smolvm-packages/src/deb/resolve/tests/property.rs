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

    /// After a refresh everything stands, what was named is as new as it can be, and not one more package could have stayed.
    #[test]
    fn a_refresh_changes_no_more_than_it_must(
        lines in world(), new in world(), asked in proptest::sample::subsequence(&NAMES[..], 1..4), renewed in 0..6_usize
    ) {
        let packages = requests(&asked.join(" "));
        let request = Request { base: false, implied: &[], packages: &packages };
        // The archive has moved on: its versions are 3 and 4.
        let new: Vec<String> = new.iter().map(|line| line.replacen(" 1;", " 3;", 1).replacen(" 2;", " 4;", 1)).collect();
        let before = universe(&[("old", &lines.join("\n"))]);
        let Ok(old) = resolve(&before, &request) else { return Ok(()) };
        let earlier: BTreeSet<(&str, &str)> = old.iter().map(|chosen| {
            let package = before.package(chosen.package);
            (package.name(), package.version())
        }).collect();
        let is_locked = |line: &&String| earlier.iter().any(|(name, version)| line.starts_with(&format!("{name} {version};")));
        let locked: Vec<&str> = lines.iter().filter(is_locked).map(String::as_str).collect();
        let after = universe(&[("lock", &locked.join("\n")), ("new", &new.join("\n"))]);
        let all: Vec<PackageId> = NAMES.iter().filter_map(|name| after.find(name)).flat_map(|name| after.versions(name).to_vec()).collect();
        let earlier: Vec<PackageId> = all.iter().copied().filter(|id| after.package(*id).suite() == "lock").collect();
        let Ok(newest) = resolve(&after, &request) else { return Ok(()) };
        let renewed = NAMES[renewed];
        let chosen = refresh(&after, &request, &earlier, &[renewed].into()).unwrap();
        let set: BTreeSet<PackageId> = chosen.iter().map(|chosen| chosen.package).collect();
        prop_assert!(stands(&after, &set), "{set:?}");
        let of = |set: &[Chosen], name: &str| {
            set.iter().map(|chosen| chosen.package).find(|id| after.package(*id).name() == name)
        };
        if let (Some(new), Some(now)) = (of(&newest, renewed), of(&chosen, renewed)) {
            prop_assert_eq!(new, now, "{} is renewed", renewed);
        }
        let other = |id: &&PackageId| after.package(**id).name() != renewed;
        let name = |id: &PackageId| after.package(*id).name();
        let moved: Vec<PackageId> = earlier.iter().filter(other).copied()
            .filter(|id| chosen.iter().any(|now| name(&now.package) == name(id) && now.package != *id)).collect();
        for kept in &moved {
            // Every set in which this one too is as it was.
            let pins: Vec<PackageId> = earlier.iter().filter(other).copied()
                .filter(|id| !moved.contains(id) || id == kept).chain(of(&newest, renewed)).collect();
            let pinned = |name: &str| pins.iter().copied().find(|id| after.package(*id).name() == name);
            let possible = (0..1_u32 << all.len()).any(|bits| {
                let set: BTreeSet<PackageId> =
                    all.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1).map(|(_, id)| *id).collect();
                asked.iter().all(|asked| set.iter().any(|id| name(id) == *asked))
                    && set.iter().all(|id| pinned(name(id)).is_none_or(|pin| pin == *id))
                    && stands(&after, &set)
            });
            prop_assert!(!possible, "{kept:?} of {chosen:?} could have stayed");
        }
    }
}
