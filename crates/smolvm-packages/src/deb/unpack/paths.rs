//! Names of entries: which a package may use, and how they are written from there on.

use super::UnpackProblem;

/// The kernel's limit on one name.
const MAX_NAME: usize = 255;

/// The kernel's limit on a path, its end included.
const MAX_PATH: usize = 4096;

/// The path that an entry's name means: relative to the root, without `./` before and `/` behind; empty for the root.
pub(super) fn entry_path(name: &[u8]) -> Result<String, UnpackProblem> {
    normal_path(name).map_err(|reason| UnpackProblem::refused(shown(name), reason))
}

/// The path that a hard link's target means.
pub(super) fn hard_link_target(entry: &str, target: &[u8]) -> Result<String, UnpackProblem> {
    match normal_path(target) {
        Ok(path) if path.is_empty() => Err(UnpackProblem::refused(entry, "is a hard link to the root folder")),
        Ok(path) => Ok(path),
        Err(reason) => {
            let shown = shown(target);
            Err(UnpackProblem::refused(entry, format!("is a hard link to `{shown}`, which {reason}")))
        }
    }
}

/// The text of a symbolic link, which may say anything: it means something only inside the image.
pub(super) fn symlink_target(entry: &str, target: &[u8]) -> Result<String, UnpackProblem> {
    let refused = |reason: &str| UnpackProblem::refused(entry, reason);
    let text = std::str::from_utf8(target).map_err(|_| refused("is a symbolic link whose target is not UTF-8"))?;
    if text.is_empty() || text.contains('\0') || text.len() >= MAX_PATH {
        return Err(refused("is a symbolic link whose target is empty, too long, or has a zero byte in it"));
    }
    Ok(text.to_owned())
}

fn normal_path(name: &[u8]) -> Result<String, &'static str> {
    let name = std::str::from_utf8(name).map_err(|_| "has a name that is not UTF-8")?;
    if name.contains(['\0', '\n']) {
        return Err("has a line end or a zero byte in its name");
    }
    if name.starts_with('/') {
        return Err("has an absolute name");
    }
    if name.is_empty() {
        return Err("has no name");
    }
    if name.len() >= MAX_PATH {
        return Err("has a name that is too long");
    }
    let mut path = String::with_capacity(name.len());
    for component in name.split('/') {
        match component {
            "" | "." => {}
            ".." => return Err("has `..` in its name"),
            _ if component.len() > MAX_NAME => return Err("has a name that is too long"),
            _ => {
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(component);
            }
        }
    }
    Ok(path)
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths() {
        let cases = [
            ("./", ""),
            (".", ""),
            ("./usr/", "usr"),
            ("./usr/bin/[", "usr/bin/["),
            ("usr/bin", "usr/bin"),
            (".//usr/./bin//", "usr/bin"),
            ("./..a/b..", "..a/b.."),
            ("./ä", "ä"),
        ];
        for (name, path) in cases {
            assert_eq!(entry_path(name.as_bytes()).unwrap(), path, "{name}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let long = "x".repeat(256);
        let deep = "x/".repeat(2048);
        let cases: [&[u8]; 9] = [
            b"../a",
            b"./a/../../b",
            b"a/..",
            b"/etc/passwd",
            b"",
            b"a\nb",
            b"a\xff",
            long.as_bytes(),
            deep.as_bytes(),
        ];
        for name in cases {
            let shown = String::from_utf8_lossy(name);
            let problem = entry_path(name).expect_err(&shown);
            assert!(matches!(problem, UnpackProblem::Refused { .. }), "{shown}");
        }
    }
}
