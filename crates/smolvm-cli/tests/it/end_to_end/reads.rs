//! What a build reads of the machine that it runs on.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::shared::{download_cache, has, host_has_debian_sources, needs};
use crate::support::{project, ran, smolvm, smolvm_at};

/// What may be opened beside the image, the store, the download cache and the declared inputs, and why. `*` stands for any characters of a name,
/// `**` for all that is below.
const ALLOWED: &[(&str, &str)] = &[
    ("/usr/lib/*/*.so.*", "a library of the binary"),
    ("/lib/*/*.so.*", "the same, where /lib is no link"),
    ("/etc/ld.so.cache", "where libraries are"),
    ("/usr/lib/os-release", "whether the host's mirrors have the base's distribution"),
    ("/etc/os-release", "the same, where it is no link"),
    ("/etc/apt/sources.list", "the host's mirrors: where bytes come from, not which"),
    ("/etc/apt/sources.list.d", "likewise"),
    ("/etc/apt/sources.list.d/*", "likewise"),
    ("/dev/null", "the standard streams of the sandbox"),
    ("/dev/zero", "a device of the sandbox, mounted there"),
    ("/dev/full", "likewise"),
    ("/dev/random", "likewise"),
    ("/dev/urandom", "likewise"),
    ("/dev/tty", "likewise"),
    ("/dev/dev/*", "where these are mounted: the sandbox's own root, while it still hangs on /dev"),
    ("/proc/*/maps", "the stack of the first thread, by the standard library"),
    ("/proc/*/stat", "where the strings are with which the sandbox was started, to erase them"),
    ("/proc/*/uid_map", "written, not read: the users of the sandbox"),
    ("/proc/*/gid_map", "likewise"),
    ("/proc/*/cgroup", "how many threads to start, in a container"),
    ("/proc/*/mountinfo", "likewise"),
    ("/proc/sys/vm/overcommit_memory", "how to give memory back, by the C library"),
    ("/sys/fs/cgroup/**", "likewise"),
    ("/proc/meminfo", "how much memory the files of the build may take"),
    ("user:*", "the namespaces in which that memory is mounted"),
    ("mnt:*", "likewise"),
    ("/sys/devices/system/cpu/online", "how many threads to start"),
];

const SMOLFILE: &str = r#"
name: traced
base: debian:bookworm
packages: [less]
users: [{name: dev, uid: 1000}]
files:
  - {source: conf, target: /etc/conf}
run:
  - {command: "cat /etc/conf/settings > seen", workdir: /home/dev, user: dev, network: false}
"#;

#[test]
fn a_build_opens_nothing_but_the_image_the_store_and_its_declared_inputs() {
    let here = rustix::process::geteuid().is_root() && has("strace");
    if !needs("root or strace", here) || !needs("an apt mirror of Debian", host_has_debian_sources()) {
        return;
    }
    let (scratch, project) = project(SMOLFILE);
    let (home, store) = (scratch.path().join("home"), scratch.path().join("images"));
    for undeclared in ["project/notes.txt", "project/.env", "home/.ssh/id_ed25519", "home/.gitconfig", "home/.netrc"] {
        let path = scratch.path().join(undeclared);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, "private\n").expect("a file");
    }
    std::fs::create_dir(project.join("conf")).expect("a folder");
    std::fs::write(project.join("conf/settings"), "one\n").expect("a file");
    let first =
        smolvm(&project).args(["build", "--image-dir", "../first"]).env("SMOLVM_CACHE_DIR", download_cache()).output();
    assert!(first.expect("the binary starts").status.success(), "what is traced has nothing to download");

    let (trace, binary) = (scratch.path().join("trace"), env!("CARGO_BIN_EXE_smolvm"));
    let mut command = smolvm_at(Path::new("strace"), &project);
    command.env("HOME", &home).env("SMOLVM_CACHE_DIR", download_cache());
    command.args(["-f", "-y", "-qq", "--seccomp-bpf", "--pidns-translation", "-o"]).arg(&trace);
    command.args([
        "-e",
        "trace=open,openat,openat2,open_tree,creat,execve,execveat,connect,pivot_root,clone,clone3,fork,vfork",
    ]);
    command.args([binary, "build", "--locked", "--offline", "--json", "--image-dir"]).arg(&store);
    let built = ran(&mut command).expect_code(0).data();
    assert_eq!(built["cached"], false);

    let trace = std::fs::read_to_string(trace).expect("a trace");
    let seen = opened(&trace);
    let declared = ["", "Smolfile.yaml", "Smolfile.lock", "conf", "conf/settings"].map(|name| project.join(name));
    let own = |path: &Path| {
        path == Path::new(binary)
            || path.starts_with(&store)
            || path.starts_with(download_cache())
            || declared.iter().any(|declared| declared == path)
    };
    let strange: Vec<&String> = seen
        .iter()
        .filter(|path| !own(Path::new(path)) && !ALLOWED.iter().any(|(pattern, _)| fits(pattern, path)))
        .collect();
    assert!(strange.is_empty(), "neither image, store nor declared input, and not in the list above: {strange:#?}");
    // Something was seen of each kind: the trace is not empty, nor taken for the sandbox's.
    for path in [&project.join("conf/settings"), &store.join("index/traced"), Path::new("/dev/null"), Path::new(binary)]
    {
        assert!(seen.iter().any(|seen| Path::new(seen) == path), "{} was not seen: {seen:#?}", path.display());
    }
    assert!(trace.contains("/etc/conf/settings"), "the step's own reading was not traced");
}

