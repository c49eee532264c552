use std::fmt::Write as _;

use super::*;

/// One package per line: `name[!] [P:predepends] [D:depends] [V:provides]`; `!` is essential.
fn controls(text: &str) -> Vec<Control> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next().unwrap();
            let mut control = format!("Package: {}\nVersion: 1\nArchitecture: all\n", name.trim_end_matches('!'));
            if name.ends_with('!') {
                control.push_str("Essential: yes\n");
            }
            for word in words {
                let (kind, value) = word.split_once(':').unwrap();
                let field = match kind {
                    "P" => "Pre-Depends",
                    "D" => "Depends",
                    "V" => "Provides",
                    other => panic!("{other}"),
                };
                let _ = writeln!(control, "{field}: {}", value.replace('=', " (= ").replace('~', ")"));
            }
            Control::parse(&control).unwrap()
        })
        .collect()
}

/// The waves, one per line: what is unpacked, and what is configured after it.
fn check(packages: &str, expected: &str) {
    let mut controls = controls(packages);
    for _ in 0..controls.len() {
        controls.rotate_left(1);
        let shown: Vec<String> = plan(&controls)
            .iter()
            .map(|wave| {
                let mark = if wave.bootstrap { "* " } else { "" };
                format!("{mark}{} / {}", wave.unpack.join(" "), wave.configure.join(" "))
            })
            .collect();
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(shown, expected);
    }
}

#[test]
fn packages_without_pre_dependencies_are_one_wave_in_order_of_dependency() {
    check("a D:c\nb\nc D:d\nd", "d c a b / d c a b");
}

#[test]
fn the_essential_closure_comes_first_and_is_configured_whole() {
    check(
        "dpkg! P:libc\nbase-files! P:awk\nbase-passwd! D:libc\nlibc\nmawk D:libc V:awk\napt D:dpkg\nzlib",
        "* libc base-passwd mawk base-files dpkg / libc base-passwd mawk base-files dpkg
         apt zlib / apt zlib",
    );
}

#[test]
fn a_set_without_dpkg_is_for_an_image_that_has_it() {
    check("login! D:libpam\nlibpam", "libpam login / libpam login");
}

#[test]
fn what_a_package_pre_depends_on_is_configured_one_wave_before() {
    check(
        "python P:python-minimal\npython-minimal P:python3.11-minimal\npython3.11-minimal D:libpython\nlibpython\nother D:python",
        "libpython python3.11-minimal other / libpython python3.11-minimal
         python-minimal / python-minimal
         python / python other",
    );
}

#[test]
fn a_pre_dependency_waits_for_all_that_it_depends_on() {
    // `b` is unpacked late because of `c`, so `a`, which needs `b` configured, comes later still.
    check(
        "a P:b\nb D:c\nc P:d\nd",
        "d b / d
         c / c b
         a / a",
    );
}

#[test]
fn cycles_end() {
    check("a D:b\nb D:a", "b a / b a");
    check("a P:b\nb D:a", "b a / b a");
    check("a P:b\nb P:a\nc P:a", "b a / b a\nc / c");
}

#[test]
fn needs_that_are_not_among_the_packages_are_taken_for_installed() {
    check("a P:libc,missing|b\nb", "b / b\na / a");
}

#[test]
fn provided_versions_count() {
    check("a P:virtual=1~\nb V:virtual=1~\nc V:virtual=2~", "b c / b\na / a c");
    check("a P:virtual=1~\nb V:virtual", "a b / a b");
}
