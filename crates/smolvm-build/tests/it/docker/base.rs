//! Base images that cannot be had, or are for another machine.

use super::daemon::Docker;
use super::server::serve;
use super::{check, failure_without_mirrors, smolfile};
use crate::support::Project;

/// Docker takes plain HTTP from registries on loopback.
const PORT: (&str, &str) = (r"127\.0\.0\.1:\d+", "[registry]");

/// Checks what is said of an image of this name.
fn check_missing(snapshot: &str, image: &str, filters: &[(&str, &str)]) {
    let Some(docker) = Docker::of_tests() else { return };
    let project = Project::new(&smolfile(image)).with("DOCKER_HOST", &docker.address);
    check(snapshot, &failure_without_mirrors(project), filters);
}

/// A registry that gives this answer to every image.
fn check_registry(snapshot: &str, answer: super::server::Answer) {
    check_missing(snapshot, &format!("{}/team/tool:1.2", serve(answer)), &[PORT]);
}

#[test]
fn a_registry_that_does_not_know_the_tag() {
    check_registry("manifest_unknown", |path| match path {
        "/v2/" => ("200 OK", "{}"),
        _ => ("404 Not Found", r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
    });
}

#[test]
fn a_registry_that_does_not_know_the_name() {
    check_registry("name_unknown", |path| match path {
        "/v2/" => ("200 OK", "{}"),
        _ => (
            "404 Not Found",
            r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}"#,
        ),
    });
}

#[test]
fn a_registry_that_wants_an_account() {
    check_registry("unauthorized", |path| match path {
        "/v2/" => ("200 OK", "{}"),
        _ => ("401 Unauthorized", r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#),
    });
}

#[test]
fn a_registry_that_denies() {
    check_registry("denied", |path| {
        if path == "/v2/" {
            return ("200 OK", "{}");
        }
        let body = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
        ("403 Forbidden", body)
    });
}

#[test]
fn a_registry_that_gives_no_more_today() {
    check_registry("too_many_requests", |path| {
        if path == "/v2/" {
            return ("200 OK", "{}");
        }
        let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#;
        ("429 Too Many Requests", body)
    });
}

#[test]
fn a_registry_in_trouble() {
    check_registry("registry_broken", |_| ("500 Internal Server Error", "oops"));
}

#[test]
fn a_registry_that_is_not_there() {
    // One that was free a moment ago may be another test's by now; nobody is given this one.
    check_missing("registry_closed", "127.0.0.1:1/team/tool:1.2", &[PORT]);
}

#[test]
fn a_registry_whose_name_means_nothing() {
    // The name server's address and its words are the machine's.
    let filters = [(r"lookup registry\.invalid.*", "lookup registry.invalid: [the resolver's words]")];
    check_missing("registry_unknown", "registry.invalid/team/tool:1.2", &filters);
}

#[test]
fn an_image_of_another_machine() {
    let Some(docker) = Docker::of_tests() else { return };
    let (other, own) = if cfg!(target_arch = "aarch64") { ("amd64", "arm64") } else { ("arm64", "amd64") };
    let image = docker.load("foreign", other);
    let error = failure_without_mirrors(image.project(""));
    check(
        "platform",
        &error,
        &[(&format!("linux/{other}"), "linux/[other]"), (&format!("linux/{own}"), "linux/[own]")],
    );
}
