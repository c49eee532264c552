//! Runs the image's own dpkg, and understands what it says.

use std::collections::VecDeque;

use smolvm_sandbox::{CommandStatus, SandboxCommand, Session};

use super::{InstallError, InstallEvent, script};

/// The image is scratch until it is harvested; whatever a configuration file is asked about, the present one stays;
/// and what follows after the first failure would only hide it.
const OPTIONS: [&str; 4] = ["--force-unsafe-io", "--force-confdef,confold", "--log=/dev/null", "--abort-after=1"];

/// Lines kept to be shown when something fails.
const SHOWN_LINES: usize = 40;

/// Longer lines are cut: they are progress bars and the like.
const SHOWN_LINE: usize = 400;

/// Configures packages in this order, as far as their dependencies allow.
pub(super) fn configure(
    session: &mut Session,
    names: &[String],
    with_triggers: bool,
    on_event: &mut dyn FnMut(InstallEvent<'_>),
) -> Result<(), InstallError> {
    let triggers = if with_triggers { "--triggers" } else { "--no-triggers" };
    let names = names.iter().map(String::as_str);
    run(session, [triggers, "--configure"].into_iter().chain(names), on_event)
}

/// Configures and runs triggers of whatever is left.
pub(super) fn configure_pending(
    session: &mut Session,
    on_event: &mut dyn FnMut(InstallEvent<'_>),
) -> Result<(), InstallError> {
    run(session, ["--configure", "--pending"].into_iter(), on_event)
}

fn run<'a>(
    session: &mut Session,
    arguments: impl Iterator<Item = &'a str>,
    on_event: &mut dyn FnMut(InstallEvent<'_>),
) -> Result<(), InstallError> {
    let argv = ["dpkg"].into_iter().chain(OPTIONS).chain(arguments);
    let command = SandboxCommand::new(argv, script::environment());
    let mut transcript = Transcript::default();
    let status = session.run(&command, &mut |bytes| {
        transcript.push(bytes, &mut |begun| {
            on_event(InstallEvent::Script { package: &begun.package, script: begun.script });
        });
        on_event(InstallEvent::Output(bytes));
    })?;
    if status.success() { Ok(()) } else { Err(transcript.finish().into_error(status)) }
}

/// What dpkg and the scripts under it have written.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    /// A line that has not ended yet.
    partial: Vec<u8>,
    /// The last lines since a script began.
    lines: VecDeque<String>,
    current: Option<Begun>,
    failed: Option<String>,
    reason: Option<String>,
}

/// A script that dpkg announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) package: String,
    pub(super) script: &'static str,
}

/// A transcript that is complete.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) output: String,
    current: Option<Begun>,
    failed: Option<String>,
    reason: Option<String>,
}

impl Transcript {
    /// Takes in what was written, and tells of each script that begins.
    pub(super) fn push(&mut self, bytes: &[u8], on_begin: &mut dyn FnMut(&Begun)) {
        for byte in bytes {
            if *byte == b'\n' {
                let line = String::from_utf8_lossy(&self.partial).into_owned();
                self.partial.clear();
                self.line(line, on_begin);
            } else if self.partial.len() < SHOWN_LINE {
                self.partial.push(*byte);
            }
        }
    }

    /// Takes in what was left.
    pub(super) fn finish(mut self) -> Ended {
        if !self.partial.is_empty() {
            let line = String::from_utf8_lossy(&self.partial).into_owned();
            self.line(line, &mut |_| {});
        }
        let output: Vec<String> = self.lines.into_iter().collect();
        Ended { output: output.join("\n"), current: self.current, failed: self.failed, reason: self.reason }
    }

