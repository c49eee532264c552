mod property;

use std::fmt::Write as _;

use smolvm_manifest::{Arch, PackageLayer, PackageRequest};

use super::*;
use crate::deb::in_release::Compression;
use crate::deb::index::read_index;

/// A universe from lines `name version; Field: value; …`, each list of lines a suite.
pub(crate) fn universe(suites: &[(&str, &str)]) -> Universe {
    let indexes = suites.iter().map(|(suite, lines)| {
        let mut text = String::new();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut parts = line.split(';').map(str::trim);
            let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
            let digest = "00".repeat(32);
            let _ = write!(
                text,
                "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: pool/{name}_{version}.deb\nSize: 1\nSHA256: {digest}\n"
            );
            for field in parts {
                let _ = writeln!(text, "{field}");
            }
            text.push('\n');
        }
        read_index(text.as_bytes(), Compression::None, "debian", suite, Arch::Amd64).unwrap()
    });
    Universe::new(Arch::Amd64, indexes.collect())
}

fn requests(words: &str) -> Vec<PackageRequest> {
    words
        .split_ascii_whitespace()
        .map(|word| match word.split_once('=') {
            Some((name, version)) => PackageRequest { name: name.into(), version: Some(version.into()) },
            None => PackageRequest { name: word.into(), version: None },
        })
        .collect()
}

fn resolve_words(universe: &Universe, base: bool, words: &str) -> Result<String, Unsatisfiable> {
    let packages = requests(words);
    let chosen = resolve(universe, &Request { base, implied: &[], packages: &packages })?;
    let words: Vec<String> = chosen
        .iter()
        .map(|chosen| {
            let package = universe.package(chosen.package);
            let mark = if chosen.layer == PackageLayer::Base { "*" } else { "" };
            format!("{}{mark}={}", package.name(), package.version())
        })
        .collect();
    Ok(words.join(" "))
}

/// One suite, no base system.
fn check(lines: &str, words: &str, expected: &str) {
    let universe = universe(&[("bookworm", lines)]);
    assert_eq!(resolve_words(&universe, false, words).unwrap(), expected, "{words}");
}

fn problems(suites: &[(&str, &str)], base: bool, words: &str) -> String {
    let error = resolve_words(&universe(suites), base, words).unwrap_err();
    let mut text = String::new();
    for problem in error.problems {
        let _ = writeln!(text, "{:?} {}\n  help: {}", problem.requests, problem.message, problem.help);
    }
    text
}

#[test]
fn alternatives_and_virtual_packages() {
    let lines = "
        a 1; Depends: b | c
        b 1
        c 1
        needs-mta 1; Depends: default-mta | mta
        exim 1; Provides: mta; Priority: optional
        postfix 1; Provides: mta; Priority: standard
        wants-new 1; Depends: thing (>= 2)
        thing-two 1; Provides: thing (= 2)
        thing-any 1; Provides: thing; Priority: required
        arch 1; Depends: tool:any
        tool 1; Multi-Arch: allowed
        native 1; Depends: b:amd64, c:native";
    check(lines, "a", "a=1 b=1");
    check(lines, "a c", "a=1 c=1");
    check(lines, "needs-mta", "needs-mta=1 postfix=1");
    check(lines, "needs-mta exim", "exim=1 needs-mta=1");
    check(lines, "wants-new", "thing-two=1 wants-new=1");
    check(lines, "arch", "arch=1 tool=1");
    check(lines, "native", "b=1 c=1 native=1");
}

#[test]
fn an_alternative_that_cannot_be_is_passed_over() {
    let lines = "
        a 1; Depends: broken | deep | good
        broken 1; Depends: nothing
        deep 1; Depends: middle
        middle 1; Depends: leaf, enemy
        leaf 1
        enemy 1; Conflicts: friend
        friend 1
        good 1";
    check(lines, "friend a", "a=1 friend=1 good=1");
    check(lines, "a", "a=1 deep=1 enemy=1 leaf=1 middle=1");
}

#[test]
fn a_dead_end_is_searched_out() {
    // Depth first takes x, and learns too late that z refuses it.
    let lines = "
        a 1; Depends: b, z
        b 1; Depends: x | y
        x 1
        y 1
        z 1; Conflicts: x";
    check(lines, "a", "a=1 b=1 y=1 z=1");
}

