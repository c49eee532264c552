//! The Docker engine: a daemon builds the generated Dockerfile, and what results becomes the same kind of tree.

mod address;
mod base;
mod build;
mod context;
mod daemon;
mod error;
mod export;
mod leftovers;
mod session;
mod space;

use std::path::PathBuf;

use smolvm_manifest::{Arch, Base, ImageTools, LockedImage};
use smolvm_render::{PlannedContent, PlannedFile, Step, public_archives};
use smolvm_rootfs::RootTree;
use tokio::task::spawn_blocking;

use self::daemon::{Builder, Daemon};
use self::leftovers::Made;
use crate::edit::{Accounts, Editor};
use crate::finish::finish;
use crate::job::{Built, Engine, Job};
use crate::{EngineError, Events, Stage};

pub use self::address::DockerPlaces;
pub use self::error::{DockerError, DockerFault};

/// Builds through a Docker daemon.
#[derive(Debug, Clone)]
pub struct DockerEngine {
    daemon: Daemon,
    /// Where the log of a build that fails stays.
    log: PathBuf,
}

/// What a base image is at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenImage {
    /// All that the lock keeps.
    pub image: LockedImage,
    /// When it was made, seconds since 1970.
    pub created: i64,
}

/// The first Docker whose own Dockerfile frontend knows `RUN --network`.
const KNOWS_STEP_NETWORK: u32 = 23;

impl DockerEngine {
    /// Finds a daemon that answers. The log of a build that fails is written to `log`.
    pub async fn connect(places: &DockerPlaces, log: impl Into<PathBuf>) -> Result<Self, DockerError> {
        Ok(Self { daemon: Daemon::connect(places).await?, log: log.into() })
    }

    /// What a base image is; it is pulled where the daemon does not have it.
    pub async fn look_at(&self, reference: &str, arch: Arch, events: &Events) -> Result<SeenImage, DockerError> {
        self.daemon.look_at(reference, arch, events).await
    }

    /// Removes what killed builds left in the daemon. Tells how many containers and images that were.
    pub async fn remove_leftovers(&self) -> Result<usize, DockerError> {
        leftovers::sweep(&self.daemon.docker).await
    }

    /// Refuses what this daemon cannot do, before anything is sent.
    fn check(&self, job: &Job) -> Result<(), DockerError> {
        let Daemon { builder, major, version, .. } = &self.daemon;
        let manifest = &job.locked.manifest;
        if let Some(image) = job.locked.lock.base_image.as_ref().filter(|image| image.tools == ImageTools::None) {
            let wanting = [("packages", !manifest.packages.is_empty()), ("ssh", manifest.ssh.is_some())];
            if let Some((what, _)) = wanting.into_iter().find(|(_, is_wanted)| *is_wanted) {
                return Err(DockerError::NoPackageManager { reference: image.reference.clone(), what });
            }
        }
        for (index, step) in manifest.run.iter().enumerate() {
            if *builder == Builder::Classic && !step.secrets.is_empty() {
                return Err(DockerError::Unsupported {
                    step: index,
                    key: "secrets",
                    why: "its classic builder has no secret mounts, and would keep them in a layer".to_owned(),
                    way_out: "use a Docker with BuildKit (without DOCKER_BUILDKIT=0), or on Linux: smolvm build --engine embedded"
                        .to_owned(),
                });
            }
            if !step.network && (*builder == Builder::Classic || *major < KNOWS_STEP_NETWORK) {
                return Err(DockerError::Unsupported {
                    step: index,
                    key: "network",
                    why: match builder {
                        Builder::Classic => "its classic builder cannot take the network from a single step".to_owned(),
                        Builder::BuildKit => {
                            format!("the Dockerfile frontend of Docker {version} answers `Unknown flag: network`")
                        }
                    },
                    way_out: "use Docker 23 or newer, or say `network: true` for the step, or on Linux: smolvm build --engine embedded"
                        .to_owned(),
                });
            }
        }
        Ok(())
    }

    async fn exported(&self, job: &Job, made: &mut Made) -> Result<RootTree, DockerError> {
        self.check(job)?;
        // What cannot be removed now is tried again by the next build; it is in nobody's way.
        let _ = self.remove_leftovers().await;
        if let Some(image) = &job.locked.lock.base_image {
            self.daemon.require(image, job.locked.manifest.arch, &job.events).await?;
        }
        let building = self.daemon.build(job, build_context(job), &self.log, made);
        let image = match job.events.stage_async(Stage::Docker, building).await {
            Err(error) => return Err(self.daemon.with_space(error).await),
            Ok(image) => image,
        };
        let _ = fs_err::remove_file(&self.log);
        let exporting = async {
            let container = self.daemon.container(&image, made).await?;
            export::export(&self.daemon.docker, &container, &job.scratch().join("docker")).await
        };
        job.events.stage_async(Stage::Export, exporting).await
    }
}

impl Engine for DockerEngine {
    async fn build(&self, job: Job) -> Result<Built, EngineError> {
        let mut made = Made::new(&self.daemon.docker);
        let exported = self.exported(&job, &mut made).await;
        made.clear().await;
        let mut tree = exported?;
        spawn_blocking(move || {
            let mut editor = Editor::new(job.epoch(), &job.local_files());
            for step in &job.recipe.steps {
                match step {
                    Step::PlaceFile(file) => editor.keep(&tree, file)?,
                    // Not every image has a program that could do it in the build. Where there is no root, nobody can log in.
                    Step::SetPassword { .. } if Accounts::read(&tree)?.has_root() => editor.apply(&mut tree, step)?,
                    _ => {}
                }
            }
            Ok(Built { tree: finish(tree, &mut editor, &job)?, made: Vec::new() })
        })
        .await?
    }
}

/// The context of the recipe, but with package sources that this machine reaches: the guest's own, which name the public
/// addresses, are put in their place when the image is read back.
fn build_context(job: &Job) -> Vec<PlannedFile> {
    let mut files = job.recipe.write_plan();
    let Base::Distro(distro) = &job.locked.manifest.base else { return files };
    for file in files.iter_mut().filter(|file| file.path.starts_with("identity/etc/ap")) {
        let PlannedContent::Bytes(bytes) = &mut file.content else { continue };
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        for archive in public_archives(*distro, job.locked.manifest.arch) {
            if let Some(mirror) = job.mirrors.of(archive.name).first() {
                text = text.replace(&archive.url, mirror.address().plain().trim_end_matches('/'));
            }
        }
        *bytes = text.into_bytes();
    }
    files
}
