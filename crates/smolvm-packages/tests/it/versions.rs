//! The order of versions is dpkg's.

use std::cmp::Ordering;
use std::io::Write as _;
use std::process::{Command, Stdio};

use smolvm_packages::deb::version::compare;

use crate::host_apt::{HostApt, command};

/// Where digits are missing, where a part is missing, and the characters that sort in a way of their own.
const TRAPS: &[&str] = &[
    "1.1.1+dfsg-1",
    "1.1.1+dfsg0-1",
    "0.9+ds0-3",
    "0.9+ds-4",
    "1.0~",
    "1.0~~",
    "1.0~~a",
    "1.0~a",
    "1.0",
    "1.0-0",
    "1.0a",
    "1.0+",
    "1.0.",
    "1:0",
    "0:1.0",
    "1.0-1~bpo12+1",
    "1.0-1",
    "1.0-1+b1",
    "1.0-1.1",
    "1.00",
    "1.0~rc1-1",
    "2:1.0-1",
    "1.2.3-4-5",
    "1.2.3-4",
    "20240101",
    "0~20240101",
    "1.a.0",
    "1.0.0",
    "1",
    "0",
    "1.0+git20200101-1",
    "1.0+git-1",
];

/// dpkg's answers for many pairs: one shell asks for all of them.
fn dpkg_orders(pairs: &[(&str, &str)]) -> Vec<Ordering> {
    let script = "while read -r a b; do
        if dpkg --compare-versions \"$a\" lt \"$b\"; then echo lt
        elif dpkg --compare-versions \"$a\" gt \"$b\"; then echo gt; else echo eq; fi; done";
    let mut shell = Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    let mut input = shell.stdin.take().expect("its input");
    let lines: Vec<String> = pairs.iter().map(|(a, b)| format!("{a} {b}")).collect();
    let text = lines.join("\n") + "\n";
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = shell.wait_with_output().expect("its output");
    writer.join().expect("a thread").expect("written");
    let word = |line: &str| match line {
        "lt" => Ordering::Less,
        "gt" => Ordering::Greater,
        _ => Ordering::Equal,
    };
    String::from_utf8_lossy(&output.stdout).lines().map(word).collect()
}

fn assert_dpkg_agrees(pairs: &[(&str, &str)]) {
    let expected = dpkg_orders(pairs);
    assert_eq!(expected.len(), pairs.len());
    for ((a, b), expected) in pairs.iter().zip(expected) {
        assert_eq!(compare(a, b), expected, "{a} against {b}");
        assert_eq!(compare(b, a), expected.reverse(), "{b} against {a}");
    }
}

#[test]
fn traps() {
    if command(Command::new("dpkg").arg("--version")).is_none() {
        eprintln!("skipped: there is no dpkg here");
        return;
    }
    let pairs: Vec<(&str, &str)> = TRAPS.iter().flat_map(|a| TRAPS.iter().map(move |b| (*a, *b))).collect();
    assert_dpkg_agrees(&pairs);
}

/// Neighbours among real versions, in our order and in the order of their text: where two are close, and mistakes are made.
#[test]
fn neighbouring_real_versions() {
    let Some(apt) = HostApt::get() else { return };
    let text = apt.packages_text();
    let mut versions: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("Version: ")).collect();
    versions.sort_unstable();
    versions.dedup();
    let by_text = sample(&versions);
    versions.sort_by(|a, b| compare(a, b));
    let by_order = sample(&versions);
    assert_dpkg_agrees(&[by_text, by_order].concat());
}

/// A thousand pairs of neighbours, from all over.
fn sample<'a>(versions: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let step = (versions.len() / 1_000).max(1);
    versions.windows(2).step_by(step).map(|pair| (pair[0], pair[1])).collect()
}