/// What was opened, executed or connected to by processes that were not in the sandbox's own root yet.
fn opened(trace: &str) -> BTreeSet<String> {
    let calls = calls(trace);
    let mut entered: HashMap<u32, usize> = HashMap::new();
    let mut parents: HashMap<u32, (u32, usize)> = HashMap::new();
    for (index, (process, call)) in calls.iter().enumerate() {
        let Some((_, result)) = call.rsplit_once(") = ") else { continue };
        if call.starts_with("pivot_root(") && result == "0" {
            entered.entry(*process).or_insert(index);
        }
        if ["clone(", "clone3(", "fork(", "vfork("].iter().any(|name| call.starts_with(name)) {
            // `2 /* 3803 in strace's PID NS */` for a process that has another number in the sandbox.
            let number = result.split_once("/* ").map_or(result, |(_, number)| number);
            if let Some(child) = number.split(' ').next().and_then(|number| number.parse().ok()) {
                parents.insert(child, (*process, index));
            }
        }
    }
    let is_inside = |mut process: u32, mut index: usize| {
        while entered.get(&process).is_none_or(|entry| index <= *entry) {
            let Some(&(parent, born)) = parents.get(&process) else { return false };
            (process, index) = (parent, born);
        }
        true
    };
    let outside = calls.iter().enumerate().filter(|(index, (process, _))| !is_inside(*process, *index));
    outside.filter_map(|(_, (_, call))| what_was_opened(call)).collect()
}

/// The calls of a trace with their process, in the order in which they began; those that others interrupted are put together.
fn calls(trace: &str) -> Vec<(u32, String)> {
    let mut calls: Vec<(u32, String)> = Vec::new();
    let mut unfinished: HashMap<u32, usize> = HashMap::new();
    for line in trace.lines() {
        let Some((process, call)) = line.split_once(' ') else { continue };
        let (process, call) = (process.parse().expect("a process"), call.trim());
        if let Some(start) = call.strip_suffix("<unfinished ...>") {
            unfinished.insert(process, calls.len());
            calls.push((process, start.trim_end().to_owned()));
        } else if let Some((_, rest)) = call.split_once(" resumed>").filter(|_| call.starts_with("<... ")) {
            if let Some(index) = unfinished.remove(&process) {
                calls[index].1 += rest;
            }
        } else {
            calls.push((process, call.to_owned()));
        }
    }
    // The result of a short call is set off by more than one space.
    for (_, call) in &mut calls {
        if let Some((arguments, result)) = call.split_once(")  ") {
            *call = format!("{arguments}) {}", result.trim_start());
        }
    }
    calls
}

