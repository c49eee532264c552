//! Ports of this machine that lead to a guest's, for virtual machine monitors that do not do that themselves.

use std::net::{Ipv4Addr, SocketAddrV4};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::error::VmError;
use crate::hardware::Forward;

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Forwarding {
    _listeners: JoinSet<()>,
}

impl Forwarding {
    pub(crate) async fn start(forwards: &[Forward], guest: Ipv4Addr) -> Result<Self, VmError> {
        let mut listeners = JoinSet::new();
        for forward in forwards {
            let listener = TcpListener::bind(forward.host).await.map_err(port_taken(forward))?;
            listeners.spawn(listen(listener, SocketAddrV4::new(guest, forward.guest)));
        }
        Ok(Self { _listeners: listeners })
    }
}

async fn listen(listener: TcpListener, guest: SocketAddrV4) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((mut here, _)) => drop(connections.spawn(async move {
                    // A port that nobody listens at, or a connection that breaks: the client sees its own end closed.
                    if let Ok(mut there) = TcpStream::connect(guest).await {
                        let _ = copy_bidirectional(&mut here, &mut there).await;
                    }
                })),
                // Out of descriptors, for now.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Fails where somebody listens already, before a guest is started for nothing.
pub(crate) fn check_free(forwards: &[Forward]) -> Result<(), VmError> {
    forwards
        .iter()
        .try_for_each(|forward| std::net::TcpListener::bind(forward.host).map(drop).map_err(port_taken(forward)))
}

fn port_taken(forward: &Forward) -> impl FnOnce(std::io::Error) -> VmError {
    let host = forward.host;
    move |source| VmError::PortTaken { address: *host.ip(), port: host.port(), source }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A port of the loopback that was free a moment ago.
    fn free_port() -> u16 {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn bytes_go_both_ways_until_it_is_dropped() {
        let guest = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let guest_port = guest.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut client, _) = guest.accept().await.unwrap();
            let mut word = [0; 4];
            client.read_exact(&mut word).await.unwrap();
            word.reverse();
            client.write_all(&word).await.unwrap();
        });
        let forward: Forward = format!("{}:{guest_port}", free_port()).parse().unwrap();
        check_free(&[forward]).unwrap();
        let forwarding = Forwarding::start(&[forward], Ipv4Addr::LOCALHOST).await.unwrap();
        assert!(matches!(check_free(&[forward]), Err(VmError::PortTaken { .. })));
        let mut client = TcpStream::connect(forward.host).await.unwrap();
        client.write_all(b"ping").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "gnip");
        drop(forwarding);
        // Its task ends at its next turn.
        while check_free(&[forward]).is_err() {
            tokio::task::yield_now().await;
        }
    }
}
