//! Everything that can be judged without running the product.

use std::path::Path;
use std::time::Duration;

use crate::process::{cargo, program, run, succeeds_within};
use crate::{Result, say, schema, top};

/// One thing that can be out of order.
type Check = fn() -> Result;

/// Does every check, and fails with all that went wrong.
pub(crate) fn check() -> Result {
    let checks: [(&str, Check); 5] = [
        ("formatting", || run(cargo(&["fmt", "--all", "--", "--check"]))),
        ("generated files", schema::check),
        ("names of this machine", machine_names),
        ("dependencies", dependencies),
        ("lints", || {
            run(cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
        }),
    ];
    let mut failures = Vec::new();
    for (name, check) in checks {
        say(&format!("== {name}"));
        if let Err(error) = check() {
            say(&format!("failed: {error}"));
            failures.push(name);
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(format!("not in order: {}", failures.join(", ")).into()) }
}

/// The version that `deny.toml` was written for.
const CARGO_DENY: &str = "0.20.2";

/// Licences, bans and sources by cargo-deny; advisories where their database can be had.
fn dependencies() -> Result {
    let minute = Duration::from_mins(1);
    if !succeeds_within(cargo(&["deny", "--version"]), minute) {
        run(cargo(&["install", "--quiet", "cargo-deny", "--locked", "--version", CARGO_DENY]))?;
    }
    run(cargo(&["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]))?;
    if succeeds_within(cargo(&["deny", "fetch", "db"]), minute) {
        return run(cargo(&["deny", "--log-level", "error", "check", "--disable-fetch", "advisories"]));
    }
    say("the advisory database cannot be reached from here: advisories were NOT checked");
    Ok(())
}

/// Refuses files that name a package registry's host or a folder of the machine that they were written on.
///
/// The names are put together here, so that this file does not hold them.
fn machine_names() -> Result {
    let mut forbidden = vec![
        ["deb", ".debian", ".org"].concat(),
        ["//security", ".debian", ".org"].concat(),
        ["static", ".crates", ".io"].concat(),
        ["pypi", ".org"].concat(),
        ["registry", ".npmjs"].concat(),
    ];
    forbidden.extend(folder_of_this_machine(&top()));
    let files = program("git", &["ls-files", "-z"]).output()?;
    if !files.status.success() {
        say("this is not a git checkout: names of this machine were NOT looked for");
        return Ok(());
    }
    let mut found = Vec::new();
    for name in String::from_utf8(files.stdout)?.split_terminator('\0').filter(|name| *name != "Cargo.lock") {
        let Ok(content) = fs_err::read(top().join(name)) else { continue };
        let text = String::from_utf8_lossy(&content);
        found.extend(forbidden.iter().filter(|word| text.contains(*word)).map(|word| format!("{name} holds `{word}`")));
    }
    if found.is_empty() { Ok(()) } else { Err(found.join("; ").into()) }
}

/// The folder that holds the checkout, where its name says anything: `/tmp/` or `/src/` stand in honest files too.
fn folder_of_this_machine(top: &Path) -> Option<String> {
    const COMMON: [&str; 8] = ["/", "/tmp", "/root", "/home", "/src", "/usr/src", "/opt", "/srv"];
    let parent = top.parent()?.to_str()?;
    (!COMMON.contains(&parent)).then(|| format!("{parent}/"))
}
