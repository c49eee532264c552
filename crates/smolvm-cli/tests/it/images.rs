//! `smolvm image`, and names that are not in the store.

use crate::snapshot;
use crate::support::{project, ran, regex_of, run, smolvm};

#[test]
fn an_empty_store() {
    let scratch = tempfile::tempdir().expect("a folder");
    snapshot!(scratch.path(), run(scratch.path(), ["image", "ls"]), @r#"
    exit code: 0
    --- stdout
    there are no images; `smolvm build` makes one
    "#);
    snapshot!(scratch.path(), run(scratch.path(), ["image", "ls", "--json"]), @r#"
    exit code: 0
    --- stdout
    {"ok":true,"command":"image ls","data":{"images":[]}}
    "#);
}

#[test]
fn the_option_comes_before_the_variable_and_that_before_the_home_folder() {
    let scratch = tempfile::tempdir().expect("a folder");
    // None of them is a store, so that each is refused by its name.
    for folder in [".smolvm/images", "variable", "option"] {
        std::fs::create_dir_all(scratch.path().join(folder).join("photos")).expect("a folder");
    }
    let mut command = smolvm(scratch.path());
    command.args(["image", "ls"]);
    let ran_with = |command: &mut std::process::Command| ran(command).expect_code(2).stderr;
    assert!(ran_with(&mut command).contains("/.smolvm/images is no image store"));
    command.env("SMOLVM_IMAGE_DIR", "variable");
    assert!(ran_with(&mut command).contains(" variable is no image store"));
    assert!(ran_with(command.args(["--image-dir", "option"])).contains(" option is no image store"));
}

#[test]
fn a_folder_of_other_things_is_left_alone() {
    let (_scratch, folder) = project("base: debian:bookworm\n");
    std::fs::create_dir(folder.join("Documents")).expect("a folder");
    std::fs::write(folder.join("Documents/letter.txt"), "dear reader").expect("a file");
    snapshot!(&folder, run(&folder, ["image", "ls", "--image-dir", "Documents"]), @r#"
    exit code: 2
    --- stderr
    smolvm::store::not_a_store

      x Documents is no image store: it has no file VERSION, but other things, such as `letter.txt`
      help: name a folder that is new or empty with --image-dir; nothing in this one was touched
    "#);
    for words in [&["image", "inspect", "x"][..], &["image", "rm", "x"], &["run", "x"]] {
        run(&folder, words.iter().chain(&["--image-dir", "Documents"])).expect_code(2);
    }
    assert_eq!(std::fs::read_dir(folder.join("Documents")).expect("the folder").count(), 1);
}

#[test]
fn looking_for_images_makes_no_store() {
    let scratch = tempfile::tempdir().expect("a folder");
    run(scratch.path(), ["image", "ls"]).expect_code(0);
    for words in [&["image", "inspect", "x"][..], &["image", "rm", "x"], &["run", "x"]] {
        run(scratch.path(), words).expect_code(2);
    }
    assert_eq!(std::fs::read_dir(scratch.path()).expect("the folder").count(), 0);
}

#[test]
fn names_that_are_not_there() {
    let scratch = tempfile::tempdir().expect("a folder");
    snapshot!(scratch.path(), run(scratch.path(), ["image", "inspect", "nothing"]), @r#"
    exit code: 2
    --- stderr
    smolvm::store::no_such_image

      x there is no image `nothing`
      help: `smolvm image ls` shows those that there are
    "#);
    snapshot!(scratch.path(), run(scratch.path(), ["image", "rm", "nothing"]), @r#"
    exit code: 2
    --- stderr
    smolvm::store::no_such_image

      x there is no image `nothing`
      help: `smolvm image ls` shows those that there are
    "#);
    snapshot!(scratch.path(), run(scratch.path(), ["image", "inspect", "nothing", "--json"]), @r#"
    exit code: 2
    --- stdout
    {"ok":false,"command":"image inspect","error":{"code":"smolvm::store::no_such_image","message":"there is no image `nothing`","help":"`smolvm image ls` shows those that there are"}}
    "#);
    snapshot!(scratch.path(), run(scratch.path(), ["run", "nothing"]), @r#"
    exit code: 2
    --- stderr
    smolvm::store::no_such_image

      x there is no image `nothing`
      help: `smolvm image ls` shows those that there are
    "#);
}
