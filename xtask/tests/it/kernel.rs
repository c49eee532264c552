//! The kernel's fragments, and the script that compares them with a kernel's configuration.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The fragments of each architecture, as `kernel/build` takes them.
const ARCHITECTURES: [[&str; 2]; 2] = [["common.config", "amd64.config"], ["common.config", "arm64.config"]];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("kernel")
}

/// The fragments as one list of lines that ask for something.
fn wanted(fragments: &[PathBuf]) -> Vec<String> {
    let text: String = fragments.iter().map(|path| fs_err::read_to_string(path).unwrap()).collect();
    text.lines()
        .filter(|line| line.starts_with("CONFIG_") || line.starts_with("# CONFIG_"))
        .map(str::to_owned)
        .collect()
}

/// `kernel/check-config` on a configuration with these lines. Each caller has a file of its own.
fn check(name: &str, configuration: &[String], fragments: &[PathBuf]) -> Output {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs_err::write(&path, configuration.join("\n") + "\n").unwrap();
    Command::new(folder().join("check-config")).arg(path).args(fragments).output().unwrap()
}

fn fragment(name: &str, content: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs_err::write(&path, content).unwrap();
    path
}

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_fragments_are_well_formed_and_agree_with_each_other() {
    for names in ARCHITECTURES {
        let fragments = names.map(|name| folder().join("config").join(name));
        let output = check(&format!("whole-{}", names[1]), &wanted(&fragments), &fragments);
        assert!(output.status.success(), "{names:?}: {}", message(&output));
    }
}

#[test]
fn every_group_of_lines_has_its_reason() {
    for names in ARCHITECTURES {
        for name in names {
            let text = fs_err::read_to_string(folder().join("config").join(name)).unwrap();
            for group in text.split("\n\n") {
                assert!(
                    group.lines().any(|line| line.starts_with("# ") && !line.starts_with("# CONFIG_")),
                    "{name}: {group}"
                );
            }
        }
    }
}

#[test]
fn each_line_that_does_not_hold_is_named_with_its_place_and_what_is_there() {
    let fragments = [fragment(
        "asked.config",
        "# Why.\nCONFIG_EROFS_FS=y\nCONFIG_NFT_NAT=y\n# CONFIG_MODULES is not set\n# CONFIG_USB is not set\nCONFIG_NR_CPUS=64\n",
    )];
    let got = ["CONFIG_EROFS_FS=y", "CONFIG_MODULES=y", "CONFIG_NR_CPUS=8"].map(str::to_owned);
    let output = check("got.config", &got, &fragments);
    let text = message(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for expected in [
        "asked.config:3: CONFIG_NFT_NAT=y\n      the configuration has: not offered",
        "asked.config:4: # CONFIG_MODULES is not set\n      the configuration has: CONFIG_MODULES=y",
        "asked.config:6: CONFIG_NR_CPUS=64\n      the configuration has: CONFIG_NR_CPUS=8",
    ] {
        assert!(text.contains(expected), "`{expected}` is not in: {text}");
    }
    // One holds as it is, the other because the kernel does not offer it.
    assert!(!text.contains("EROFS") && !text.contains("USB"), "{text}");
}

#[test]
fn a_mitigation_that_no_fragment_names_is_refused() {
    let fragments = [fragment("mitigations.config", "# Why.\n# CONFIG_MITIGATION_SLS is not set\n")];
    let got = [
        "# CONFIG_MITIGATION_SLS is not set",
        "# CONFIG_MITIGATION_NEW is not set",
        "# CONFIG_ARM64_ERRATUM_1 is not set",
    ];
    let output = check("unnamed.config", &got.map(str::to_owned), &fragments);
    let text = message(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("  CONFIG_ARM64_ERRATUM_1\n  CONFIG_MITIGATION_NEW\n"), "{text}");
    assert!(!text.contains("MITIGATION_SLS"), "{text}");
}

#[test]
fn a_fragment_that_is_not_well_formed_is_refused() {
    for (name, line) in [
        ("no-value", "CONFIG_EROFS_FS"),
        ("module", "CONFIG_EROFS_FS=m"),
        ("no-prefix", "EROFS_FS=y"),
        ("almost-off", "# CONFIG_EROFS_FS is not set "),
        ("commented-out", "# CONFIG_EROFS_FS=y"),
        ("twice", "CONFIG_TMPFS=y"),
    ] {
        let fragments = [fragment(&format!("{name}.config"), &format!("# Why.\nCONFIG_TMPFS=y\n{line}\n"))];
        let output = check(&format!("{name}-got.config"), &["CONFIG_TMPFS=y".to_owned()], &fragments);
        let text = message(&output);
        assert_eq!(output.status.code(), Some(2), "{name}: {text}");
        assert!(text.contains(&format!("{name}.config:3: ")), "{name}: {text}");
    }
}
