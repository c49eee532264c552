//! What a base image is, found by looking: nothing of it is run.

use std::collections::BTreeMap;

use bollard::models::{ContainerCreateBody, ImageInspect};
use bollard::query_parameters::{ContainerArchiveInfoOptionsBuilder, CreateImageOptionsBuilder};
use futures_util::StreamExt as _;
use smolvm_manifest::{Arch, ImageTools, LockedImage};

use super::daemon::Daemon;
use super::error::chain;
use super::leftovers::Made;
use super::{DockerError, SeenImage};
use crate::{Event, Events};

impl Daemon {
    /// What an image is; it is pulled where the daemon does not have it.
    pub(super) async fn look_at(&self, reference: &str, arch: Arch, events: &Events) -> Result<SeenImage, DockerError> {
        let found = self.inspected(reference, arch, events).await?;
        let id = found.id.clone().unwrap_or_default();
        let platform =
            format!("{}/{}", found.os.as_deref().unwrap_or("linux"), found.architecture.as_deref().unwrap_or("?"));
        if platform != format!("linux/{arch}") {
            let reference = reference.to_owned();
            return Err(DockerError::Platform { reference, found: platform, wanted: arch });
        }
        let (tools, has_shell) = self.tools(&id).await?;
        if !has_shell {
            return Err(DockerError::NoShell { reference: reference.to_owned() });
        }
        let (digest, in_registry) = digest(&found, reference);
        let created = found.created.map_or(0, bollard::models::BollardDate::unix_timestamp);
        let config = found.config.unwrap_or_default();
        let pair = |line: &String| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let image = LockedImage {
            reference: reference.to_owned(),
            digest,
            in_registry,
            tools,
            env: config.env.iter().flatten().filter_map(pair).collect::<BTreeMap<_, _>>(),
            user: config.user.unwrap_or_default(),
            workdir: config.working_dir.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            cmd: config.cmd.unwrap_or_default(),
        };
        Ok(SeenImage { image, created })
    }

    /// Makes sure that what the lock names is here, and that it is what a tag means where only a tag names it.
    pub(super) async fn require(&self, image: &LockedImage, arch: Arch, events: &Events) -> Result<(), DockerError> {
        let found = self.inspected(&image.pinned(), arch, events).await?;
        let (found, _) = digest(&found, &image.reference);
        if found == image.digest || image.in_registry {
            return Ok(());
        }
        let (reference, wanted) = (image.reference.clone(), image.digest.clone());
        Err(DockerError::Moved { reference, wanted, found })
    }

    async fn inspected(&self, reference: &str, arch: Arch, events: &Events) -> Result<ImageInspect, DockerError> {
        if let Some(found) = self.inspect(reference).await? {
            return Ok(found);
        }
        self.pull(reference, arch, events).await?;
        self.inspect(reference).await?.ok_or_else(|| DockerError::BaseNotFound { reference: reference.to_owned() })
    }

    async fn inspect(&self, reference: &str) -> Result<Option<ImageInspect>, DockerError> {
        match self.docker.inspect_image(reference).await {
            Ok(found) => Ok(Some(found)),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(DockerError::of(&format!("inspecting the image `{reference}`"), &error)),
        }
    }

    async fn pull(&self, reference: &str, arch: Arch, events: &Events) -> Result<(), DockerError> {
        events.send(Event::Note(format!("pulling the Docker image `{reference}`")));
        let has_tag = reference.rsplit('/').next().is_some_and(|name| name.contains([':', '@']));
        let from = if has_tag { reference.to_owned() } else { format!("{reference}:latest") };
        let options = CreateImageOptionsBuilder::default().from_image(&from).platform(&format!("linux/{arch}")).build();
        let mut progress = self.docker.create_image(Some(options), None, None);
        while let Some(said) = progress.next().await {
            said.map_err(|error| of_pull(reference, arch, &error))?;
        }
        Ok(())
    }

    /// Which package manager an image has, and whether it has a shell.
    async fn tools(&self, id: &str) -> Result<(ImageTools, bool), DockerError> {
        let mut made = Made::new(&self.docker);
        let container = self.container(id, &mut made).await?;
        let mut has = BTreeMap::new();
        for path in ["/bin/sh", "/usr/bin/apt-get", "/sbin/apk"] {
            let options = ContainerArchiveInfoOptionsBuilder::default().path(path).build();
            has.insert(path, self.docker.get_container_archive_info(&container, Some(options)).await.is_ok());
        }
        made.clear().await;
        let tools = match (has["/usr/bin/apt-get"], has["/sbin/apk"]) {
            (true, _) => ImageTools::Apt,
            (false, true) => ImageTools::Apk,
            (false, false) => ImageTools::None,
        };
        Ok((tools, has["/bin/sh"]))
    }

