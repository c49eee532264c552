//! Servers on loopback that speak just enough HTTP to be a daemon or a registry of a certain kind.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

/// What is answered to a path: the status line, and a body.
pub(super) type Answer = fn(&str) -> (&'static str, &'static str);

/// Starts a server that is there as long as the process. Returns `127.0.0.1:PORT`.
pub(super) fn serve(answer: Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map(Result::unwrap) {
            // A client that goes away is no concern of a server's.
            std::thread::spawn(move || respond(&stream, answer).ok());
        }
    });
    address
}

fn respond(mut stream: &TcpStream, answer: Answer) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let (status, body) = answer(request.split(' ').nth(1).unwrap_or_default());
    let length = body.len();
    let shown = if request.starts_with("HEAD ") { "" } else { body };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{shown}"
    )?;
    stream.shutdown(std::net::Shutdown::Write)
}
