//! `base: {image: …}`: what the image says of itself reaches the guest.

use smolvm_build::Events;
use smolvm_vm::Machine;

use super::build_by_docker;
use super::debian::{DebianImage, debian_by_docker};
use crate::archive::report;
use crate::support::{Project, machine, runtime};

/// No shell is in its PATH, and its user is not root.
const CHANGES: [&str; 6] = [
    "ENV PATH=/opt/app/bin",
    "ENV GREETING=\"it's a \\$HOME\" FLAVOUR=image",
    "USER www-data",
    "WORKDIR /var/lib",
    "ENTRYPOINT [\"/bin/sh\", \"-c\"]",
    "CMD [\"echo \\\"$(id -un) $PWD $GREETING\\\"\"]",
];

#[test]
fn what_a_base_image_says_of_itself_reaches_the_guest() {
    let Some(docker) = debian_by_docker() else { return };
    let base = DebianImage::import(&docker, "smolvm-test:says-much", &CHANGES);
    let smolfile = format!(
        "name: inherited\nbase: {{image: \"{}\"}}\nsize: 1GiB\nenv: {{FLAVOUR: smolfile}}\nusers: [{{name: dev}}]\n\
         run:\n  - {{command: id -un > who, user: dev, workdir: /home/dev}}\n  - id -un > /opt/root\n",
        base.name()
    );
    let project = Project::new(&smolfile).with("DOCKER_HOST", &docker);
    let image = build_by_docker(&project, &Events::silent()).unwrap_or_else(|error| panic!("{}", report(&error)));
    let checks = [
        ("echo \"$GREETING\"", "it's a $HOME\n"),
        ("echo $FLAVOUR", "smolfile\n"),
        ("echo $PATH | cut -d: -f1", "/opt/app/bin\n"),
        ("/etc/smolvm/command", "www-data /var/lib it's a $HOME\n"),
        ("cat /home/dev/who /opt/root", "dev\nroot\n"),
        ("id -un", "root\n"),
        ("dpkg --audit", ""),
    ];
    runtime().block_on(async {
        let guest = Machine::boot(&machine(&image, project.path()), &|_| {}).await.unwrap();
        for (command, expected) in checks {
            let said = guest.command(Some(&["sh", "-c", command])).output().await.unwrap();
            assert_eq!(String::from_utf8_lossy(&said.stdout), expected, "{command}: {said:?}");
        }
        guest.power_off(&|_| {}).await.unwrap();
    });
}