    /// A container of an image, never started: a way to its files.
    pub(super) async fn container(&self, image: &str, made: &mut Made) -> Result<String, DockerError> {
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            // One that has neither ENTRYPOINT nor CMD is refused without a command.
            cmd: Some(vec!["/init".to_owned()]),
            labels: Some(made.labels()),
            network_disabled: Some(true),
            ..ContainerCreateBody::default()
        };
        let created = self.docker.create_container(None, body).await;
        let created = created.map_err(|error| DockerError::of("making a container of the image", &error))?;
        made.container(&created.id);
        Ok(created.id)
    }
}

/// By what an image is known for good: the digest under which its own repository has it, else the image's own. It may have
/// been pulled from another repository too, whose digest means nothing here.
fn digest(found: &ImageInspect, reference: &str) -> (String, bool) {
    let own = repository(reference);
    let in_registry = found.repo_digests.iter().flatten().find_map(|name| {
        let (repository, digest) = name.split_once('@')?;
        (repository == own).then(|| digest.to_owned())
    });
    match in_registry {
        Some(digest) => (digest, true),
        None => (found.id.clone().unwrap_or_default(), false),
    }
}

/// A reference without tag and digest, in the short form in which a daemon lists it.
fn repository(reference: &str) -> &str {
    let named = reference.split('@').next().unwrap_or_default();
    let name = named.rfind('/').map_or(0, |slash| slash + 1);
    let end = named[name..].find(':').map_or(named.len(), |colon| name + colon);
    let short = named[..end].trim_start_matches("docker.io/");
    short.strip_prefix("library/").unwrap_or(short)
}

/// The daemon tells everything in words of its own and its registries'.
fn of_pull(reference: &str, arch: Arch, error: &bollard::errors::Error) -> DockerError {
    let message = chain(error);
    let reference = reference.to_owned();
    let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
    if says(&["no matching manifest", "does not match the specified platform"]) {
        return DockerError::Platform { reference, found: "other machines".to_owned(), wanted: arch };
    }
    if says(&["manifest unknown", "manifest for", "not found: manifest", "name unknown"]) {
        return DockerError::BaseNotFound { reference };
    }
    let unreachable = [
        "dial tcp",
        "no such host",
        "i/o timeout",
        "connection refused",
        "TLS handshake",
        "Client.Timeout",
        "context deadline exceeded",
        "request canceled",
        "connect: ",
        "server misbehaving",
        "certificate",
        "EOF",
        "unexpected HTTP status",
    ];
    if says(&unreachable) {
        return DockerError::RegistryUnreachable { reference, message };
    }
    // Registries say it in a sentence or in one word.
    if says(&["denied", "unauthorized", "authentication required", "toomanyrequests"]) {
        return DockerError::PullDenied { reference, message };
    }
    DockerError::of(&format!("pulling the image `{reference}`"), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_the_digest_of_its_own_repository() {
        let found = ImageInspect {
            id: Some("sha256:own".to_owned()),
            repo_digests: Some(vec![
                "mirror.example.org:5000/node@sha256:other".to_owned(),
                "node@sha256:this".to_owned(),
            ]),
            ..ImageInspect::default()
        };
        for reference in ["node:22", "docker.io/library/node:22", "node", "node@sha256:this"] {
            assert_eq!(digest(&found, reference), ("sha256:this".to_owned(), true), "{reference}");
        }
        assert_eq!(digest(&found, "mirror.example.org:5000/node:22"), ("sha256:other".to_owned(), true));
        assert_eq!(digest(&found, "team/node:22"), ("sha256:own".to_owned(), false));
    }

    #[test]
    fn the_words_of_daemons_and_registries_are_understood() {
        let of = |message: &str| {
            let error =
                bollard::errors::Error::DockerResponseServerError { status_code: 500, message: message.to_owned() };
            of_pull("node:99", Arch::Amd64, &error)
        };
        assert!(matches!(
            of("manifest for node:99 not found: manifest unknown: manifest unknown"),
            DockerError::BaseNotFound { .. }
        ));
        assert!(matches!(
            of(
                "pull access denied for node, repository does not exist or may require 'docker login': denied: requested access to the resource is denied"
            ),
            DockerError::PullDenied { .. }
        ));
        assert!(matches!(
            of("Get \"https://registry.example.org/v2/\": dial tcp: lookup registry.example.org: no such host"),
            DockerError::RegistryUnreachable { .. }
        ));
        assert!(matches!(
            of("no matching manifest for linux/arm64/v8 in the manifest list entries"),
            DockerError::Platform { .. }
        ));
        assert!(matches!(of("name unknown"), DockerError::BaseNotFound { .. }));
        for words in ["denied", "unauthorized", "toomanyrequests: You have reached your pull rate limit."] {
            assert!(matches!(of(words), DockerError::PullDenied { .. }), "{words}");
        }
        assert!(matches!(
            of("dial tcp 192.0.2.1:443: connect: permission denied"),
            DockerError::RegistryUnreachable { .. }
        ));
        assert!(matches!(of("write /var/lib/docker/tmp/x: no space left on device"), DockerError::NoSpace { .. }));
        assert!(matches!(of("something else"), DockerError::Daemon { .. }));
    }
}