    fn line(&mut self, line: String, on_begin: &mut dyn FnMut(&Begun)) {
        if self.failed.is_some() {
            // The line after the one that names the package says why; the others repeat it.
            self.reason.get_or_insert_with(|| line.trim().to_owned());
            return;
        }
        if let Some(begun) = Begun::parse(&line) {
            on_begin(&begun);
            self.current = Some(begun);
            self.lines.clear();
            return;
        }
        let failed = line.strip_prefix("dpkg: error processing package ").and_then(|rest| rest.split(' ').next());
        if let Some(package) = failed {
            self.failed = Some(package.to_owned());
            return;
        }
        if self.lines.len() == SHOWN_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

impl Begun {
    fn parse(line: &str) -> Option<Self> {
        let (script, rest) = if let Some(rest) = line.strip_prefix("Setting up ") {
            ("postinst", rest)
        } else {
            ("triggers", line.strip_prefix("Processing triggers for ")?)
        };
        let (package, _) = rest.strip_suffix(" ...")?.split_once(" (")?;
        Some(Self { package: unqualified(package).to_owned(), script })
    }
}

impl Ended {
    fn into_error(self, status: CommandStatus) -> InstallError {
        let Self { output, current, failed, reason } = self;
        let reason = reason.unwrap_or_else(|| status.to_string());
        let Some(package) = failed.as_deref().map(unqualified).map(str::to_owned) else {
            return InstallError::Dpkg { status: status.to_string(), output };
        };
        let is_script = reason.contains("script subprocess") || reason.contains("maintainer script");
        if !is_script {
            return InstallError::Refused { package, reason, output };
        }
        let is_trigger = current.is_some_and(|begun| begun.script == "triggers" && begun.package == package);
        let script = if is_trigger { "postinst (triggered)" } else { "postinst" };
        InstallError::Script { package, script: script.to_owned(), status: exit_status(&reason), output }
    }
}

/// The end of dpkg's sentence: `exit code 1`.
fn exit_status(reason: &str) -> String {
    match reason.rsplit_once("exit status ") {
        Some((_, code)) => format!("exit code {}", code.trim()),
        None => reason.to_owned(),
    }
}

/// A package's name without the architecture.
fn unqualified(package: &str) -> &str {
    package.split(':').next().unwrap_or(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Begun>, Ended) {
        let mut begun = Vec::new();
        let mut transcript = Transcript::default();
        // In pieces, as it comes through a pipe.
        for bytes in text.as_bytes().chunks(7) {
            transcript.push(bytes, &mut |new| begun.push(new.clone()));
        }
        (begun, transcript.finish())
    }

    #[test]
    fn scripts_are_announced() {
        let (begun, _) =
            read("Setting up libc6:amd64 (2.36-9) ...\nx\nProcessing triggers for libc-bin (2.36-9) ...\n");
        let names: Vec<_> = begun.iter().map(|begun| (begun.package.as_str(), begun.script)).collect();
        assert_eq!(names, [("libc6", "postinst"), ("libc-bin", "triggers")]);
    }

    #[test]
    fn a_failing_script_is_named_with_what_it_wrote() {
        let (_, ended) = read(
            "Setting up good (1) ...\nfine\nSetting up bad (1) ...\nno such thing\n\
             dpkg: error processing package bad (--configure):\n \
             installed bad package post-installation script subprocess returned error exit status 42\n\
             Errors were encountered while processing:\n bad\n",
        );
        let error = ended.into_error(CommandStatus::Exited(1));
        assert_eq!(error.to_string(), "the postinst script of the package bad failed: exit code 42\n    no such thing");
    }

    #[test]
    fn a_failing_trigger_is_named_as_such() {
        let (_, ended) = read(
            "Processing triggers for bad (1) ...\nno\ndpkg: error processing package bad (--configure):\n \
             installed bad package post-installation script subprocess was killed by signal (Killed)\n",
        );
        let error = ended.into_error(CommandStatus::Exited(1));
        assert_eq!(
            error.to_string(),
            "the postinst (triggered) script of the package bad failed: installed bad package post-installation script \
             subprocess was killed by signal (Killed)\n    no"
        );
    }

    #[test]
    fn what_dpkg_refuses_is_told_in_its_words() {
        let (_, ended) = read(
            "dpkg: dependency problems prevent configuration of a:\n a depends on b; however:\n  Package b is not installed.\n\n\
             dpkg: error processing package a (--configure):\n dependency problems - leaving unconfigured\n",
        );
        let error = ended.into_error(CommandStatus::Exited(1));
        assert!(matches!(&error, InstallError::Refused { package, reason, .. }
            if package == "a" && reason == "dependency problems - leaving unconfigured"));
        assert!(error.to_string().contains("Package b is not installed."), "{error}");
        let (_, ended) = read("dpkg: error: cannot open status\n");
        assert_eq!(
            ended.into_error(CommandStatus::Exited(2)).to_string(),
            "dpkg failed: exit code 2\n    dpkg: error: cannot open status"
        );
    }
}