#[test]
fn the_newest_version_wins_and_an_older_one_serves() {
    let suites = [
        ("bookworm", "lib 1\n tool 1; Depends: lib\n old 1; Depends: lib (<< 2)\n base 1; Essential: yes\n apt 1"),
        ("bookworm-security", "lib 2\n lib 1.5\n apt 2; Depends: lib (>= 2)"),
    ];
    let universe = universe(&suites);
    assert_eq!(resolve_words(&universe, false, "tool").unwrap(), "lib=2 tool=1");
    assert_eq!(resolve_words(&universe, false, "tool old").unwrap(), "lib=1.5 old=1 tool=1");
    assert_eq!(resolve_words(&universe, false, "tool lib=1*").unwrap(), "lib=1.5 tool=1");
    assert_eq!(resolve_words(&universe, false, "tool lib=1").unwrap(), "lib=1 tool=1");
    assert_eq!(resolve_words(&universe, true, "tool").unwrap(), "apt*=2 base*=1 lib*=2 tool=1");
    // apt 1 needs no lib, so that old can have the lib it needs.
    assert_eq!(resolve_words(&universe, true, "apt=1 old").unwrap(), "apt*=1 base*=1 lib=1.5 old=1");
}

#[test]
fn the_base_layer_does_not_depend_on_the_packages() {
    let lines = "
        base 1; Essential: yes; Pre-Depends: awk
        mawk 1; Provides: awk; Priority: required
        gawk 1; Provides: awk
        apt 1; Depends: keys
        keys 1
        need 1; Depends: keys
        init 1; Priority: required";
    let universe = universe(&[("bookworm", lines)]);
    let base = "apt*=1 base*=1";
    assert_eq!(resolve_words(&universe, true, "").unwrap(), format!("{base} init*=1 keys*=1 mawk*=1"));
    assert_eq!(
        resolve_words(&universe, true, "gawk need").unwrap(),
        "apt*=1 base*=1 gawk=1 init*=1 keys*=1 mawk*=1 need=1"
    );
}

#[test]
fn a_request_may_rule_a_part_of_the_base_out() {
    let lines = "
        base 1; Essential: yes; Depends: small | big
        small 1
        big 1; Conflicts: small
        apt 1";
    let universe = universe(&[("bookworm", lines)]);
    assert_eq!(resolve_words(&universe, true, "").unwrap(), "apt*=1 base*=1 small*=1");
    // What the base layer needs is in the base layer, or it could not be configured by itself.
    assert_eq!(resolve_words(&universe, true, "big").unwrap(), "apt*=1 base*=1 big*=1");
}

