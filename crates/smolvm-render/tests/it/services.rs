//! Services, supervised by init's own functions in every shell.

use std::path::Path;

use smolvm_manifest::{Distro, Restart, Service};
use smolvm_render::render;

use crate::fixture::{locked, map, service};
use crate::shell::Shell;

/// Words that a shell could take for something else.
const HOSTILE: [&str; 10] = [
    "it's \"$HOME\"",
    "`id` $(id) ${HOME}",
    "two\nlines\n",
    "",
    "  spaces\tand tabs ",
    "\\ \\n \\'",
    "* ? [a-z] ~ {a,b}",
    "ü 語 \u{1f600}",
    "-n",
    "a=b;&|<>#!",
];

/// An init with these services, whose folders under `/run` and `/var` lie in `folder`.
fn init(folder: &Path, services: Vec<Service>) -> String {
    let mut locked = locked(Distro::DebianBookworm);
    locked.manifest.ssh = None;
    locked.manifest.env = map(&[("GUEST", "guest's\nown"), ("BOTH", "guest"), ("name", "not the service's")]);
    locked.manifest.services = services;
    for place in ["run", "log"] {
        std::fs::create_dir_all(folder.join(place)).unwrap();
    }
    let place = |name: &str| folder.join(name).display().to_string();
    let init = render(&locked).unwrap().init;
    // It would outlive the test.
    let init = init.replace("    keep_logs &\n", "");
    init.replace("/run/smolvm/services", &place("run")).replace("/var/log/smolvm", &place("log"))
}

/// A program that writes its words, some variables, and who and where it is, each with a NUL after it.
fn witness(folder: &Path) -> String {
    script(
        folder,
        "witness",
        "printf '%s\\0' \"$#\" \"$@\" \"$GUEST\" \"$BOTH\" \"$OWN\" \"$name\" \"$USER\" \"$HOME\" \"$PWD\" \"$(id -un)\" \"$(id -Gn)\"; echo err >&2",
    )
}

fn script(folder: &Path, name: &str, text: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A folder that every user may enter.
fn open_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempdir().unwrap()
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn words_environment_and_folder_reach_the_program_exactly() {
    for shell in Shell::all() {
        let folder = open_folder();
        let place = folder.path().join("it's a $folder");
        std::fs::create_dir(&place).unwrap();
        let program = witness(folder.path());
        let hostile = || HOSTILE.iter().copied();
        let command: Vec<&str> = std::iter::once(program.as_str()).chain(hostile()).collect();
        let me = Service {
            workdir: place.to_str().unwrap().to_owned(),
            env: map(&[("OWN", HOSTILE[0]), ("BOTH", HOSTILE[2])]),
            ..service("app", &command)
        };
        let mut rows = vec![("root", String::new(), "root", "/root")];
        if is_root() {
            rows.push(("nobody", String::new(), "nobody", "/nonexistent"));
            let su = folder.path().join("su");
            let path = std::env::var_os("PATH").unwrap_or_default();
            if let Some(busybox) =
                std::env::split_paths(&path).map(|folder| folder.join("busybox")).find(|path| path.exists())
            {
                std::os::unix::fs::symlink(busybox, &su).unwrap();
                rows.push(("nobody", su.display().to_string(), "nobody", "/nonexistent"));
            }
        } else {
            eprintln!("skipped as another user: that takes root");
        }
        for (user, su, expected_user, home) in rows {
            let mut text = init(folder.path(), vec![Service { user: user.to_owned(), ..me.clone() }]);
            if !su.is_empty() {
                text = text.replace("/usr/bin/setpriv", "/nonexistent/setpriv").replace("/bin/su ", &format!("{su} "));
            }
            let printed = shell.prints(folder.path(), &text, "run_service 1 4>&1 2>/dev/null");
            let values: Vec<&str> = printed.strip_suffix('\0').unwrap_or(&printed).split('\0').collect();
            let number = HOSTILE.len().to_string();
            let mut expected = vec![number.as_str()];
            expected.extend(hostile());
            expected.extend(["guest's\nown", HOSTILE[2], HOSTILE[0], "not the service's", user, home]);
            let whoami = if is_root() { expected_user } else { values[values.len() - 2] };
            let groups = match (is_root(), user) {
                (true, "nobody") => "nogroup",
                _ => values[values.len() - 1],
            };
            expected.extend([place.to_str().unwrap(), whoami, groups]);
            assert_eq!(values, expected, "{shell:?} as {user} by {su:?}");
        }
    }
}

/// What is written about a service, white space at the end cut.
fn state(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join("run").join(name)).unwrap().trim_end().to_owned()
}

/// Supervises the first service until it is over with it. The pauses take no time.
fn supervised(shell: Shell, folder: &Path, service: Service) -> String {
    let words = format!("1 {} {}", service.name, serde_json::to_value(service.restart).unwrap().as_str().unwrap());
    let text = init(folder, vec![service]);
    shell.prints(folder, &without_pauses(&text), &format!("supervise {words}"))
}

fn without_pauses(init: &str) -> String {
    init.replace("sleep \"$pause\" &", "true &")
}

