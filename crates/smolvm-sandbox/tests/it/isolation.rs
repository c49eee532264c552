//! What commands see, and what they cannot do.

use std::io::Write;
use std::net::TcpListener;

use smolvm_sandbox::{CommandStatus, CommandUser, MountedFile, Network, PlaceOp, SandboxCommand, SecretFile};

use crate::support::{sandbox, shell, symlink, with_network};

fn dev() -> CommandUser {
    CommandUser { uid: 1000, gid: 1000, groups: vec![7] }
}

#[test]
fn commands_see_the_image_and_nothing_of_the_host() {
    let Some(mut sandbox) = sandbox() else { return };
    assert_eq!(sandbox.out("hostname"), "builder\n");
    assert_eq!(sandbox.out("ls -A /"), "bin\ndev\netc\nproc\nrun\nsys\ntmp\n");
    assert_eq!(sandbox.out("ls -A /sys /run"), "/run:\nlock\n\n/sys:\n");
    let devices = "fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n";
    assert_eq!(sandbox.out("ls -A /dev"), devices);
    assert_eq!(
        sandbox.out("stat -c '%a %u' /dev /dev/null /run"),
        "755 0\n666 65534\n755 0\n".replace("65534", &null_owner())
    );
    assert_eq!(
        sandbox.out(
            "cat /dev/null; head -c 2 /dev/zero | wc -c; echo x > /dev/stderr; cat /proc/self/cgroup | cut -d: -f3 | sort -u"
        ),
        "2\nx\n/\n"
    );
    // PID 1 is the agent, the other one the shell, and there is nobody else.
    let script = "cd /proc; set -- [0-9]*; echo $# $1; test $2 = $$; tr -d '\\0' < 1/cmdline; cat 1/comm";
    assert_eq!(sandbox.out(script), "2 1\ninit\n");
    let scratch = sandbox.scratch.clone();
    for (number, fields) in sandbox.out("cat /proc/self/mountinfo").lines().enumerate() {
        let (source, target) = (fields.split(' ').nth(3), fields.split(' ').nth(4));
        // The one thing that cannot be hidden: where on its disk the image's folder is.
        let is_root = target == Some("/")
            && source.is_some_and(|source| {
                scratch.to_string_lossy().ends_with(source.trim_start_matches('/')) || source.ends_with("/scratch/root")
            });
        assert!(is_root || !fields.contains("scratch"), "{number}: {fields}");
    }
    // Descriptors: standard ones, and that of the folder being listed.
    assert_eq!(sandbox.out("ls /proc/self/fd"), "0\n1\n2\n3\n");
    assert_eq!(sandbox.out("readlink /proc/self/fd/0"), "/dev/null\n");
}

#[test]
fn what_tells_about_the_machine_is_empty_and_what_builds_ask_for_is_not() {
    let Some(mut sandbox) = sandbox() else { return };
    let hidden = "acpi bootconfig cmdline config.gz diskstats driver interrupts iomem ioports kallsyms kcore key-users keys \
                  kpagecount mdstat modules mtrr pagetypeinfo partitions slabinfo swaps timer_list vmallocinfo";
    let script = "for name in $NAMES; do test -d /proc/$name && ls -A /proc/$name || head -c 40 /proc/$name; done";
    let show = |names: &str| format!("NAMES='{names}'; ({script}) 2> /dev/null; true");
    assert!(!std::fs::read("/proc/cmdline").expect("the host's").is_empty());
    assert_eq!(sandbox.out(&show(hidden)), "");
    for name in ["cpuinfo", "filesystems", "meminfo", "stat", "uptime", "version"] {
        assert_ne!(sandbox.out(&show(name)), "", "{name}");
    }
}

/// The owner of the host's /dev/null as it is seen inside.
fn null_owner() -> String {
    if rustix::process::geteuid().is_root() { "0" } else { "65534" }.to_owned()
}

#[test]
fn the_agent_cannot_be_used_to_reach_the_host() {
    let Some(mut sandbox) = sandbox() else { return };
    for path in ["root/", "cwd/", "fd/", "ns/mnt", "environ", "maps", "mem", "exe"] {
        let (output, status) = sandbox.sh(&format!("ls -lL /proc/1/{path} > /dev/null && cat /proc/1/{path}"));
        assert!(!status.success() && output.contains("denied"), "{path}: {status} {output}");
    }
    // Signals from inside do not reach it.
    sandbox.out("kill -9 1; kill -TERM 1; true");
    assert_eq!(sandbox.out("echo still here"), "still here\n");
}

