//! A mirror on loopback that answers exactly as a test says, down to the bytes on the wire.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A server that is gone when this is dropped.
pub(crate) struct Server {
    address: String,
    seen: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

/// The head of a request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// How many came before it.
    pub(crate) number: usize,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
}

/// What goes over the wire, in order. Then the connection is closed.
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    Wait(Duration),
}

impl Server {
    /// Answers each request on a connection of its own.
    pub(crate) async fn start(answer: impl Fn(&Request) -> Vec<Piece> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&log), Arc::clone(&answer)));
            }
        });
        Self { address, seen, task }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Where the range that is asked for begins.
    pub(crate) fn start(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

async fn serve<A: Fn(&Request) -> Vec<Piece>>(mut stream: TcpStream, log: Arc<Mutex<Vec<Request>>>, answer: Arc<A>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let text = String::from_utf8(head).unwrap();
    let mut lines = text.lines();
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let headers =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let request = {
        let mut log = log.lock().unwrap();
        let request = Request { number: log.len(), path, headers: headers.collect() };
        log.push(request.clone());
        request
    };
    let pieces = answer(&request);
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Piece::Wait(time) => tokio::time::sleep(time).await,
        }
    }
    let _ = stream.shutdown().await;
}

/// Head and body of an answer, with a true `Content-Length`.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<Piece> {
    let length = body.len().to_string();
    vec![head(status, &[headers, &[("Content-Length", &length)]].concat()), Piece::Bytes(body.to_vec())]
}

/// The head alone.
pub(crate) fn head(status: &str, headers: &[(&str, &str)]) -> Piece {
    let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    for (name, value) in headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    Piece::Bytes(text.into_bytes())
}

/// The whole content, or the part of it that was asked for.
pub(crate) fn file(request: &Request, content: &[u8], headers: &[(&str, &str)]) -> Vec<Piece> {
    match request.start() {
        None => answer("200 OK", headers, content),
        Some(start) => {
            let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
            answer("206 Partial Content", &[headers, &[("Content-Range", &range)]].concat(), &content[start..])
        }
    }
}

/// An answer that declares the whole content and ends after `sent` bytes of it.
pub(crate) fn cut(content: &[u8], sent: usize, headers: &[(&str, &str)]) -> Vec<Piece> {
    let length = content.len().to_string();
    vec![head("200 OK", &[headers, &[("Content-Length", &length)]].concat()), Piece::Bytes(content[..sent].to_vec())]
}
