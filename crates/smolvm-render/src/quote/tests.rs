use super::*;

#[test]
fn plain() {
    assert_eq!(shell("a-b/c.d=1"), "a-b/c.d=1");
}