#[test]
fn restart_decides_what_follows_an_end() {
    // The first two lives end with an error, the third one well.
    const THIRD_TIME: &str = "n=$(cat lives 2>/dev/null || echo 0); echo $((n + 1)) >lives; [ \"$n\" -ge 2 ]";
    let failed = |words: &str| format!("SMOLVM_FAIL stage=service-app it ended with status 1 and is {words}\n");
    for shell in Shell::all() {
        let run = |restart| {
            let folder = open_folder();
            let program = script(folder.path(), "program", THIRD_TIME);
            let workdir = folder.path().to_str().unwrap().to_owned();
            let told = supervised(shell, folder.path(), Service { restart, workdir, ..service("app", &[&program]) });
            (told, state(folder.path(), "app"))
        };
        let (told, state) = run(Restart::Never);
        assert_eq!(told, failed("not started again"), "{shell:?}");
        assert_eq!(state, r#"{"name":"app","state":"failed","pid":null,"restarts":0,"status":1}"#);
        let (told, state) = run(Restart::OnFailure);
        assert_eq!(told, failed("started again in 1 s") + &failed("started again in 2 s"), "{shell:?}");
        assert_eq!(state, r#"{"name":"app","state":"ended","pid":null,"restarts":2,"status":0}"#);
        // Whatever its end, it is started again: here with the third life's end too.
        let folder = open_folder();
        let program = script(folder.path(), "program", &format!("{THIRD_TIME} || exit 1; [ $n = 2 ] || exec sleep 60"));
        let workdir = folder.path().to_str().unwrap().to_owned();
        let service = Service { restart: Restart::Always, workdir, ..service("app", &[&program]) };
        let text = without_pauses(&init(folder.path(), vec![service]));
        let told = shell.prints(
            folder.path(),
            &text,
            &format!("start_services\n{}stop_services", until("app", r#""running".*"restarts":3"#)),
        );
        assert_eq!(told, failed("started again in 1 s") + &failed("started again in 2 s"), "{shell:?}");
    }
}

/// A line of script that waits for a state of a service.
fn until(name: &str, words: &str) -> String {
    format!("until grep -q '{words}' run/{name} 2>/dev/null; do sleep 0.02; done\n")
}

#[test]
fn what_cannot_be_started_is_told_with_the_reason_and_tried_again() {
    for shell in Shell::all() {
        let folder = open_folder();
        let there = folder.path().to_str().unwrap();
        let plain = folder.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let rows = [
            (service("app", &["/nonexistent/app"]), 127, "there is no program /nonexistent/app".to_owned()),
            (service("app", &[there]), 127, format!("there is no program {there}")),
            (service("app", &[plain.to_str().unwrap()]), 127, format!("there is no program {}", plain.display())),
            (
                Service { user: "no'body $x".to_owned(), ..service("app", &["/bin/true"]) },
                126,
                "there is no user no'body $x".to_owned(),
            ),
            (
                Service { workdir: "/non existent".to_owned(), ..service("app", &["/bin/true"]) },
                126,
                "there is no folder /non existent".to_owned(),
            ),
        ];
        for (broken, status, reason) in rows {
            let again = init(folder.path(), vec![broken.clone()]);
            let told = shell.prints(
                folder.path(),
                &again,
                &format!("start_services\n{}stop_services", until("app", "backoff")),
            );
            let expected = format!(
                "SMOLVM_FAIL stage=service-app {reason}\n\
                 SMOLVM_FAIL stage=service-app it ended with status {status} and is started again in 1 s\n"
            );
            assert_eq!(told, expected, "{shell:?}");
            let log = std::fs::read_to_string(folder.path().join("log/app.log")).unwrap();
            assert!(log.ends_with(&format!("{reason}\n")), "{log}");
            let told = supervised(shell, folder.path(), Service { restart: Restart::Never, ..broken });
            assert!(told.contains(&reason) && told.contains("is not started again"), "{told}");
            let expected = format!(r#"{{"name":"app","state":"failed","pid":null,"restarts":0,"status":{status}}}"#);
            assert_eq!(state(folder.path(), "app"), expected, "{shell:?}");
        }
    }
}

#[test]
fn services_are_stopped_in_reverse_with_all_that_they_started() {
    for shell in Shell::all() {
        let folder = open_folder();
        // Its child is nobody's afterwards, and for a moment a zombie.
        let text = format!(
            "trap 'echo stopped $1 >>{0}/order; exit 0' TERM; sleep 1000 & echo $$ >{0}/ready-$1; while :; do wait; done",
            folder.path().display()
        );
        let program = script(folder.path(), "program", &text);
        let names = ["one", "two", "three"];
        let services = names.map(|name| Service { restart: Restart::Always, ..service(name, &[&program, name]) });
        let text = init(folder.path(), services.to_vec());
        let ready = "for name in one two three; do until [ -s ready-$name ]; do sleep 0.02; done; done\n";
        let left = "for name in one two three; do n=0; while kill -0 -$(cat ready-$name) 2>/dev/null; do \
            n=$((n + 1)); [ $n -lt 500 ] || { echo left $name; break; }; sleep 0.02; done; done";
        let told = shell.prints(folder.path(), &text, &format!("start_services\n{ready}stop_services\n{left}"));
        assert_eq!(told, "", "{shell:?}");
        let order = std::fs::read_to_string(folder.path().join("order")).unwrap();
        assert_eq!(order, "stopped three\nstopped two\nstopped one\n", "{shell:?}");
        for name in names {
            let expected = format!(r#"{{"name":"{name}","state":"stopped","pid":null,"restarts":0,"status":0}}"#);
            assert_eq!(state(folder.path(), name), expected, "{shell:?}");
        }
    }
}

#[test]
fn a_service_that_does_not_end_is_killed() {
    for shell in Shell::all() {
        let folder = open_folder();
        let text = format!("trap '' TERM; echo $$ >{}/ready; while :; do sleep 0.05; done", folder.path().display());
        let program = script(folder.path(), "program", &text);
        let text = init(folder.path(), vec![service("app", &[&program])]).replace("sleep 5\n", "sleep 0.1\n");
        let script = "start_services\nuntil [ -s ready ]; do sleep 0.02; done\nstop_services";
        let told = shell.prints(folder.path(), &text, script);
        assert_eq!(told, "SMOLVM_FAIL stage=service-app it does not end and is killed\n", "{shell:?}");
        let expected = r#"{"name":"app","state":"stopped","pid":null,"restarts":0,"status":137}"#;
        assert_eq!(state(folder.path(), "app"), expected, "{shell:?}");
    }
}

#[test]
fn a_service_that_needs_the_network_waits_for_a_route() {
    const HEADER: &str = "Iface\tDestination\tGateway\n";
    for shell in Shell::all() {
        let folder = open_folder();
        let route = |text: &str| std::fs::write(folder.path().join("route"), format!("{HEADER}{text}")).unwrap();
        let service = Service { after_network: true, restart: Restart::Never, ..service("app", &["/bin/true"]) };
        let text =
            init(folder.path(), vec![service]).replace("/proc/net/route", "route").replace("sleep 1 &", "sleep 0.05 &");
        route("lo\t0000007F\t0\n");
        let script = format!("network_failed=yes; start_services\n{}stop_services", until("app", "waiting"));
        shell.prints(folder.path(), &text, &script);
        let stopped = r#"{"name":"app","state":"stopped","pid":null,"restarts":0,"status":null}"#;
        assert_eq!(state(folder.path(), "app"), stopped, "{shell:?}");

        let come = format!("printf '{HEADER}eth0\\t0\\t0\\n' >route\n");
        let script =
            format!("network_failed=yes; supervise 1 app never network & {}{come}wait", until("app", "waiting"));
        shell.prints(folder.path(), &text, &script);
        let ended = r#"{"name":"app","state":"ended","pid":null,"restarts":0,"status":0}"#;
        assert_eq!(state(folder.path(), "app"), ended, "{shell:?}");
        // Where the network is up, nobody looks.
        route("");
        shell.prints(folder.path(), &text, "network_failed=; supervise 1 app never network");
        assert_eq!(state(folder.path(), "app"), ended, "{shell:?}");
    }
}

#[test]
fn a_log_is_cut_and_its_writer_goes_on() {
    for shell in Shell::all() {
        let folder = open_folder();
        let text = init(folder.path(), vec![service("app", &["/bin/true"])]);
        // This shell is the supervisor and the writer; its own number is not that of a subshell.
        let script = "log_limit=10; exec 3>>log/app.log; show() { echo \"$?: $(cat log/app.log) | $(cat log/app.log.1 2>/dev/null)\"; }\n\
            cut_log $$ app; show; printf 0123456789 >&3; cut_log $$ app; show\n\
            printf abc >&3; cut_log $$ app; show; cut_log $$ app; show; printf new >&3; cut_log $$ app; show\n\
            printf 0123456789 >&3; cut_log $$ app; show; cut_log 999999999 app; show";
        let expected = "1:  | \n1: 0123456789 | \n0:  | 3456789abc\n1:  | 3456789abc\n1: new | 3456789abc\n\
            0:  | 0123456789\n1:  | 0123456789\n";
        assert_eq!(shell.prints(folder.path(), &text, script), expected, "{shell:?}");
    }
}

#[test]
fn output_is_appended_to_a_log_that_root_alone_may_read() {
    use std::os::unix::fs::PermissionsExt;
    for shell in Shell::all() {
        let folder = open_folder();
        let program = script(
            folder.path(),
            "program",
            "echo out; echo err >&2; umask; [ -e /proc/self/fd/3 ] && echo 3; [ -e /proc/self/fd/4 ] && echo 4; true",
        );
        for _ in 0..2 {
            assert_eq!(supervised(shell, folder.path(), service("app", &[&program])), "", "{shell:?}");
        }
        let log = folder.path().join("log/app.log");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "out\nerr\n0022\n".repeat(2), "{shell:?}");
        assert_eq!(std::fs::metadata(log).unwrap().permissions().mode() & 0o777, 0o600, "{shell:?}");
    }
}
