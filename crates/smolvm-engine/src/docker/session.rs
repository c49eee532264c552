//! The connection back, by which BuildKit asks its client for secrets.
//!
//! The client upgrades a request to HTTP/2 and is then the server: BuildKit calls `moby.buildkit.secrets.v1.Secrets` over it, and
//! `grpc.health.v1.Health` to see that it is still there. bollard opens such a connection too, without secrets; the daemon refuses
//! a second one of the same name, which bollard passes over.

use std::collections::BTreeMap;
use std::pin::Pin;

use bollard_buildkit_proto::health::health_check_response::ServingStatus;
use bollard_buildkit_proto::health::health_server::{Health, HealthServer};
use bollard_buildkit_proto::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::{Secrets, SecretsServer};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use futures_util::Stream;
use smolvm_manifest::Secret;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status};

use super::DockerError;
use super::address::Address;
use super::daemon::Daemon;

/// What BuildKit may call.
const METHODS: [&str; 2] = ["/moby.buildkit.secrets.v1.Secrets/GetSecret", "/grpc.health.v1.Health/Check"];
/// A daemon's answer to the upgrade is a few lines.
const LONGEST_ANSWER: usize = 8 << 10;

/// A name that no other session has.
pub(super) fn new_id() -> String {
    let mut bytes = [0; 16];
    // Where the kernel has no randomness at hand, the process and the time are unique enough for a name.
    if rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).is_err() {
        bytes[..4].copy_from_slice(&std::process::id().to_le_bytes());
    }
    hex::encode(bytes)
}

/// An open session. It ends when this is dropped.
pub(super) struct Session(JoinHandle<()>);

impl Drop for Session {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Opens a session that gives these secrets to the steps that name them.
pub(super) async fn open(
    daemon: &Daemon,
    id: &str,
    secrets: &BTreeMap<String, Secret>,
) -> Result<Session, DockerError> {
    let failed = |error: std::io::Error| DockerError::Daemon {
        doing: format!("opening a BuildKit session with {}", daemon.address),
        message: error.to_string(),
    };
    let connection = upgraded(&daemon.address, id).await.map_err(failed)?;
    let secrets = SecretsServer::new(Given(secrets.clone()));
    let serve = async move {
        let connections = futures_util::stream::iter([Ok::<_, std::io::Error>(connection)]);
        // It ends when the daemon hangs up; a build that misses it says so itself.
        let _ = tonic::transport::Server::builder()
            .add_service(HealthServer::new(Healthy))
            .add_service(secrets)
            .serve_with_incoming(connections)
            .await;
    };
    Ok(Session(tokio::spawn(serve)))
}

async fn upgraded(address: &Address, id: &str) -> std::io::Result<Connection> {
    let mut stream: Box<dyn Both> = match address {
        Address::Socket(path) => Box::new(UnixStream::connect(path).await?),
        Address::Tcp(host) => Box::new(TcpStream::connect(host).await?),
    };
    let methods: String = METHODS.map(|method| format!("X-Docker-Expose-Session-Grpc-Method: {method}\r\n")).concat();
    let request = format!(
        "POST /session HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\
         X-Docker-Expose-Session-Uuid: {id}\r\n{methods}\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == LONGEST_ANSWER {
            return Err(std::io::Error::other("the daemon's answer has no end"));
        }
        answer.push(stream.read_u8().await?);
    }
    if answer.starts_with(b"HTTP/1.1 101 ") {
        return Ok(Connection(stream));
    }
    let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    Err(std::io::Error::other(format!("the daemon answered `{line}`")))
}

trait Both: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

struct Connection(Box<dyn Both>);

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

struct Given(BTreeMap<String, Secret>);

#[tonic::async_trait]
impl Secrets for Given {
    async fn get_secret(&self, request: Request<GetSecretRequest>) -> Result<Response<GetSecretResponse>, Status> {
        match self.0.get(&request.get_ref().id) {
            Some(secret) => Ok(Response::new(GetSecretResponse { data: secret.expose().to_vec() })),
            None => Err(Status::not_found("no step names this secret")),
        }
    }
}

struct Healthy;

#[tonic::async_trait]
impl Health for Healthy {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("BuildKit only checks"))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("BuildKit only checks"))
    }
}
