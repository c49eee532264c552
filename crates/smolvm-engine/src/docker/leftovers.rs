//! What smolvm makes in a daemon, how it is recognised, and how it goes away again.
//!
//! Containers and images that smolvm makes carry labels. Each build removes its own, however it ends; those of a process that was
//! killed are removed by the next build on the same machine, which sees that their owner is gone. A build that is dropped may be
//! too late to keep the daemon from making its image: that is removed then, or by the next build of the same process.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
};

use super::{DockerError, session};

/// Says that smolvm made it.
const MADE_BY: &str = "smolvm";
/// Says which process did.
const OWNER: &str = "smolvm.owner";
/// Says in which of its builds.
const BUILD: &str = "smolvm.build";
/// How often an image is looked for that a daemon may just be making.
const LOOKS: u32 = 4;
/// The time between.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How long a clean-up may take when nobody waits for its result.
const PATIENCE: Duration = Duration::from_secs(20);

/// The builds of this process that are under way.
static UNDER_WAY: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn under_way() -> MutexGuard<'static, BTreeSet<String>> {
    // A set is whole at all times.
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether something with these labels belongs to nobody any more.
fn is_left(labels: &HashMap<String, String>) -> bool {
    let Some(owner) = labels.get(OWNER).and_then(|owner| Owner::parse(owner)) else { return false };
    owner.is_gone() || (owner == Owner::this() && labels.get(BUILD).is_none_or(|build| !under_way().contains(build)))
}

/// A process on a machine, told apart from later ones of its number by the time it was started.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    host: String,
    pid: String,
    started: String,
}

impl Owner {
    fn this() -> Self {
        let pid = std::process::id().to_string();
        Self { host: host(), started: started(&pid).unwrap_or_default(), pid }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(3, ':');
        let (started, pid, host) = (parts.next()?, parts.next()?, parts.next()?);
        let pid = pid.parse::<u32>().ok()?.to_string();
        Some(Self { host: host.to_owned(), pid, started: started.to_owned() })
    }

    /// Whether it was a process of this machine and is no more. Of another machine's nothing is known.
    fn is_gone(&self) -> bool {
        self.host == host() && started(&self.pid).as_deref() != Some(self.started.as_str())
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.host, self.pid, self.started)
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// When a process was started, in ticks since the machine was; field 22 of proc(5)'s stat, after the name in brackets.
fn started(pid: &str) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(19).map(str::to_owned)
}

/// Containers and images of one build. Dropping it removes them, and waits for that.
#[derive(Debug)]
pub(super) struct Made {
    docker: Docker,
    build: String,
    containers: Vec<String>,
    images: Vec<String>,
    /// Whether the daemon is making an image whose id is not known yet.
    is_building: bool,
}

impl Made {
    pub(super) fn new(docker: &Docker) -> Self {
        let build = session::new_id();
        under_way().insert(build.clone());
        Self { docker: docker.clone(), build, containers: Vec::new(), images: Vec::new(), is_building: false }
    }

    /// The labels of what this build makes.
    pub(super) fn labels(&self) -> HashMap<String, String> {
        let label = |name: &str, value: String| (name.to_owned(), value);
        HashMap::from([
            label(MADE_BY, env!("CARGO_PKG_VERSION").to_owned()),
            label(OWNER, Owner::this().to_string()),
            label(BUILD, self.build.clone()),
        ])
    }

    pub(super) fn container(&mut self, id: &str) {
        self.containers.push(id.to_owned());
    }

    /// From now on, the daemon may make an image.
    pub(super) fn begin_image(&mut self) {
        self.is_building = true;
    }

    /// It made this one, or none.
    pub(super) fn end_image(&mut self, id: Option<&str>) {
        self.is_building = false;
        self.images.extend(id.map(str::to_owned));
    }

    /// Removes everything.
    pub(super) async fn clear(mut self) {
        let (containers, images) = (std::mem::take(&mut self.containers), std::mem::take(&mut self.images));
        remove(&self.docker, &containers, &images).await;
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        under_way().remove(&self.build);
        if self.containers.is_empty() && self.images.is_empty() && !self.is_building {
            return;
        }
        let (docker, build, is_building) = (self.docker.clone(), self.build.clone(), self.is_building);
        let (containers, images) = (std::mem::take(&mut self.containers), std::mem::take(&mut self.images));
        let clear = async move {
            remove(&docker, &containers, &images).await;
            if is_building {
                remove_late(&docker, &build).await;
            }
        };
        // Whoever drops a future is about to end the runtime that it ran on.
        let worker = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                let _ = runtime.block_on(tokio::time::timeout(PATIENCE, clear));
            }
        });
        let _ = worker.join();
    }
}

/// Removes the image of a build that was dropped, should the daemon have gone on to its end.
async fn remove_late(docker: &Docker, build: &str) {
    let filters = HashMap::from([("label".to_owned(), vec![format!("{BUILD}={build}")])]);
    for _ in 0..LOOKS {
        let options = ListImagesOptionsBuilder::default().all(true).filters(&filters).build();
        let images = docker.list_images(Some(options)).await.unwrap_or_default();
        let images: Vec<String> = images.into_iter().map(|image| image.id).collect();
        if remove(docker, &[], &images).await > 0 {
            return;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// What cannot be removed now is found by its labels later.
async fn remove(docker: &Docker, containers: &[String], images: &[String]) -> usize {
    let mut removed = 0;
    for container in containers {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        removed += usize::from(docker.remove_container(container, Some(options)).await.is_ok());
    }
    for image in images {
        let options = RemoveImageOptionsBuilder::default().force(false).build();
        removed += usize::from(docker.remove_image(image, Some(options), None).await.is_ok());
    }
    removed
}

/// Removes what killed builds left. Tells how many containers and images that were.
pub(super) async fn sweep(docker: &Docker) -> Result<usize, DockerError> {
    let failed = |error| DockerError::of("looking for leftovers", &error);
    let filters = HashMap::from([("label".to_owned(), vec![OWNER.to_owned()])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let containers = docker.list_containers(Some(options)).await.map_err(failed)?;
    let containers: Vec<String> = containers
        .into_iter()
        .filter(|container| container.labels.as_ref().is_some_and(is_left))
        .filter_map(|container| container.id)
        .collect();
    // With `all`, so that a classic build's unfinished layers are seen too.
    let options = ListImagesOptionsBuilder::default().all(true).filters(&filters).build();
    let images = docker.list_images(Some(options)).await.map_err(failed)?;
    let images: Vec<String> = images.into_iter().filter(|image| is_left(&image.labels)).map(|image| image.id).collect();
    Ok(remove(docker, &containers, &images).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_there_and_one_that_ended_is_not() {
        let this = Owner::this();
        assert_eq!(Owner::parse(&this.to_string()), Some(this.clone()));
        assert!(!this.is_gone());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id().to_string();
        let ended = Owner { started: started(&pid).unwrap_or_default(), pid, ..this.clone() };
        child.wait().unwrap();
        assert!(ended.is_gone());
        assert!(Owner { started: "1".to_owned(), ..this.clone() }.is_gone(), "another process of that number");
        assert!(!Owner { host: "elsewhere".to_owned(), ..ended }.is_gone(), "another machine's is not judged");
        assert_eq!(Owner::parse("a:b"), None);
    }
}
