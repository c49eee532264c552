//! The steps' order, and the Docker context.

use smolvm_manifest::{Distro, Layer};
use smolvm_render::{PlannedContent, Step, digest, render};

use crate::fixture::{full, user};

#[test]
fn steps_come_in_canonical_layer_order() {
    let recipe = render(&full(Distro::DebianBookworm)).unwrap();
    let layers: Vec<Layer> = recipe.steps.iter().map(Step::layer).collect();
    assert!(layers.is_sorted(), "{layers:?}");
    assert!(Layer::Identity.with_those_below().iter().all(|layer| layers.contains(layer)), "{layers:?}");
}

#[test]
fn users_without_a_number_get_the_next_free_one() {
    let mut locked = full(Distro::DebianBookworm);
    locked.manifest.users =
        vec![user("a", None), user("b", Some(1001)), user("c", None), user("d", Some(1000)), user("e", None)];
    let recipe = render(&locked).unwrap();
    let uids: Vec<Option<u32>> = recipe
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::CreateUser(user) => Some(user.uid),
            _ => None,
        })
        .collect();
    assert_eq!(uids, [1002, 1001, 1003, 1000, 1004].map(Some));
}

#[test]
fn the_context_holds_what_the_dockerfile_copies_with_the_modes_of_the_image() {
    let recipe = render(&full(Distro::DebianBookworm)).unwrap();
    let plan = recipe.write_plan();
    let shown: Vec<String> = plan
        .iter()
        .map(|file| {
            let content = match &file.content {
                PlannedContent::Bytes(_) => String::new(),
                PlannedContent::Local { path, .. } => format!(" from {}", path.display()),
                PlannedContent::Directory => "/".to_owned(),
                PlannedContent::Symlink(target) => format!(" -> {target}"),
            };
            format!("{:04o} {}{content}", file.mode, file.path)
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
    for line in recipe.dockerfile.lines().filter(|line| line.starts_with("COPY ")) {
        let (_, paths) = line.split_once('[').unwrap();
        let from = paths.split('"').nth(1).unwrap().trim_end_matches('/');
        assert!(plan.iter().any(|file| file.path == from), "{from} is not in the context");
    }
}

#[test]
fn the_digest_is_one_of_the_templates() {
    assert_eq!(digest(), digest());
    assert_eq!(digest().len(), 64);
}