#[test]
fn root_inside_has_no_power_over_the_machine() {
    let Some(mut sandbox) = sandbox() else { return };
    for script in [
        "mknod /tmp/null c 1 3",
        "mknod /tmp/disk b 254 0",
        "mount -t tmpfs none /tmp",
        "umount /proc/sys",
        "mount -o remount,rw /proc/sys",
        "echo x > /proc/sys/kernel/core_pattern",
        "echo 1 > /proc/sys/vm/drop_caches",
        "echo h > /proc/sysrq-trigger",
        "hostname other",
        "chroot /proc/1/root ls",
        "head -c 1 /proc/kcore | grep .",
        "ls /proc/timer_list /proc/keys | xargs cat | grep .",
        // A user namespace of one's own gives the power to mount, but not to uncover what is mounted over.
        "unshare -r -m umount /proc/sys",
        "unshare -r -m mount -o remount,bind,rw /proc/sys",
        "unshare -r -m -p -f mount -t proc none /proc",
    ] {
        let (output, status) = sandbox.sh(script);
        assert!(!status.success(), "{script}: {output}");
    }
    // What container engines leave to root, less CAP_MKNOD.
    let capabilities = sandbox.out("grep -E '^Cap(Bnd|Eff|Amb)' /proc/self/status | cut -f2");
    assert_eq!(capabilities, "00000000a00425fb\n00000000a00425fb\n0000000000000000\n");
    assert_eq!(sandbox.out("grep NoNewPrivs /proc/self/status"), "NoNewPrivs:\t0\n");
}

#[test]
fn owners_modes_and_setuid_programs_work() {
    let Some(mut sandbox) = sandbox() else { return };
    let script = "echo a > /f && chown 1000:65534 /f && chmod 4750 /f && stat -c '%u %g %a' /f && mkfifo /p";
    assert_eq!(sandbox.out(script), "1000 65534 4750\n");
    sandbox.out("rm /bin/su && cp /bin/busybox /bin/su && chmod 4755 /bin/su");
    let mut command = shell("id -u; id -G; /bin/su -c 'id -u'");
    command.user = Some(dev());
    assert_eq!(sandbox.run(&command), ("1000\n1000 7\n0\n".to_owned(), CommandStatus::Exited(0)));
    let mut command = shell("echo to stderr > /dev/stderr; cat /f");
    command.user = Some(CommandUser { uid: 1001, gid: 1001, groups: Vec::new() });
    let (output, status) = sandbox.run(&command);
    assert!(output.starts_with("to stderr\n") && output.contains("denied") && !status.success(), "{output}");
}

#[test]
fn syncing_does_nothing_and_succeeds() {
    let Some(mut sandbox) = sandbox() else { return };
    // The kernel refuses to sync a device like this one, so that success shows that it was never asked.
    sandbox.out("dd if=/dev/zero of=/dev/null count=1 conv=fsync 2> /dev/null");
    sandbox.out("sync; sync -d /dev/null; sync -f /dev/null");
}

#[test]
fn the_environment_and_its_surroundings_are_as_given() {
    let Some(mut sandbox) = sandbox() else { return };
    let env = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut command =
        SandboxCommand::new(["env"], vec![env("PATH", "/nowhere:/bin"), env("A", "b c"), env("EMPTY", "")]);
    assert_eq!(sandbox.run(&command).0, "PATH=/nowhere:/bin\nA=b c\nEMPTY=\n");
    command.argv = vec!["/bin/env".to_owned()];
    command.env.clear();
    assert_eq!(sandbox.run(&command).0, "");
    let mut command = shell("umask; pwd; ulimit -n; ulimit -c; cat");
    command.cwd = "/etc".to_owned();
    command.stdin = Some(b"given\n".to_vec());
    assert_eq!(sandbox.run(&command).0, "0022\n/etc\n1024\n0\ngiven\n");
    let command = SandboxCommand::new(["/bin/grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"], Vec::new());
    let none = "0000000000000000";
    assert_eq!(sandbox.run(&command).0, format!("SigBlk:\t{none}\nSigIgn:\t{none}\nSigCgt:\t{none}\n"));
    assert_eq!(sandbox.out("cat; tty > /dev/null || echo no terminal"), "no terminal\n");
}

#[test]
fn what_cannot_be_started_is_told() {
    let Some(mut sandbox) = sandbox() else { return };
    let script = sandbox.file("bad", "#!/no/such/interpreter\n", 0o755);
    let plain = sandbox.file("plain", "echo \"$0 $1\"\n", 0o755);
    let data = sandbox.file("data", "", 0o644);
    sandbox.place(&[script, plain, data]);
    let mut fails = |command: &SandboxCommand, expected: &str| {
        let error = sandbox.session().run(command, &mut |_| {}).expect_err("it cannot be started");
        assert_eq!(error.to_string(), expected);
    };
    let plainly = |program: &str| SandboxCommand::new([program], vec![("PATH".to_owned(), "/bin".to_owned())]);
    let missing = "find it, or the interpreter that it names: No such file or directory (os error 2)";
    fails(&plainly("nothing"), &format!("`nothing` could not be started: could not {missing}"));
    fails(&plainly("/bad"), &format!("`/bad` could not be started: could not {missing}"));
    fails(&plainly("/data"), "`/data` could not be started: could not run it: Permission denied (os error 13)");
    let mut elsewhere = plainly("ls");
    elsewhere.cwd = "/nowhere".to_owned();
    fails(
        &elsewhere,
        "`ls` could not be started: could not enter its working folder /nowhere: No such file or directory (os error 2)",
    );
    // As execvp does.
    let mut without_interpreter = plainly("/plain");
    without_interpreter.argv.push("one".to_owned());
    assert_eq!(sandbox.run(&without_interpreter).0, "/plain one\n");
}