/// The name of what a call has opened, as the kernel knows it; nothing for one that failed.
fn what_was_opened(call: &str) -> Option<String> {
    let (arguments, result) = call.rsplit_once(") = ")?;
    if result.starts_with('-') && !arguments.starts_with("connect(") {
        return None;
    }
    if arguments.starts_with("execve") {
        return Some(arguments.split('"').nth(1)?.to_owned());
    }
    if arguments.starts_with("connect(") {
        return Some(arguments.to_owned());
    }
    if let Some(arguments) = arguments.strip_prefix("open_tree(") {
        // What is mounted nowhere yet has no name but `/`.
        let (folder, rest) = arguments.split_once('<')?.1.split_once(">, \"")?;
        let path = Path::new(folder).join(rest.split('"').next()?);
        return Some(path.components().collect::<PathBuf>().to_str()?.to_owned());
    }
    arguments.strip_prefix("open").or_else(|| arguments.strip_prefix("creat"))?;
    let (_, path) = result.split_once('<')?;
    Some(path.rsplit_once('>')?.0.to_owned())
}

fn fits(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut names) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), names.next()) {
            (Some("**"), Some(_)) | (None, None) => return true,
            (Some(wanted), Some(name)) if name_fits(wanted, name) => {}
            _ => return false,
        }
    }
}

fn name_fits(wanted: &str, name: &str) -> bool {
    match wanted.split_once('*') {
        None => wanted == name,
        Some((start, rest)) => {
            let Some(name) = name.strip_prefix(start) else { return false };
            (0..=name.len()).filter(|at| name.is_char_boundary(*at)).any(|at| name_fits(rest, &name[at..]))
        }
    }
}

#[test]
fn a_trace_tells_what_is_read_outside_of_the_sandbox() {
    let trace = r#"10    execve("/bin/smolvm", ["smolvm"], 0x7ffd /* 20 vars */) = 0
10    openat(AT_FDCWD</home>, "secret", O_RDONLY|O_CLOEXEC) = 3</home/secret>
10    openat(AT_FDCWD</home>, "missing", O_RDONLY) = -1 ENOENT (No such file or directory)
10    clone3({flags=CLONE_VM|CLONE_THREAD} => {parent_tid=[11]}, 88) = 11
11    openat(AT_FDCWD</home>, "thread", O_RDONLY <unfinished ...>
10    clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>
11    <... openat resumed>)             = 4</home/of-a-thread>
12    openat(AT_FDCWD</home>, "early", O_RDONLY) = 3</home/before-the-sandbox>
10    <... clone resumed>, child_tidptr=0x7f) = 12
12    open_tree(AT_FDCWD</home>, ".", OPEN_TREE_CLONE) = 3</>
12    pivot_root(".", ".")              = 0
12    openat(3</scratch>, "x", O_RDONLY) = 4</scratch/in-the-sandbox>
13    openat(AT_FDCWD</>, "x", O_RDONLY) = 4</of-its-child>
12    clone(child_stack=NULL, flags=SIGCHLD) = 2 /* 13 in strace's PID NS */
13    vfork()                           = 3 /* 14 in strace's PID NS */
14    execve("/usr/bin/in-the-image", ["x"], 0x55 /* 6 vars */) = 0
11    connect(5<socket:[1]>, {sa_family=AF_UNIX, sun_path="/run/nscd"}, 110) = -1 ENOENT (No such file or directory)
11    openat(AT_FDCWD</home>, "x", O_RDWR|O_TMPFILE, 0600) = 5</home/#1 = 2> (deleted)
"#;
    let expected = [
        "/bin/smolvm",
        "/home",
        "/home/#1 = 2",
        "/home/before-the-sandbox",
        "/home/of-a-thread",
        "/home/secret",
        r#"connect(5<socket:[1]>, {sa_family=AF_UNIX, sun_path="/run/nscd"}, 110"#,
    ];
    let seen = opened(trace);
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    for (pattern, path, expected) in [
        ("/usr/lib/*/*.so.*", "/usr/lib/x86_64-linux-gnu/libc.so.6", true),
        ("/usr/lib/*/*.so.*", "/usr/lib/x86_64-linux-gnu/deeper/libc.so.6", false),
        ("/usr/lib/*/*.so.*", "/usr/lib/python3/secret", false),
        ("/sys/fs/cgroup/**", "/sys/fs/cgroup/a/b", true),
        ("/sys/fs/cgroup/**", "/sys/fs/other/a", false),
        ("/dev/null", "/dev/nullx", false),
    ] {
        assert_eq!(fits(pattern, path), expected, "{pattern} {path}");
    }
}
