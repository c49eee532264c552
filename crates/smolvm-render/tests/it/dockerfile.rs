//! The Dockerfile as Docker splits it: no value may become an instruction.

use smolvm_manifest::Distro;
use smolvm_render::render;

use crate::fixture::{full, map, step};

/// Docker's lines: a backslash at a line's end joins it with the next.
fn instructions(text: &str) -> Vec<String> {
    let mut instructions = Vec::new();
    let mut joined = String::new();
    for line in text.lines() {
        if joined.is_empty() && (line.is_empty() || line.starts_with('#')) {
            continue;
        }
        match line.trim_end().strip_suffix('\\') {
            Some(start) => joined.push_str(start),
            None => instructions.push(std::mem::take(&mut joined) + line),
        }
    }
    assert!(joined.is_empty(), "the last line has no end: {joined}");
    instructions
}

#[test]
fn every_line_is_an_instruction_of_ours() {
    let hostile = "x\nRUN evil\\\n# \"'$(id)`id`<<EOF\\";
    for distro in Distro::ALL {
        let mut locked = full(distro);
        let manifest = &mut locked.manifest;
        manifest.files[0].target = format!("/etc/{hostile}");
        manifest.run.push(smolvm_manifest::RunStep {
            env: map(&[("A", hostile)]),
            workdir: "/ends in \\".to_owned(),
            ..step(hostile)
        });
        manifest.ssh.as_mut().unwrap().password_hash = Some("$6$\\".to_owned());
        let text = render(&locked).unwrap().dockerfile;
        for instruction in instructions(&text) {
            let (word, rest) = instruction.split_once(' ').unwrap();
            let arguments = rest.split(' ').find(|word| !word.starts_with("--")).unwrap();
            let known = match word {
                "FROM" => rest == distro.name(),
                "COPY" => arguments.starts_with('['),
                "RUN" => {
                    arguments.starts_with('[') || rest.starts_with("apt-get update") || rest.starts_with("apk add")
                }
                "WORKDIR" | "USER" => true,
                _ => false,
            };
            assert!(known, "{distro:?}: {instruction}\n{text}");
            if rest.contains('[') && matches!(word, "COPY" | "RUN") {
                let array = &rest[rest.find('[').unwrap()..];
                serde_json::from_str::<Vec<String>>(array).unwrap_or_else(|error| panic!("{error}: {array}"));
            }
        }
        assert!(!text.contains("\nRUN evil"), "{text}");
    }
}

#[test]
fn only_steps_that_need_it_use_what_old_daemons_lack() {
    let mut locked = full(Distro::DebianBookworm);
    locked.manifest.run.clear();
    let text = render(&locked).unwrap().dockerfile;
    for option in ["--mount", "--network", "--chmod", "# syntax"] {
        assert!(!text.contains(option), "{option}: {text}");
    }
}

#[test]
fn packages_are_pinned_as_the_lock_has_them() {
    let mut locked = full(Distro::DebianBookworm);
    locked.lock.packages[1].arch = "i386".to_owned();
    let text = render(&locked).unwrap().dockerfile;
    for pin in ["adduser=3.134", "base-files:i386=12.4+deb12u12", "openssh-server=1:9.2p1-2+deb12u7"] {
        assert!(text.contains(&format!(" {pin} ")), "{pin}: {text}");
    }
}

/// `COPY --chown` would give the folders that it makes to the file's owner.
#[test]
fn folders_of_files_with_an_owner_are_made_first_and_the_root_folder_is_there() {
    let mut locked = full(Distro::DebianBookworm);
    let owner = locked.manifest.files.iter().find_map(|file| file.owner.clone());
    let file = |target: &str, owner: Option<smolvm_manifest::Owner>| smolvm_manifest::FileEntry {
        target: target.to_owned(),
        content: smolvm_manifest::FileContent::Inline("x".to_owned()),
        mode: Some(0o644),
        owner,
    };
    let mut folders = |files: Vec<smolvm_manifest::FileEntry>| {
        locked.manifest.files = files;
        let text = render(&locked).unwrap().dockerfile;
        text.lines().find(|line| line.contains("mkdir -p")).map(str::to_owned)
    };
    assert!(owner.is_some());
    assert_eq!(folders(vec![file("/tool", owner.clone()), file("/opt/nobodys", None)]), None);
    let several = vec![file("/b c/x", owner.clone()), file("/a/x", owner.clone()), file("/a/y", owner)];
    let made = r#"RUN ["/bin/sh", "-ec", "mkdir -p -- /a '/b c'"]"#;
    assert_eq!(folders(several).as_deref(), Some(made));
}
