//! Files that are in the image only while maintainer scripts run, and keep them from what no image needs.

/// A file that is placed before a package is configured, and removed after the last one was.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StandIn {
    /// Relative to the root.
    pub(super) path: &'static str,
    pub(super) content: &'static str,
    pub(super) mode: u32,
    /// The package whose scripts meet it; `None` for those of every package.
    pub(super) package: Option<&'static str>,
}

const fn host_key(path: &'static str) -> StandIn {
    StandIn { path, content: "", mode: 0o600, package: Some("openssh-server") }
}

pub(super) const STAND_INS: [StandIn; 5] = [
    // What `invoke-rc.d` asks before it starts a service. 101: not allowed.
    StandIn { path: "usr/sbin/policy-rc.d", content: "#!/bin/sh\nexit 101\n", mode: 0o755, package: None },
    // Host keys that are missing are made, RSA's for a second; the guest makes its own at its first boot.
    host_key("etc/ssh/ssh_host_rsa_key"),
    host_key("etc/ssh/ssh_host_ecdsa_key"),
    host_key("etc/ssh/ssh_host_ed25519_key"),
    // First in the PATH. The package's script runs the program, and then has it run by a trigger for the sake of hooks:
    // without hooks, and with nothing changed since, that does the same again.
    StandIn {
        path: "usr/local/sbin/update-ca-certificates",
        content: r#"#!/bin/sh
bundle=/etc/ssl/certs/ca-certificates.crt
hooks=/etc/ca-certificates/update.d
inputs="/etc/ca-certificates.conf /usr/share/ca-certificates /usr/local/share/ca-certificates $hooks"
if [ $# -eq 0 ] && [ -s $bundle ] && [ -z "$(find $inputs -cnewer $bundle 2>&1)$(run-parts --test $hooks 2>&1)" ]; then
    exit 0
fi
exec /usr/sbin/update-ca-certificates "$@"
"#,
        mode: 0o755,
        package: Some("ca-certificates"),
    },
];
