//! What a daemon with a full disk keeps on it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::DockerError;
use super::address::Address;
use super::daemon::Daemon;

/// The daemon walks its folders for this answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Far more than the list of a thousand images.
const LONGEST_ANSWER: u64 = 64 << 20;

impl Daemon {
    /// Says of a full disk where it is, how much is free there, and what Docker keeps on it.
    pub(super) async fn with_space(&self, error: DockerError) -> DockerError {
        let DockerError::NoSpace { message, log, .. } = error else { return error };
        let root = self.docker.info().await.ok().and_then(|info| info.docker_root_dir).map(PathBuf::from);
        let free = root.as_ref().and_then(|root| rustix::fs::statvfs(root).ok());
        let free = free.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let usage = tokio::time::timeout(PATIENCE, disk_usage(&self.address)).await;
        let usage = usage.ok().and_then(Result::ok).and_then(|usage| usage.text());
        DockerError::NoSpace { message, log, root, free, usage }
    }
}

/// What `docker system df` asks for, in the shape of Docker 28 and before, and in that of 29.
///
/// bollard's own request knows only the newer one. <https://docs.docker.com/reference/api/engine/version/v1.41/#tag/System/operation/SystemDataUsage>
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DiskUsage {
    layers_size: Option<u64>,
    containers: Option<Vec<Container>>,
    build_cache: Option<Vec<Cached>>,
    image_usage: Option<Usage>,
    container_usage: Option<Usage>,
    build_cache_usage: Option<Usage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Container {
    size_rw: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Cached {
    size: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Usage {
    total_size: u64,
}

impl DiskUsage {
    /// `images 1200 MB, containers 0 MB, build cache 300 MB`; none where the answer says nothing of images.
    fn text(&self) -> Option<String> {
        let total = |usage: &Option<Usage>| usage.as_ref().map(|usage| usage.total_size);
        let images = total(&self.image_usage).or(self.layers_size)?;
        let containers = total(&self.container_usage)
            .unwrap_or_else(|| self.containers.iter().flatten().map(|container| container.size_rw).sum());
        let cache = total(&self.build_cache_usage)
            .unwrap_or_else(|| self.build_cache.iter().flatten().map(|cached| cached.size).sum());
        let megabytes = |bytes: u64| bytes / 1_000_000;
        Some(format!(
            "images {} MB, containers {} MB, build cache {} MB",
            megabytes(images),
            megabytes(containers),
            megabytes(cache)
        ))
    }
}

async fn disk_usage(address: &Address) -> io::Result<DiskUsage> {
    let answer = match address {
        Address::Socket(path) => get(UnixStream::connect(path).await?).await?,
        Address::Tcp(host) => get(TcpStream::connect(host).await?).await?,
    };
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n").map(|at| &answer[at + 4..]);
    serde_json::from_slice(body.unwrap_or_default()).map_err(io::Error::other)
}

/// HTTP 1.0: the answer is one piece, and ends with the connection.
async fn get(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<Vec<u8>> {
    stream.write_all(b"GET /system/df HTTP/1.0\r\nHost: docker\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_of_the_answer_are_read() {
        let table = [
            (
                r#"{"LayersSize": 1234567890, "Images": [], "Containers": [{"Id": "a"}, {"SizeRw": 5000000}], "Volumes": null,
                    "BuildCache": [{"Size": 1000000, "Shared": false}, {"Size": 2500000}]}"#,
                Some("images 1234 MB, containers 5 MB, build cache 3 MB"),
            ),
            (
                r#"{"ImageUsage": {"TotalSize": 7000000, "TotalCount": 2}, "ContainerUsage": {}, "BuildCacheUsage": {"TotalSize": 9000000}}"#,
                Some("images 7 MB, containers 0 MB, build cache 9 MB"),
            ),
            (r#"{"message": "page not found"}"#, None),
        ];
        for (answer, expected) in table {
            let usage: DiskUsage = serde_json::from_str(answer).unwrap();
            assert_eq!(usage.text().as_deref(), expected, "{answer}");
        }
    }
}
