//! The Smolfile that `smolvm init` writes.

/// A starter Smolfile for an image of this name, which must fit (`[a-z0-9][a-z0-9._-]*`).
///
/// Its first line tells editors where the schema lies: the caller puts [`crate::schema_text`] there.
pub fn starter(name: &str) -> String {
    TEXT.replace("NAME", name)
}

const TEXT: &str = r#"# yaml-language-server: $schema=.smolvm/smolfile.schema.json
#
# smolvm build                    builds this image
# smolvm run NAME -- uname -a     boots it and runs a command in it

version: 1
name: NAME
base: debian:bookworm             # or debian:trixie, ubuntu:24.04, ubuntu:22.04
packages: [curl, git]             # each a name, or "name=1.2.*"

# size: 4GiB                      # of the root file system; left out, it fits its content

# env: {EDITOR: vim}              # for ssh commands, login shells and services

# ssh:
#   authorized_keys: [~/.ssh/id_ed25519.pub]

# users:
#   - {name: dev, shell: /bin/bash, authorized_keys: [~/.ssh/id_ed25519.pub]}

# files:
#   - {target: /etc/motd, content: "hello\n"}
#   - {source: app.conf, target: /etc/app.conf, mode: "0644"}

# run:
#   - {command: echo built > /etc/built, network: false}
"#;
