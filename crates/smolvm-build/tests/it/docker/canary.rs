//! Passwords and secrets reach what needs them, and nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::build_by_docker;
use super::daemon::Docker;
use crate::secrets::holds;
use crate::support::{debian_host, has, recording};

const PASSWORD: &str = "canary-password-41c7";
const TOKEN: &str = "canary-token-9e02";

/// The step sees the token, prints it, and has it in its environment for as long as somebody may look.
const STEP: &str = r"
users:
  - {name: dev, uid: 1000, password: {from_env: LOGIN_PASSWORD}}
run:
  - command: |
      test -s /run/secrets/TOKEN
      wc -c < /run/secrets/TOKEN > /token-length
      cat /run/secrets/TOKEN
      sleep 2
    secrets: [TOKEN]
  - test ! -e /run/secrets/TOKEN
secrets: {TOKEN: {from_env: MY_TOKEN}}
";

#[test]
fn neither_password_nor_secret_is_found_anywhere() {
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    let Some(docker) = Docker::of_tests() else { return };
    let image = docker.import("canary");
    let project = image.project(STEP).with("MY_TOKEN", TOKEN).with("LOGIN_PASSWORD", PASSWORD);
    let smolfile = fs_err::read_to_string(project.path().join("Smolfile.yaml")).unwrap();
    let with_ssh = smolfile.replace("ssh: false", "ssh: {password: {from_env: LOGIN_PASSWORD}}");
    fs_err::write(project.path().join("Smolfile.yaml"), with_ssh).unwrap();

    let watch = Watch::start(docker.address.clone());
    let (events, said) = recording();
    let built = build_by_docker(&project, &events).unwrap();
    let seen = watch.end();

    let said = said.lock().unwrap();
    assert!(said.contains("********"), "the step printed it, and that was shown blotted out: {said}");
    assert!(seen.iter().any(|text| text.contains("sleep 2")), "the processes of the step were not looked at: {seen:?}");
    assert!(seen.iter().any(|text| text.contains("\"smolvm.owner\"")), "nor the image: {seen:?}");
    assert!(!said.contains("$6$"), "the hash of a password is in an event: {said}");
    for canary in [PASSWORD, TOKEN] {
        assert!(!said.contains(canary), "{canary} is in an event");
        assert!(!format!("{built:?}").contains(canary));
        for text in &seen {
            assert!(!text.contains(canary), "{canary} is seen from outside: {text}");
        }
        for entry in walkdir::WalkDir::new(project.path()).into_iter().map(Result::unwrap) {
            let is_file = entry.file_type().is_file();
            assert!(!is_file || !holds(entry.path(), canary.as_bytes()), "{canary} is in {}", entry.path().display());
        }
    }
    assert!(holds(&built.rootfs, b"token-length"), "the step ran, and the search finds what is there");
    assert!(holds(&built.rootfs, b"dev:$6$") && holds(&built.rootfs, b"root:$6$"), "the passwords' hashes are there");
    assert_eq!(docker.left(), "");
}

#[test]
fn a_failing_step_shows_its_output_without_the_secret() {
    if !has("an apt mirror of Debian", debian_host()) {
        return;
    }
    let Some(docker) = Docker::of_tests() else { return };
    let image = docker.import("canary-failing");
    let project =
        image.project(&STEP.replace("sleep 2", "exit 9")).with("MY_TOKEN", TOKEN).with("LOGIN_PASSWORD", PASSWORD);
    let (events, said) = recording();
    let error = build_by_docker(&project, &events).expect_err("a failure");
    let told = super::told(&error);
    assert!(told.contains("********") && told.contains("smolvm::docker::step_failed"), "{told}");
    let log = fs_err::read_to_string(project.path().join("home/.smolvm/images/logs/tested.log")).unwrap();
    for canary in [PASSWORD, TOKEN] {
        for (place, text) in [("report", &told), ("log", &log), ("events", &*said.lock().unwrap())] {
            assert!(!text.contains(canary), "{canary} is in the {place}: {text}");
        }
    }
}

/// Looks at what others can see, again and again, while a build goes on.
struct Watch {
    ended: Arc<AtomicBool>,
    looking: std::thread::JoinHandle<BTreeSet<String>>,
}

impl Watch {
    fn start(address: String) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let docker = Docker { address };
        let looking = {
            let ended = Arc::clone(&ended);
            std::thread::spawn(move || {
                let mut seen = BTreeSet::new();
                while !ended.load(Ordering::Relaxed) {
                    seen.extend(processes());
                    seen.extend(histories(&docker));
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
                seen
            })
        };
        Self { ended, looking }
    }

    fn end(self) -> BTreeSet<String> {
        self.ended.store(true, Ordering::Relaxed);
        self.looking.join().unwrap()
    }
}

/// Command line and environment of every process but this one.
fn processes() -> impl Iterator<Item = String> {
    let this = std::process::id().to_string();
    let folders = std::fs::read_dir("/proc").unwrap().flatten();
    let folders = folders.filter(move |folder| {
        let name = folder.file_name().to_string_lossy().into_owned();
        name != this && name.bytes().all(|letter| letter.is_ascii_digit())
    });
    let read = |folder: std::fs::DirEntry| {
        ["cmdline", "environ"].map(|name| std::fs::read(folder.path().join(name)).unwrap_or_default())
    };
    folders.flat_map(read).map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
}

/// Labels and history of what smolvm has in the daemon at the moment. It may go away while it is looked at.
fn histories(docker: &Docker) -> Vec<String> {
    let images = docker.ask(&["images", "--all", "--quiet", "--filter", "label=smolvm.owner"]);
    let look = |image: &str, words: &[&str]| {
        let mut command = std::process::Command::new("docker");
        let output = command.arg("--host").arg(&docker.address).args(words).arg(image).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    images.lines().flat_map(|image| [look(image, &["history", "--no-trunc"]), look(image, &["inspect"])]).collect()
}
