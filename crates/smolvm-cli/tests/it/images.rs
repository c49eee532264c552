//! `smolvm image`, and names that are not in the store.

use crate::snapshot;
use crate::support::{ran, regex_of, run, smolvm};

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
    let store = |name: &str| scratch.path().join(name).join("VERSION").exists();
    let mut command = smolvm(scratch.path());
    command.args(["image", "ls"]);
    ran(&mut command).expect_code(0);
    assert_eq!([store(".smolvm/images"), store("variable"), store("option")], [true, false, false]);
    command.env("SMOLVM_IMAGE_DIR", scratch.path().join("variable"));
    ran(&mut command).expect_code(0);
    assert_eq!([store("variable"), store("option")], [true, false]);
    std::fs::remove_dir_all(scratch.path().join("variable")).expect("a folder goes");
    ran(command.args(["--image-dir", "option"])).expect_code(0);
    assert_eq!([store("variable"), store("option")], [false, true]);
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
