//! `smolvm image`, and names that are not in the store.

use crate::snapshot;
use crate::support::{regex_of, run};

#[test]
fn an_empty_store() {
    let scratch = tempfile::tempdir().expect("a folder");
    snapshot!(scratch.path(), run(scratch.path(), ["image", "ls"]), @r"");
    snapshot!(scratch.path(), run(scratch.path(), ["image", "ls", "--json"]), @r"");
}

#[test]
fn names_that_are_not_there() {
    let scratch = tempfile::tempdir().expect("a folder");
    snapshot!(scratch.path(), run(scratch.path(), ["image", "inspect", "nothing"]), @r"");
    snapshot!(scratch.path(), run(scratch.path(), ["image", "rm", "nothing"]), @r"");
    snapshot!(scratch.path(), run(scratch.path(), ["image", "inspect", "nothing", "--json"]), @r"");
    snapshot!(scratch.path(), run(scratch.path(), ["run", "nothing"]), @r"");
}
