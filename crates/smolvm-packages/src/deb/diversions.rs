//! Diversions: files that dpkg puts elsewhere than their package says.

use std::collections::HashMap;

/// The content of dpkg's `diversions` file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Diversions {
    /// By the diverted path, relative to the root.
    by_path: HashMap<String, Diversion>,
    /// Where a diverted file went, to where it came from.
    origins: HashMap<String, String>,
}

/// What happens to the files of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diversion {
    to: String,
    /// The one package whose own file stays at the path; `None` when the diversion is for all packages.
    package: Option<String>,
}

impl Diversions {
    /// Reads the file: three lines each, path, where to, package or `:`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut diversions = Self::default();
        let lines: Vec<&str> = text.lines().collect();
        for lines in lines.chunks_exact(3) {
            let [from, to] = [lines[0], lines[1]].map(|path| path.trim_start_matches('/').to_owned());
            let package = (lines[2] != ":").then(|| lines[2].to_owned());
            diversions.origins.insert(to.clone(), from.clone());
            diversions.by_path.insert(from, Diversion { to, package });
        }
        diversions
    }

    /// Where `package`'s file of this path goes.
    pub(crate) fn destination<'a>(&'a self, path: &'a str, package: &str) -> &'a str {
        match self.by_path.get(path) {
            Some(diversion) if diversion.package.as_deref() != Some(package) => &diversion.to,
            _ => path,
        }
    }

    /// The diversion of a path, if there is one.
    pub(crate) fn get(&self, path: &str) -> Option<&Diversion> {
        self.by_path.get(path)
    }

    /// The path whose diverted file lies here.
    pub(crate) fn origin(&self, path: &str) -> Option<&str> {
        self.origins.get(path).map(String::as_str)
    }
}

impl Diversion {
    /// The package that keeps its own file at the path; `None` when nobody does.
    pub(crate) fn package(&self) -> Option<&str> {
        self.package.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_keeps_its_own_file_and_all_others_are_diverted() {
        let text = "/bin/sh\n/bin/sh.distrib\ndash\n/usr/bin/x\n/usr/bin/x.real\n:\n";
        let diversions = Diversions::parse(text);
        assert_eq!(diversions.destination("bin/sh", "dash"), "bin/sh");
        assert_eq!(diversions.destination("bin/sh", "bash"), "bin/sh.distrib");
        assert_eq!(diversions.destination("usr/bin/x", "dash"), "usr/bin/x.real");
        assert_eq!(diversions.destination("usr/bin/y", "dash"), "usr/bin/y");
        assert_eq!(diversions.get("bin/sh").map(Diversion::package), Some(Some("dash")));
        assert_eq!(diversions.get("usr/bin/x").map(Diversion::package), Some(None));
        assert_eq!(diversions.get("usr/bin/y"), None);
        assert_eq!(diversions.origin("bin/sh.distrib"), Some("bin/sh"));
    }
}