#[test]
fn breaks_and_conflicts_by_version_and_by_provided_name() {
    let lines = "
        new 2; Breaks: old (<< 2)
        old 1
        mta-a 1; Provides: mta; Conflicts: mta
        mta-b 1; Provides: mta; Conflicts: mta
        foreign 1; Conflicts: old:i386
        versioned 1; Conflicts: mta (<< 5)";
    check(lines, "mta-a", "mta-a=1");
    check(lines, "foreign old", "foreign=1 old=1");
    check(lines, "versioned mta-a", "mta-a=1 versioned=1");
    insta::assert_snapshot!(problems(&[("bookworm", lines)], false, "new old mta-a mta-b"), @r"
    [0, 1] packages[0] `new` and packages[1] `old` cannot be installed together: `new` refuses `old (<< 2)`
      help: leave out packages[0] or packages[1]
    [2, 3] packages[2] `mta-a` and packages[3] `mta-b` cannot be installed together: `mta-b` refuses `mta`, which `mta-a` provides
      help: leave out packages[2] or packages[3]
    ");
}

#[test]
fn problems_are_told_in_words() {
    let suites = [
        (
            "bookworm",
            "apt 1
             base 1; Essential: yes
             foo 1; Depends: libbar (>= 2)
             far 1; Depends: mid
             mid 1; Depends: foo | gone
             libbar 1.5
             python3 3.11.2-1
             git 1:2.39.5-0
             mta-a 1; Provides: mta
             mta-b 1; Provides: mta
             hates-base 1; Conflicts: base
             needs-one 1; Depends: libbar (= 1.5)
             needs-lower 1; Depends: libbar (<< 1.5)",
        ),
        ("bookworm-updates", "libbar 1.4"),
    ];
    insta::assert_snapshot!(problems(&suites, true, "pythn3 mta git=2.39.* python3=3.12* needs-one libbar=1.4 libbar=1.5"), @r"
    [0] packages[0] `pythn3`: there is no such package in bookworm or bookworm-updates
      help: did you mean `python3`?
    [1] packages[1] `mta` is a virtual package, which 2 packages provide
      help: name one of them: mta-a, mta-b
    [2] packages[2] `git`: no version matches `2.39.*`
      help: its versions begin with `1:`; write `git=1:2.39.*`
    [3] packages[3] `python3`: no version matches `3.12*`
      help: there is: 3.11.2-1 (bookworm)
    [5, 6] packages[5] and packages[6] ask for two versions of `libbar`: 1.4 and 1.5
      help: leave one of them out
    ");
    insta::assert_snapshot!(problems(&suites, true, "needs-one foo far hates-base needs-lower"), @r"
    [0, 4] `libbar` would have to be version 1.5 for packages[0] `needs-one` and version 1.4 for packages[4] `needs-lower`
      help: leave out packages[0] or packages[4]
    [1] packages[1] `foo` needs `libbar (>= 2)`, but there is only `libbar` 1.5 (bookworm), 1.4 (bookworm-updates)
      help: leave the package out, or ask for a version of it that is made for this base
    [2] packages[2] `far` needs `mid`, which needs `foo`, which needs `libbar (>= 2)`, but there is only `libbar` 1.5 (bookworm), 1.4 (bookworm-updates)
      help: leave the package out, or ask for a version of it that is made for this base
    [3] the base system's `base` and packages[3] `hates-base` cannot be installed together: `hates-base` refuses `base`
      help: leave out packages[3], or ask for another version of it
    ");
    insta::assert_snapshot!(problems(&[("bookworm", "a 1; Essential: yes; Depends: b")], true, ""), @r"
    [] the base system needs `apt`, which bookworm does not have
      help: the archive must hold a whole release: check its suites and components
    ");
    insta::assert_snapshot!(problems(&[("bookworm", "apt 1; Depends: b")], true, ""), @r"
    [] the base system's `apt` needs `b`, but there is no `b` in bookworm
      help: the archive is at odds with itself: use another mirror, or tell whoever runs it
    ");
}

/// What a choice becomes: `old` are the words of the lock, `new` the lines of the archive beside it.
fn check_refresh(old: &str, new: &str, words: &str, renewed: &str, expected: &str) {
    let universe = universe(&[("lock", old), ("bookworm", new)]);
    let earlier: Vec<PackageId> = old
        .lines()
        .filter_map(|line| line.split(';').next().unwrap().trim().split_once(' '))
        .map(|(name, version)| {
            let versions = universe.versions(universe.find(name).unwrap()).iter().copied();
            versions.into_iter().find(|id| universe.package(*id).version() == version).unwrap()
        })
        .collect();
    let packages = requests(words);
    let request = Request { base: false, implied: &[], packages: &packages };
    let chosen = refresh(&universe, &request, &earlier, &renewed.split(' ').collect()).unwrap();
    let words: Vec<String> = chosen
        .iter()
        .map(|chosen| universe.package(chosen.package))
        .map(|package| format!("{}={}", package.name(), package.version()))
        .collect();
    assert_eq!(words.join(" "), expected, "{renewed}");
}

#[test]
fn a_refresh_moves_what_it_must() {
    let old = "
        tool 1; Depends: lib (>= 1)
        lib 1; Depends: deep
        deep 1
        other 1; Depends: deep
        bound 1; Depends: lib (= 1)";
    let new = "
        tool 2; Depends: lib (>= 2)
        lib 2; Depends: deep, extra
        deep 2
        extra 1
        other 2; Depends: deep (>= 2)
        bound 2; Depends: lib (= 2)";
    let words = "tool other bound";
    check_refresh(old, new, words, "other", "bound=1 deep=2 lib=1 other=2 tool=1");
    check_refresh(old, new, words, "deep", "bound=1 deep=2 lib=1 other=1 tool=1");
    // What is bound to the old library moves with it.
    check_refresh(old, new, words, "tool", "bound=2 deep=1 extra=1 lib=2 other=1 tool=2");
    // It is renewed although an older version would be the lesser change.
    check_refresh(old, new, words, "lib", "bound=2 deep=1 extra=1 lib=2 other=1 tool=1");
    check_refresh(old, new, words, "tool other", "bound=2 deep=2 extra=1 lib=2 other=2 tool=2");
}

#[test]
fn a_refresh_keeps_alternatives_and_versions_that_were_asked_for() {
    let old = "
        tool 1; Depends: one | two
        two 1
        mta 1; Depends: mail
        old-mail 1; Provides: mail
        fixed 1.1
        gone 1";
    let new = "
        one 1
        two 2
        new-mail 1; Provides: mail; Priority: required
        fixed 1.2
        fixed 2
        gone 2";
    let words = "tool mta fixed=1.*";
    // What nobody needs any more goes; the version that was asked for stays, and is renewed within what was asked for.
    check_refresh(old, new, words, "two", "fixed=1.1 mta=1 old-mail=1 tool=1 two=2");
    check_refresh(old, new, words, "fixed", "fixed=1.2 mta=1 old-mail=1 tool=1 two=1");
}
