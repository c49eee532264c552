//! A mirror on loopback that serves a folder, and misbehaves for chosen paths.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a mirror does instead of sending a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Answers with this status line, and no body.
    Status(&'static str),
    /// Says nothing.
    Silent,
    /// Sends half of the file, then closes the connection.
    Cut,
    /// Sends half of the file, then nothing more.
    Stalled,
    /// Sends a byte now and then.
    Slow,
    /// Sends some kilobytes a second: just what is tolerated.
    Leisurely,
    /// Sends the file with one byte changed.
    Changed,
}

/// A mirror that is there as long as the process.
pub(crate) struct Mirror {
    address: String,
    faults: Arc<Mutex<Vec<(String, Fault)>>>,
}

impl Mirror {
    /// Serves a folder, faultlessly at first.
    pub(crate) fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let faults = Arc::new(Mutex::new(Vec::new()));
        let (folder, shared) = (folder.to_owned(), Arc::clone(&faults));
        std::thread::spawn(move || {
            for stream in listener.incoming().map(Result::unwrap) {
                let (folder, faults) = (folder.clone(), Arc::clone(&shared));
                // A client that goes away is no concern of a mirror's.
                std::thread::spawn(move || serve(stream, &folder, &faults).ok());
            }
        });
        Self { address, faults }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// From now on, every path that contains `part` meets with this fault; faults for other parts stay.
    pub(crate) fn fail(&self, part: &str, fault: Fault) {
        self.repair(part);
        self.faults.lock().unwrap().push((part.to_owned(), fault));
    }

    /// Paths that contain `part` are served again.
    pub(crate) fn repair(&self, part: &str) {
        self.faults.lock().unwrap().retain(|(known, _)| known != part);
    }
}

/// An address where nobody listens: a connection is refused.
pub(crate) fn nobody() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

/// An address that does not even refuse, as a machine that is switched off: the queue of the listener is full. It stays so
/// while the second value lives.
pub(crate) fn unreachable() -> (String, impl Sized) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // With the smallest of queues; the standard library's is large.
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(stream);
    }
    (format!("http://{address}"), (listener, waiting))
}

fn serve(mut stream: TcpStream, folder: &Path, faults: &Mutex<Vec<(String, Fault)>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let mut start = 0;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            start = range.trim_end_matches('-').parse().unwrap();
        }
    }
    let fault = faults.lock().unwrap().iter().find(|(part, _)| path.contains(part)).map(|(_, fault)| *fault);
    let file = fs_err::read(folder.join(PathBuf::from(&path)));
    let (status, mut body) = match (fault, file) {
        (Some(Fault::Status(status)), _) => (status.to_owned(), Vec::new()),
        (_, Err(_)) => ("404 Not Found".to_owned(), Vec::new()),
        (_, Ok(bytes)) if start > 0 => {
            let range = format!("Content-Range: bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
            (format!("206 Partial Content\r\n{range}"), bytes[start..].to_vec())
        }
        (_, Ok(bytes)) => ("200 OK".to_owned(), bytes),
    };
    if fault == Some(Fault::Silent) {
        wait_for_ever();
    }
    let half = body.len() / 2;
    if fault == Some(Fault::Changed) {
        body[half] ^= 1;
    }
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len())?;
    match fault {
        Some(Fault::Cut) => stream.write_all(&body[..half])?,
        Some(Fault::Stalled) => {
            stream.write_all(&body[..half])?;
            wait_for_ever();
        }
        Some(Fault::Slow | Fault::Leisurely) => {
            for part in body.chunks(if fault == Some(Fault::Slow) { 1 } else { 100 }) {
                stream.write_all(part)?;
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        _ => stream.write_all(&body)?,
    }
    stream.shutdown(std::net::Shutdown::Write)
}

fn wait_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}