#[test]
fn secrets_exist_while_the_command_runs_and_nowhere_after() {
    const CANARY: &str = "tweet-4711-tweet";
    let Some(mut sandbox) = sandbox() else { return };
    let mut command = shell("cat /run/secrets/TOKEN; stat -c ' %a %u:%g' /run/secrets/TOKEN; cat /run/secrets/OTHER");
    command.secrets = vec![SecretFile::new("TOKEN", CANARY), SecretFile::new("OTHER", "x")];
    assert!(!format!("{command:?}").contains(CANARY));
    assert_eq!(sandbox.run(&command).0, format!("{CANARY} 400 0:0\nx"));
    command.user = Some(dev());
    assert_eq!(sandbox.run(&command).0, format!("{CANARY} 400 1000:1000\nx"));
    assert_eq!(sandbox.out("ls -A /run; grep -r tweet-4711 /etc /run /tmp /dev/shm || true"), "lock\n");
    let root = sandbox.root();
    assert!(!root.join("run/secrets").exists());
    sandbox.session = None;
    let found = std::process::Command::new("grep").args(["-rlF", CANARY]).arg(&sandbox.scratch).output().expect("grep");
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn mounted_files_leave_no_trace() {
    let Some(mut sandbox) = sandbox() else { return };
    let kept = sandbox.file("etc/kept", "image's\n", 0o644);
    let links = [
        symlink("etc/into-run", "../run/resolve/stub.conf"),
        symlink("etc/into-image", "/var/lib/a/b"),
        symlink("etc/chain", "into-run"),
    ];
    sandbox.place(&[kept]);
    sandbox.place(&links);
    let before = crate::tree::text(&mut sandbox);
    let mut command =
        shell("cat /etc/kept /etc/new /etc/into-run /etc/into-image /etc/chain /opt/x/y; echo more >> /etc/kept");
    let paths = ["/etc/kept", "/etc/new", "/etc/into-run", "/etc/into-image", "etc/chain", "/opt/x/y"];
    command.mounted_files = paths
        .into_iter()
        .map(|path| MountedFile { path: path.to_owned(), content: format!("for {path}\n").into_bytes() })
        .collect();
    let (output, status) = sandbox.run(&command);
    // The last one through a link is what was mounted last.
    let expected = "for /etc/kept\nfor /etc/new\nfor etc/chain\nfor /etc/into-image\nfor etc/chain\nfor /opt/x/y\n";
    assert_eq!((output.as_str(), status), (expected, CommandStatus::Exited(0)));
    assert_eq!(sandbox.out("cat /etc/kept"), "image's\n");
    assert_eq!(crate::tree::text(&mut sandbox), before);
}

#[test]
fn without_a_network_there_is_loopback_and_nothing_else() {
    let Some(mut sandbox) = sandbox() else { return };
    let port = greeting_port();
    let (_, status) = sandbox.sh(&format!("nc -w 2 127.0.0.1 {port} < /dev/null"));
    assert!(!status.success());
    assert_eq!(sandbox.out("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '"), "lo\n");
    let script = "(echo own | nc -l -p 4000) & for i in 1 2 3 4 5 6 7 8 9; do \
                  nc -w 2 127.0.0.1 4000 < /dev/null && exit; sleep 0.1; done; exit 1";
    assert!(sandbox.out(script).contains("own"));
}

#[test]
fn with_the_hosts_network_its_services_are_reached() {
    let Some(mut sandbox) = with_network(Network::Host) else { return };
    let port = greeting_port();
    assert_eq!(sandbox.out(&format!("nc -w 2 127.0.0.1 {port} < /dev/null")), "hello\n");
}

/// A listener of the host that greets once.
fn greeting_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        if let Ok((mut client, _)) = listener.accept() {
            let _ = client.write_all(b"hello\n");
        }
    });
    port
}

#[test]
fn hostile_mount_points_stay_inside() {
    let Some(mut sandbox) = sandbox() else { return };
    let outside = tempfile::tempdir().expect("a folder");
    let target = outside.path().to_str().expect("UTF-8").to_owned();
    // The image says that /dev is a folder of the host: inside, there is no such folder.
    sandbox.place(&[PlaceOp::Remove { path: "dev".to_owned() }, symlink("dev", &target)]);
    let error = sandbox.session().run(&shell("true"), &mut |_| {}).expect_err("no /dev");
    assert!(error.to_string().contains("open the image's /dev as a folder"), "{error}");
    assert_eq!(std::fs::read_dir(outside.path()).expect("a folder").count(), 0);
}
