//! Source packages of the host's distribution, fetched by the host's apt, which need not be configured for them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::skipped;

/// Fetches a source package into `folder`, and returns the folder of its source; `None`, with the reason on stderr, where
/// none can be had.
pub(super) fn fetch(package: &str, folder: &Path) -> Option<PathBuf> {
    let own = folder.join("apt");
    for name in ["sources", "lists/partial", "cache/archives/partial"] {
        fs_err::create_dir_all(own.join(name)).unwrap();
    }
    for path in sources_files() {
        let text = fs_err::read_to_string(&path).unwrap_or_default();
        fs_err::write(own.join("sources").join(path.file_name().unwrap()), asking_for_sources(&text)).unwrap();
    }
    // An archive of somebody else's may have no sources, or not be there: what counts is whether the package comes.
    apt_get(&own, &["update"], folder);
    let unpacked = apt_get(&own, &["source", package], folder).then(|| source_folder(package, folder));
    // They name hosts.
    fs_err::remove_dir_all(own).unwrap();
    if unpacked.is_none() {
        // apt's own words name hosts too.
        skipped(&format!("apt-get could not fetch the source of {package}"));
    }
    unpacked
}

fn apt_get(own: &Path, words: &[&str], folder: &Path) -> bool {
    let option = |name: &str, path: &str| format!("-o{name}={}/{path}", own.display());
    let mut apt = Command::new("apt-get");
    apt.args(["-q", "-oDir::Etc::SourceList=/dev/null", "-oAPT::Sandbox::User=root", "-oDebug::NoLocking=true"])
        .args([option("Dir::Etc::SourceParts", "sources"), option("Dir::State::Lists", "lists")])
        .args([option("Dir::Cache", "cache")])
        .args(words)
        .current_dir(folder);
    apt.stdin(Stdio::null()).output().unwrap().status.success()
}

/// The files that apt is configured with.
fn sources_files() -> Vec<PathBuf> {
    let parts = std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|part| part.path());
    let of_apts =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension == "list" || extension == "sources");
    parts.chain([PathBuf::from("/etc/apt/sources.list")]).filter(of_apts).collect()
}

/// The same archives, asked for sources instead of packages.
fn asking_for_sources(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once([' ', '\t']) {
        Some(("deb", rest)) => format!("deb-src {rest}\n"),
        Some(("Types:", _)) => "Types: deb-src\n".to_owned(),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

fn source_folder(package: &str, folder: &Path) -> PathBuf {
    let prefix = format!("{package}-");
    let mut entries = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.is_dir() && path.file_name().unwrap().to_str().unwrap().starts_with(&prefix)).unwrap()
}

#[test]
fn both_formats_are_turned_into_sources() {
    let one_line = "# deb x\ndeb [arch=amd64] http://mirror.example/debian trixie main\n";
    assert_eq!(
        asking_for_sources(one_line),
        "# deb x\ndeb-src [arch=amd64] http://mirror.example/debian trixie main\n"
    );
    let deb822 = "Types: deb deb-src\nURIs: http://mirror.example/debian\n\nTypes: deb\nURIs: http://deb.example/\n";
    assert_eq!(
        asking_for_sources(deb822),
        "Types: deb-src\nURIs: http://mirror.example/debian\n\nTypes: deb-src\nURIs: http://deb.example/\n"
    );
}
