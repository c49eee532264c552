//! Builds through a Docker daemon: what is said when one fails, and what is left when it has ended.
//!
//! `cargo xtask test` starts a daemon of its own for them and names it in `SMOLVM_TEST_DOCKER`.

mod agreement;
mod base;
mod canary;
mod connection;
mod daemon;
mod debian;
mod disk;
mod inherited;
mod leftovers;
mod permission;
mod server;
mod steps;

use std::fmt::Write as _;
use std::future::Future;

use miette::Diagnostic;
use smolvm_build::{BuildError, BuildOptions, BuiltImage, EngineChoice, Events, build};

use crate::mirror::{Fault, Mirror};
use crate::support::{Project, runtime};

/// The options of a project that Docker builds.
fn options(project: &Project) -> BuildOptions {
    BuildOptions { engine: EngineChoice::Docker, ..project.options() }
}

fn build_by_docker(project: &Project, events: &Events) -> Result<BuiltImage, BuildError> {
    runtime().block_on(build(&options(project), events))
}

/// What a build says that fails before it needs a package: its mirrors say nothing for as long as it takes.
fn failure_without_mirrors(project: Project) -> BuildError {
    let (project, _mirror) = without_mirrors(project);
    build_by_docker(&project, &Events::silent()).expect_err("a failure")
}

fn without_mirrors(project: Project) -> (Project, Mirror) {
    let mirror = Mirror::start(project.path());
    mirror.fail("", Fault::Silent);
    let address = mirror.address().to_owned();
    let project = project.with("SMOLVM_MIRROR_DEBIAN", &address).with("SMOLVM_MIRROR_DEBIAN_SECURITY", &address);
    (project, mirror)
}

/// A Smolfile that starts from an image, and needs no package.
fn smolfile(image: &str) -> String {
    format!("name: tested\nbase: {{image: \"{image}\"}}\nsize: 64MiB\nssh: false\n")
}

/// The whole report: message, code, whose business it is, help.
fn told(error: &BuildError) -> String {
    let mut text = format!("{:?}\n", error.class());
    tell(error.diagnostic(), &mut text);
    text
}

fn tell(diagnostic: &dyn Diagnostic, text: &mut String) {
    let code = diagnostic.code().map(|code| code.to_string()).unwrap_or_default();
    let help = diagnostic.help().map(|help| help.to_string()).unwrap_or_default();
    write!(text, "code: {code}\n{diagnostic}\nhelp: {help}\n").unwrap();
    let mut cause = diagnostic.source();
    while let Some(deeper) = cause {
        writeln!(text, "cause: {deeper}").unwrap();
        cause = deeper.source();
    }
    for mistake in diagnostic.related().into_iter().flatten() {
        tell(mistake, text);
    }
}

/// Compares a report with the one that is kept, apart from what differs from run to run.
fn check(name: &str, error: &BuildError, filters: &[(&str, &str)]) {
    let mut settings = insta::Settings::clone_current();
    // How many steps a Dockerfile has is nobody's concern here.
    settings.add_filter(r"\[ ?\d+/\d+\]", "[step]");
    for (pattern, shown) in filters {
        settings.add_filter(pattern, *shown);
    }
    settings.bind(|| insta::assert_snapshot!(name, told(error)));
}

/// A pattern for a path, and what is shown in its place.
fn literally(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_alphanumeric() { letter.to_string() } else { format!("\\{letter}") })
        .collect()
}

/// Polls a future until something has happened, then drops it. Tells whether it was still at work.
async fn dropped_when(work: impl Future, happened: impl Fn() -> bool) -> bool {
    let watching = async {
        while !happened() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = work => false,
        () = watching => true,
    }
}
