//! What smolvm makes in a daemon, how it is recognised, and how it goes away again.
//!
//! Containers and images that smolvm makes carry labels. Each build removes its own, however it ends; those of a process that was
//! killed are removed by the next build on the same machine, which sees that their owner is gone.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
};

use super::DockerError;

/// Says that smolvm made it.
const MADE_BY: &str = "smolvm";
/// Says which process did.
const OWNER: &str = "smolvm.owner";
/// How long a clean-up may take when nobody waits for its result.
const PATIENCE: Duration = Duration::from_secs(20);

/// The labels of what this process makes.
pub(super) fn labels() -> HashMap<String, String> {
    let owner = Owner::this().to_string();
    HashMap::from([(MADE_BY.to_owned(), env!("CARGO_PKG_VERSION").to_owned()), (OWNER.to_owned(), owner)])
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
    containers: Vec<String>,
    images: Vec<String>,
}

impl Made {
    pub(super) fn new(docker: &Docker) -> Self {
        Self { docker: docker.clone(), containers: Vec::new(), images: Vec::new() }
    }

    pub(super) fn container(&mut self, id: &str) {
        self.containers.push(id.to_owned());
    }

    pub(super) fn image(&mut self, id: &str) {
        self.images.push(id.to_owned());
    }

    /// Removes everything.
    pub(super) async fn clear(mut self) {
        let (containers, images) = (std::mem::take(&mut self.containers), std::mem::take(&mut self.images));
        remove(&self.docker, &containers, &images).await;
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.containers.is_empty() && self.images.is_empty() {
            return;
        }
        let (docker, containers, images) =
            (self.docker.clone(), std::mem::take(&mut self.containers), std::mem::take(&mut self.images));
        // Whoever drops a future is about to end the runtime that it ran on.
        let worker = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                let _ = runtime.block_on(tokio::time::timeout(PATIENCE, remove(&docker, &containers, &images)));
            }
        });
        let _ = worker.join();
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
    let is_left = |labels: Option<&HashMap<String, String>>| {
        labels.and_then(|labels| Owner::parse(labels.get(OWNER)?)).is_some_and(|owner| owner.is_gone())
    };
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let containers = docker.list_containers(Some(options)).await.map_err(failed)?;
    let containers: Vec<String> = containers
        .into_iter()
        .filter(|container| is_left(container.labels.as_ref()))
        .filter_map(|container| container.id)
        .collect();
    // With `all`, so that a classic build's unfinished layers are seen too.
    let options = ListImagesOptionsBuilder::default().all(true).filters(&filters).build();
    let images = docker.list_images(Some(options)).await.map_err(failed)?;
    let images: Vec<String> =
        images.into_iter().filter(|image| is_left(Some(&image.labels))).map(|image| image.id).collect();
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
