//! The entry point: what an image is made of, in order.

use smolvm_manifest::{LockedManifest, PackageLayer, User};

use crate::context::{PlannedFile, plan};
use crate::dockerfile::dockerfile;
use crate::error::RenderError;
use crate::foundation::Foundation;
use crate::identity::identity;
use crate::init::init;
use crate::step::{Content, FileStep, Step};
use crate::text::check_texts;

/// How to make an image: typed steps for an engine that does the work itself, and the same as a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// What to do, in canonical layer order.
    pub steps: Vec<Step>,
    /// The steps as a Dockerfile; its build context is [`Recipe::write_plan`].
    pub dockerfile: String,
    /// The script that the kernel starts as PID 1. Also the last of the steps.
    pub init: String,
}

impl Recipe {
    /// Every file of the Docker build context, the Dockerfile itself among them, in a stable order: what
    /// `smolvm render --out DIR` writes and `docker build DIR` accepts.
    pub fn write_plan(&self) -> Vec<PlannedFile> {
        plan(self)
    }
}

/// Turns a locked manifest into a recipe.
pub fn render(locked: &LockedManifest) -> Result<Recipe, RenderError> {
    let manifest = &locked.manifest;
    let foundation = Foundation::of(locked)?;
    check_texts(locked)?;

    let init = init(locked, &foundation)?;
    let mut steps = vec![
        Step::InstallPackages { layer: PackageLayer::Base },
        Step::InstallPackages { layer: PackageLayer::User },
        Step::SetPassword {
            user: "root".to_owned(),
            hash: manifest.ssh.as_ref().and_then(|ssh| ssh.password_hash.clone()),
        },
    ];
    steps.extend(numbered_users(&manifest.users).into_iter().map(Step::CreateUser));
    steps.extend(manifest.files.iter().map(|entry| Step::PlaceFile(FileStep::from_entry(entry))));
    steps.extend(manifest.run.iter().cloned().map(Step::Run));
    steps.extend(identity(manifest, &foundation)?.into_iter().map(Step::WriteIdentity));
    steps.push(Step::WriteIdentity(FileStep::root("/init", Content::Bytes(init.clone().into_bytes()), 0o755)));

    let dockerfile = dockerfile(locked, &foundation, &steps)?;
    Ok(Recipe { steps, dockerfile, init })
}

/// Gives every user without a number the next free one, here, so that both engines give the same.
fn numbered_users(users: &[User]) -> Vec<User> {
    const FIRST: u32 = 1000;
    let mut taken: Vec<u32> = users.iter().filter_map(|user| user.uid).collect();
    users
        .iter()
        .map(|user| {
            let uid = user.uid.unwrap_or_else(|| {
                let free = (FIRST..u32::MAX).find(|uid| !taken.contains(uid)).unwrap_or(FIRST);
                taken.push(free);
                free
            });
            User { uid: Some(uid), ..user.clone() }
        })
        .collect()
}
