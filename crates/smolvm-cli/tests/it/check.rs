//! `smolvm check`.

use crate::snapshot;
use crate::support::{project, ran, regex_of, run, smolvm};

#[test]
fn a_good_file() {
    let (_scratch, folder) = project("base: debian:bookworm\n");
    snapshot!(&folder, run(&folder, ["check"]), @r#"
    exit code: 0
    --- stdout
    Smolfile.yaml is valid: image project, debian:bookworm for [ARCH]
    "#);
    snapshot!(&folder, run(&folder, ["check", "--json"]), @r#"
    exit code: 0
    --- stdout
    {"ok":true,"command":"check","data":{"file":"Smolfile.yaml","name":"project","base":"debian:bookworm","arch":"[ARCH]","warnings":[]}}
    "#);
}

#[test]
fn warnings_do_not_fail() {
    let (_scratch, folder) = project("base: debian:bookworm\nssh: {password: hunter2}\n");
    snapshot!(&folder, run(&folder, ["check"]), @r#"
    exit code: 0
    --- stdout
    Smolfile.yaml is valid: image project, debian:bookworm for [ARCH]
    --- stderr
    smolvm::manifest::password

      ! the password of `root` stands in the Smolfile
       ,-[Smolfile.yaml:2:17]
     1 | base: debian:bookworm
     2 | ssh: {password: ********
       :                 ^^^|^^^
       :                    `-- everybody who reads the file knows it
       `----
      help: take it from the environment or a file: `password: {from_env: NAME}` or `{from_file:
            PATH}`
    "#);
}

/// All mistakes in one run, each with its line.
const BAD: &str = "bse: debian:bookworm\npackages: [git, Curl]\nsize: 4\nusers:\n  - {name: dev, uid: many}\n";

#[test]
fn a_bad_file() {
    let (_scratch, folder) = project(BAD);
    snapshot!(&folder, run(&folder, ["check"]), @r#"
    exit code: 2
    --- stderr
    smolvm::manifest

      x Smolfile.yaml: 4 mistakes

    Error: smolvm::manifest::unknown_key

      x unknown key `bse`
       ,-[Smolfile.yaml:1:1]
     1 | bse: debian:bookworm
       : ^|^
       :  `-- did you mean `base`?
     2 | packages: [git, Curl]
       `----
      help: valid keys: version, name, base, arch, size, packages, repositories, ssh, env, hostname,
            users, files, run, secrets, services, network, tmp, kernel, boot

    Error: smolvm::manifest::spelling

      x `packages[1]`: `Curl` is not a package
       ,-[Smolfile.yaml:2:17]
     1 | bse: debian:bookworm
     2 | packages: [git, Curl]
       :                 ^^|^
       :                   `-- has capital letters in it
     3 | size: 4
       `----
      help: it must be the name of a package, or name=version: lower-case letters, digits and `+` `-`
            `.`

    Error: smolvm::manifest::wrong_type

      x `size` must be a size, not a number
       ,-[Smolfile.yaml:3:7]
     2 | packages: [git, Curl]
     3 | size: 4
       :       |
       :       `-- this is a number
     4 | users:
       `----
      help: give it a unit: size: 4MiB

    Error: smolvm::manifest::wrong_type

      x `users[0].uid` must be a whole number from 1000 to 60000, not text
       ,-[Smolfile.yaml:5:22]
     4 | users:
     5 |   - {name: dev, uid: many}
       :                      ^^|^
       :                        `-- this is text
       `----
      help: for example: uid: 1000
    "#);
}

#[test]
fn a_bad_file_for_machines() {
    let (_scratch, folder) = project(BAD);
    let ran = run(&folder, ["check", "--json"]).expect_code(2);
    assert_eq!(ran.stderr, "");
    let error = &ran.envelope()["error"];
    assert!(error["mistakes"].as_array().is_some_and(|mistakes| mistakes.len() == 4), "{ran}");
    for mistake in error["mistakes"].as_array().into_iter().flatten() {
        assert_eq!(mistake["file"], "Smolfile.yaml", "{mistake}");
        assert!(mistake["line"].is_u64() && mistake["column"].is_u64(), "{mistake}");
        assert!(mistake["code"].is_string() && mistake["message"].is_string(), "{mistake}");
    }
}

#[test]
fn a_missing_file() {
    let scratch = tempfile::tempdir().expect("a folder");
    snapshot!(scratch.path(), run(scratch.path(), ["check"]), @r#"
    exit code: 2
    --- stderr
    smolvm::build::io

      x reading `Smolfile.yaml` failed: No such file or directory (os error 2)
      help: name it with `-f PATH`, or write a new one with `smolvm init`
    "#);
}

#[test]
fn another_file() {
    let (_scratch, folder) = project("nonsense: [\n");
    std::fs::write(folder.join("other.yaml"), "base: debian:trixie\nname: other\n").expect("a file");
    snapshot!(&folder, run(&folder, ["check", "-f", "other.yaml"]), @r#"
    exit code: 0
    --- stdout
    other.yaml is valid: image other, debian:trixie for [ARCH]
    "#);
}

/// The mistake is in the middle of 10,000 characters, and the report has room for 100.
#[test]
fn a_very_long_line() {
    let long = "x".repeat(5_000);
    let (_scratch, folder) =
        project(&format!("base: debian:bookworm\nrun: [echo {long}, {{user: dev, cmd: \"{long}\"}}]\n"));
    snapshot!(&folder, run(&folder, ["check"]), @r#"
    exit code: 2
    --- stderr
    smolvm::manifest

      x Smolfile.yaml: 1 mistake

    Error: smolvm::manifest::unknown_key

      x unknown key `cmd` in `run[1]`
       ,-[Smolfile.yaml:2:5026]
     1 | base: debian:bookworm
     2 | ...xxxxxxxxxxxxxxxx, {user: dev, cmd: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...
       :                                  ^|^
       :                                   `-- did you mean `command`?
       `----
      help: valid keys: command, workdir, user, env, network, secrets
    "#);
    let data = run(&folder, ["check", "--json"]).expect_code(2).envelope();
    assert_eq!(data["error"]["mistakes"][0]["column"], 5_026, "{data}");
}

/// As a service manager starts it.
#[test]
fn without_home_the_accounts_own_is_meant() {
    let (_scratch, folder) = project("base: debian:bookworm\nssh: {authorized_keys: [~/no-such-key.pub]}\n");
    let checked = ran(smolvm(&folder).arg("check").env_remove("HOME")).expect_code(2);
    let stderr = checked.stderr;
    assert!(stderr.contains("there is no such file"), "{stderr}");
}
