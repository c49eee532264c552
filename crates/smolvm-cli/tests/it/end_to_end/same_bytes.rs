//! The same bytes, whoever builds, where, when and how. `docs/reproducibility.md` says what is done for it, and names the tests that turn red
//! when a part of that is taken out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use smolvm_build::{BuildOptions, Events, Host};

use super::compared::Files;
use super::plain_user::PlainUser;
use super::surroundings::{Ground, Mount, Surroundings, listing_order};
use crate::support::ran;

const EXAMPLE: &str = include_str!("../../../../../Smolfile.example.yaml");

/// What a build of the example takes out of a store, by how much is in there.
const NOTHING: &[&str] = &[];
const BASE: &[&str] = &["base", "kernel"];
const PACKAGES: &[&str] = &["base", "packages", "kernel"];
const STEPS: &[&str] = &["base", "packages", "users", "files", "run", "kernel"];

/// Root, with nothing of note.
const PLAINLY: Surroundings =
    Surroundings { user: None, one_processor: false, umask: "0022", hostname: "plain", environment: &[] };

/// A build of a project.
struct Trial<'a> {
    what: &'static str,
    surroundings: Surroundings<'a>,
    store: PathBuf,
    reused: &'static [&'static str],
}

impl Trial<'_> {
    /// Builds a copy of the project, which lies beside the store, from its lock and the download cache alone.
    fn build(&self, ground: &Ground, project: &Path) -> Files {
        let Self { what, surroundings, store, reused } = self;
        let beside = store.parent().expect("a folder");
        let folder = tempfile::Builder::new().tempdir_in(beside).expect("a folder").keep();
        copy_of(project, &folder);
        if surroundings.user.is_some() {
            std::fs::create_dir_all(store).expect("a store");
            ground.give_to_user(store);
            ground.give_to_user(&folder);
        }
        surroundings.check(&folder);
        let mut command = surroundings.command(&ground.binary, &folder);
        // The first build and the one a year ahead are in memory.
        command.args(["build", "--locked", "--offline", "--json", "--scratch-memory", "0", "--image-dir"]).arg(store);
        let built = ran(command.env("SMOLVM_CACHE_DIR", &ground.cache)).expect_code(0).data();
        assert_eq!(reused_layers(&built), *reused, "{what}");
        Files::of(&built, &folder)
    }
}

/// The layers of a new image that came out of the cache.
fn reused_layers(built: &Value) -> Vec<&str> {
    assert_eq!(built["cached"], false, "the image was there: {built}");
    let layers = built["layers"].as_array().expect("layers");
    layers.iter().filter(|layer| layer["cached"] == true).filter_map(|layer| layer["name"].as_str()).collect()
}

fn copy_of(project: &Path, folder: &Path) {
    for name in ["Smolfile.yaml", "Smolfile.lock"] {
        std::fs::copy(project.join(name), folder.join(name)).expect("a copy");
    }
}

