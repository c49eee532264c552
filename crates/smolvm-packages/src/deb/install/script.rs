//! The environment of maintainer scripts, and the one script that dpkg does not run for us.

use smolvm_sandbox::{SandboxCommand, Session};

use super::dpkg::Transcript;
use super::{InstallError, InstallEvent};
use crate::deb::control::Control;

/// Where dpkg has a package's control files while its `preinst` runs; debconf looks for `templates` beside the script.
pub(super) const CONTROL_FOLDER: &str = "var/lib/dpkg/tmp.ci";

/// The whole environment of dpkg and of the scripts: nothing of the host, and nothing that differs between builds.
///
/// There is no `SOURCE_DATE_EPOCH`: it would make Python compile its modules into files of another kind.
pub(super) fn environment() -> Vec<(String, String)> {
    [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/root"),
        ("LC_ALL", "C.UTF-8"),
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
        ("PYTHONHASHSEED", "0"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// Runs `preinst install` as dpkg would.
pub(super) fn run_preinst(
    session: &mut Session,
    control: &Control,
    dpkg_version: Option<&str>,
    on_event: &mut dyn FnMut(InstallEvent<'_>),
) -> Result<(), InstallError> {
    let mut environment = environment();
    // dpkg names its own version here: that of the package, without the distribution's addition.
    let is_own = |character: char| character.is_ascii_digit() || character == '.';
    let running: String = dpkg_version.unwrap_or_default().chars().take_while(|character| is_own(*character)).collect();
    let variables = [
        ("DPKG_MAINTSCRIPT_PACKAGE", control.name.as_str()),
        ("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1"),
        ("DPKG_MAINTSCRIPT_ARCH", control.arch.as_str()),
        ("DPKG_MAINTSCRIPT_NAME", "preinst"),
        ("DPKG_MAINTSCRIPT_DEBUG", "0"),
        ("DPKG_RUNNING_VERSION", running.as_str()),
        ("DPKG_ADMINDIR", "/var/lib/dpkg"),
        ("DPKG_ROOT", ""),
    ];
    environment.extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let command = SandboxCommand::new([format!("/{CONTROL_FOLDER}/preinst"), "install".to_owned()], environment);
    on_event(InstallEvent::Script { package: &control.name, script: "preinst" });
    let mut transcript = Transcript::default();
    let status = session.run(&command, &mut |bytes| {
        transcript.push(bytes, &mut |_| {});
        on_event(InstallEvent::Output(bytes));
    })?;
    if status.success() {
        return Ok(());
    }
    Err(InstallError::Script {
        package: control.name.clone(),
        script: "preinst".to_owned(),
        status: status.to_string(),
        output: transcript.finish().output,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte code of Python before 3.11 shows `PYTHONHASHSEED`; what else a script makes of the rest, no test could foresee.
    #[test]
    fn the_environment_is_these_variables_whatever_the_host_has() {
        let environment = environment().into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        let expected = [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/root",
            "LC_ALL=C.UTF-8",
            "DEBIAN_FRONTEND=noninteractive",
            "DEBCONF_NONINTERACTIVE_SEEN=true",
            "PYTHONHASHSEED=0",
        ];
        assert_eq!(environment, expected);
    }
}
