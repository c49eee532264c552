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
    // without hooks, and with nothing changed since, that does the same again. What it takes is the time of starting some 700 programs:
    // where they only take a name apart, or ask for each link whether it leads somewhere, the shell answers the same.
    StandIn {
        path: "usr/local/sbin/update-ca-certificates",
        content: r#"#!/bin/sh
bundle=/etc/ssl/certs/ca-certificates.crt
hooks=/etc/ca-certificates/update.d
inputs="/etc/ca-certificates.conf /usr/share/ca-certificates /usr/local/share/ca-certificates $hooks"
if [ $# -eq 0 ] && [ -s $bundle ] && [ -z "$(find $inputs -cnewer $bundle 2>&1)$(run-parts --test $hooks 2>&1)" ]; then
    exit 0
fi
basename() {
    case $#$1 in
        2*/) command basename "$@" ;;
        2*) name=${1##*/} && [ "$name" = "$2" ] || name=${name%"$2"} && printf '%s\n' "$name" ;;
        *) command basename "$@" ;;
    esac
}
sed() {
    if [ "$*" != '-e s/ /_/g -e s/[()]/=/g -e s/,/_/g' ]; then
        command sed "$@"
    elif IFS= read -r name; then
        case $name in
            *[\ \(\),]*) printf '%s\n' "$name" | command sed "$@" ;;
            *) printf '%s\n' "$name" ;;
        esac
    fi
}
find() {
    if [ "$*" = "$1 -type l ! -exec test -e {} ; -print" ]; then
        command find "$1" -type l -print | while IFS= read -r link; do
            test -e "$link" || printf '%s\n' "$link"
        done
    else
        command find "$@"
    fi
}
program=/usr/sbin/update-ca-certificates
read -r first < $program
[ "$first" != '#!/bin/sh -e' ] || set -e
. $program
"#,
        mode: 0o755,
        package: Some("ca-certificates"),
    },
];

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::process::Command;

    use super::STAND_INS;

    /// The part of the stand-in for `update-ca-certificates` that defines functions.
    fn functions() -> &'static str {
        let content =
            STAND_INS.iter().find(|stand_in| stand_in.path.ends_with("/update-ca-certificates")).unwrap().content;
        &content[content.find("basename()").unwrap()..content.find("program=").unwrap()]
    }

    fn sh(folder: &Path, script: &str) -> String {
        let output = Command::new("sh").args(["-c", script]).current_dir(folder).output().unwrap();
        assert!(output.stderr.is_empty(), "{script}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    const NAME: &str = r"sed -e 's/ /_/g' -e 's/[()]/=/g' -e 's/,/_/g'";
    const BROKEN: &str = r"find . -type l ! -exec test -e {} \; -print";

    #[test]
    fn what_is_done_by_the_shell_gives_what_the_programs_give() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("file"), "a b\n").unwrap();
        for (target, link) in [("file", "good"), ("gone", "broken"), ("loop", "loop"), ("broken", "chain")] {
            symlink(target, folder.path().join(link)).unwrap();
        }
        for script in [
            "basename /usr/share/x/A_b.crt .crt".to_owned(),
            "basename 'a/B c (d), e.crt' .crt".to_owned(),
            "basename .crt .crt".to_owned(),
            "basename a.crt/ .crt".to_owned(),
            "basename /a/b.crt".to_owned(),
            format!("printf 'A_b\\n' | {NAME}"),
            format!("printf 'A b (c), d\\\\e\\n' | {NAME}"),
            format!("printf '' | {NAME}"),
            "sed -e s/a/b/ file".to_owned(),
            "sed -e '$a\\' file".to_owned(),
            format!("{BROKEN} | sort"),
            "find . -type l -print | sort".to_owned(),
        ] {
            let by_shell = sh(folder.path(), &format!("{}\n{script}", functions()));
            assert_eq!(by_shell, sh(folder.path(), &script), "{script}");
        }
        assert_eq!(sh(folder.path(), &format!("{BROKEN} | sort")), "./broken\n./chain\n./loop\n");
    }

    #[test]
    fn a_plain_name_starts_no_program() {
        let script = format!("{}\nPATH=\nbasename /x/A_b.crt .crt | {NAME}", functions());
        assert_eq!(sh(Path::new("/"), &script), "A_b\n");
    }
}