/// Ten builds from one lock. What is not covered: scripts in the sandbox ask the kernel for the time, and here is one kernel. All that they
/// make is younger than the lock in any case.
#[test]
fn ten_builds_in_ten_surroundings_give_one_image() {
    let Some(ground) = Ground::new("smolvm-ten") else { return };
    let user = Some(&ground.user);
    let [disk, memory, other] = ["disk", "memory", "other"].map(|name| ground.folder.path().join(name));
    std::fs::create_dir(&disk).expect("a folder");
    let _mounts = (Mount::in_memory(&memory), Mount::with_another_seed(&other));
    let [on_disk, in_memory, with_other_seed] = [&disk, &memory, &other].map(|place| listing_order(place));
    assert!(on_disk != in_memory && in_memory != with_other_seed && with_other_seed != on_disk, "one order of folders");

    // The first one is what the others are compared with, and also what downloads.
    let project = ground.locked_project("example", EXAMPLE);
    let first = ground.first_build(&project);
    ground.copy_cache();
    let expect_same = |what: &str, files: &Files| {
        let differences = first.differences(files);
        assert!(differences.is_empty(), "{what}, and the image is another one:\n{differences}");
    };
    let try_it = |trial: &Trial<'_>| expect_same(trial.what, &trial.build(&ground, &project));

    for trial in cold_builds(&ground.user, &disk, &memory, &other) {
        try_it(&trial);
    }
    let users = disk.join("users");
    ground.expect_removable(&other.join("fourth"));
    let ahead = memory.join("sixth");
    expect_same("a clock that is a year ahead", &build_in_a_year(&ground, &project, &ahead));

    remove_image(&ground, &users);
    try_it(&Trial {
        what: "every layer made by a plain user",
        surroundings: Surroundings { umask: "0027", hostname: "seventh", ..PLAINLY },
        store: users,
        reused: STEPS,
    });
    remove_image(&ground, &ahead);
    try_it(&Trial {
        what: "every layer made a year ahead",
        surroundings: Surroundings { environment: &[("LANG", "C"), ("HOME", "/nonexistent")], ..PLAINLY },
        store: ahead,
        reused: STEPS,
    });

    // Layers that were made for other projects.
    let (bare, similar) = (other.join("bare"), other.join("similar"));
    let project_bare = ground.locked_project("bare", "base: debian:bookworm\npackages: [less]\n");
    build_in(&ground, &project_bare, &bare);
    ran(Command::new("cp").arg("-a").args([&bare, &similar])).expect_code(0);
    try_it(&Trial {
        what: "one processor, a base that another project has made",
        surroundings: Surroundings { one_processor: true, umask: "0077", hostname: "ninth", ..PLAINLY },
        store: bare,
        reused: BASE,
    });
    let project_similar = ground.folder.path().join("similar");
    std::fs::create_dir(&project_similar).expect("a folder");
    copy_of(&project, &project_similar);
    let similar_smolfile = EXAMPLE.replace("Built from", "Made of").replace("name: example", "name: similar");
    std::fs::write(project_similar.join("Smolfile.yaml"), similar_smolfile).expect("a Smolfile");
    build_in(&ground, &project_similar, &similar);
    try_it(&Trial {
        what: "a plain user, packages that root has installed for another project",
        surroundings: Surroundings { user, hostname: "tenth", environment: &[("TZ", "XXX+12")], ..PLAINLY },
        store: similar,
        reused: PACKAGES,
    });
}

/// With nothing in the store.
fn cold_builds<'a>(user: &'a PlainUser, disk: &Path, memory: &Path, other: &Path) -> [Trial<'a>; 4] {
    let user = Some(user);
    [
        Trial {
            what: "one processor, a store in memory, another time zone and language, umask 077",
            surroundings: Surroundings {
                one_processor: true,
                umask: "0077",
                hostname: "second.example",
                environment: &[("TZ", "XXX-14"), ("LANG", "tr_TR.UTF-8"), ("TMPDIR", "/dev/shm")],
                ..PLAINLY
            },
            store: memory.join("second"),
            reused: NOTHING,
        },
        Trial {
            what: "a plain user with umask 077",
            surroundings: Surroundings { user, umask: "0077", ..PLAINLY },
            store: disk.join("users"),
            reused: NOTHING,
        },
        Trial {
            what: "a plain user, one processor, a disk whose folders have another order",
            surroundings: Surroundings {
                user,
                one_processor: true,
                hostname: "a-name-that-is-longer-than-any-other",
                environment: &[("TZ", "America/St_Johns"), ("LC_ALL", "C"), ("TMPDIR", "/nonexistent")],
                ..PLAINLY
            },
            store: other.join("fourth"),
            reused: NOTHING,
        },
        Trial {
            what: "a plain user, a store in memory, umask 000, settings of Python and dpkg",
            surroundings: Surroundings {
                user,
                umask: "0000",
                environment: &[
                    ("LC_ALL", "ja_JP.eucJP"),
                    ("PYTHONHASHSEED", "7"),
                    ("PYTHONDONTWRITEBYTECODE", "1"),
                    ("SOURCE_DATE_EPOCH", "1"),
                    ("DPKG_FORCE", "unsafe-io"),
                    ("DEBIAN_FRONTEND", "text"),
                    ("XDG_CONFIG_HOME", "/nonexistent"),
                ],
                ..PLAINLY
            },
            store: memory.join("fifth"),
            reused: NOTHING,
        },
    ]
}

impl Ground {
    /// A plain user's store goes away without root: what sub-ids own would not.
    fn expect_removable(&self, store: &Path) {
        let by_user = Surroundings { user: Some(&self.user), ..PLAINLY };
        // In a folder that is root's, so that the store itself stays.
        let mut command = by_user.command(Path::new("find"), store);
        ran(command.args([".", "-mindepth", "1", "-delete"])).expect_code(0);
        assert_eq!(std::fs::read_dir(store).expect("the store").count(), 0);
    }
}

impl Ground {
    /// Of a locked project, with downloads.
    fn first_build(&self, project: &Path) -> Files {
        let mut command = self.smolvm(project);
        command.env("SMOLVM_CACHE_DIR", super::shared::download_cache());
        let built = ran(command.args(["build", "--locked", "--json", "--image-dir", "images"])).expect_code(0).data();
        assert_eq!(reused_layers(&built), NOTHING);
        Files::of(&built, project)
    }
}

fn build_in(ground: &Ground, project: &Path, store: &Path) {
    ran(ground.smolvm(project).args(["build", "--image-dir"]).arg(store)).expect_code(0);
}

fn remove_image(ground: &Ground, store: &Path) {
    ran(ground.smolvm(store).args(["image", "rm", "example", "--image-dir", "."])).expect_code(0);
}

/// By the library, which is told the time. An index would have expired by then: the lock is what is trusted.
fn build_in_a_year(ground: &Ground, project: &Path, store: &Path) -> Files {
    let host = Host::new([], SystemTime::now() + Duration::from_hours(366 * 24));
    let mut options = BuildOptions::new(project.join("Smolfile.yaml"), host);
    store.clone_into(&mut options.image_dir);
    options.cache_dir.clone_from(&ground.cache);
    (options.locked, options.offline) = (true, true);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let built = runtime.block_on(smolvm_build::build(&options, &Events::silent())).expect("an image");
    let built = serde_json::to_value(built).expect("JSON");
    assert_eq!(reused_layers(&built), NOTHING);
    Files::of(&built, store)
}

/// A step that writes random bytes to every path of the list of what is removed, and what it sees of its surroundings into a file that stays.
fn telltale() -> String {
    let page = include_str!("../../../../../docs/reproducibility.md");
    let paths: Vec<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `/")?.split_once('`'))
        .map(|(path, _)| format!("/{}", path.replace('*', "trace")))
        .collect();
    assert!(paths.len() > 30, "the list is not where it was: {paths:?}");
    let step = r#"for path in PATHS; do
        mkdir -p ${path%/*}
        head -c 64 /dev/urandom > $path || echo $path is not writable
      done
      { id; umask; hostname; pwd; env | sort; cat /proc/cmdline; ls /sys; } > /etc/surroundings
      mkdir /etc/order
      for name in $(shuf -i 1-500); do touch /etc/order/$name; done
      for name in $(shuf -i 1-50); do ln /etc/order/250 /etc/order/link-$name; done
      days=$(od -An -N1 -tu1 /dev/urandom | tr -d ' ')
      sed -i "s/^\(daemon:[^:]*\):[^:]*/\1:1$days/" /etc/shadow
      useradd --create-home by-a-step
"#;
    let step = step.replace("PATHS", &paths.join(" "));
    format!("name: telltale\nbase: debian:bookworm\nssh: false\nrun:\n  - network: false\n    command: |\n      {step}")
}

/// Every rule of the list, times, order, owners, ages of passwords and the environment of steps, in one image.
#[test]
fn a_step_leaves_no_trace_of_when_where_and_by_whom() {
    let Some(ground) = Ground::new("smolvm-telltale") else { return };
    let memory = ground.folder.path().join("memory");
    let _mount = Mount::in_memory(&memory);
    let project = ground.locked_project("telltale", &telltale());
    let first = ground.first_build(&project);
    ground.copy_cache();
    let second = Trial {
        what: "a plain user, one processor, a store in memory",
        surroundings: Surroundings {
            user: Some(&ground.user),
            one_processor: true,
            umask: "0077",
            hostname: "elsewhere",
            environment: &[("TZ", "XXX-14"), ("LANG", "tr_TR.UTF-8"), ("EDITOR", "vi")],
        },
        store: memory.join("second"),
        reused: NOTHING,
    };
    let differences = first.differences(&second.build(&ground, &project));
    assert!(differences.is_empty(), "{differences}");
}

/// What a colleague has: the Smolfile, its lock, what they name, and the digest that somebody has written down.
#[test]
fn a_clone_elsewhere_gives_the_digest_that_the_first_one_recorded() {
    let Some(ground) = Ground::new("smolvm-clone") else { return };
    let smolfile = EXAMPLE.replace("files:\n", "files:\n  - {source: conf, target: /etc/conf}\n");
    assert_ne!(smolfile, EXAMPLE);
    let project = ground.folder.path().join("first");
    std::fs::create_dir_all(project.join("conf")).expect("a folder");
    std::fs::write(project.join("conf/settings"), "one\n").expect("a file");
    std::fs::write(project.join("conf/start"), "#!/bin/sh\n").expect("a file");
    ran(Command::new("chmod").arg("+x").arg(project.join("conf/start"))).expect_code(0);
    let project = ground.locked_project("first", &smolfile);
    let first = ground.first_build(&project);
    ground.copy_cache();
    std::fs::write(project.join("digest"), first.digest()).expect("a file");
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@example.org"]).args(words).current_dir(&project);
        ran(&mut command).expect_code(0);
    };
    git(&["init", "--quiet"]);
    git(&["add", "Smolfile.yaml", "Smolfile.lock", "conf", "digest"]);
    git(&["commit", "--quiet", "--message", "An image"]);

    // Nothing answers in a network without devices.
    let build_clone = |name: &str, umask: &str, words: &[&str], cache: &Path| {
        let clone = ground.folder.path().join("elsewhere/deeper").join(name);
        std::fs::create_dir_all(clone.parent().expect("a folder")).expect("a folder");
        let script = r#"umask "$1" && git clone --quiet first "$2""#;
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", umask]).arg(&clone).current_dir(ground.folder.path());
        ran(&mut command).expect_code(0);
        let mut command = PLAINLY.command(Path::new("unshare"), &clone);
        command.args(["--net", "--"]).arg(&ground.binary).args(["build", "--json", "--locked"]).args(words);
        for archive in ["DEBIAN", "DEBIAN_SECURITY"] {
            command.env(format!("SMOLVM_MIRROR_{archive}"), "http://127.0.0.1:9/nobody");
        }
        (ran(command.env("SMOLVM_CACHE_DIR", cache)), clone)
    };
    for (name, umask, words) in [("second", "077", &[][..]), ("third", "002", &["--offline"])] {
        let (built, clone) = build_clone(name, umask, words, &ground.cache);
        let built = built.expect_code(0).data();
        assert_eq!(reused_layers(&built), NOTHING);
        let files = Files::of(&built, &clone);
        let recorded = std::fs::read_to_string(clone.join("digest")).expect("the digest");
        assert_eq!(recorded, files.digest(), "{name}:\n{}", first.differences(&files));
    }
    // The mirrors are as far away as is said.
    let (failed, _) = build_clone("fourth", "022", &[], &ground.folder.path().join("nothing"));
    assert_eq!(failed.expect_code(1).envelope()["error"]["code"], "smolvm::fetch::unavailable");
}
