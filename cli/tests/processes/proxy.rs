//! A TCP proxy in this process, between workers and the mock: the network that can be cut.

use std::net::SocketAddr;
use std::sync::Arc;

use shardwise_env::{Env, Task};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// They are carried over.
    Open,
    /// Connections are closed, new ones at once.
    Refuse,
    /// Nothing is carried over, and nobody is told; a connection that has been through this stays
    /// dead.
    Swallow,
    /// Writes to the lease table are kept back until the way is open again; all else is carried
    /// over.
    HoldLeaseWrites,
}

impl Way {
    fn carries(self) -> bool {
        matches!(self, Self::Open | Self::HoldLeaseWrites)
    }
}

/// How such a write begins: requests are plain HTTP/1.1, and nothing follows a request on its
/// connection before the answer.
const LEASE_WRITE: &[u8] = b"DynamoDB_20120810.UpdateItem";

/// The proxy. Ends when it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    way: Arc<watch::Sender<Way>>,
    _accepting: Task<()>,
}

impl Proxy {
    pub(crate) async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = Arc::new(watch::Sender::new(Way::Open));
        let accepting = Env::system().spawn(accept(listener, target, way.clone()));
        Self {
            address,
            way,
            _accepting: accepting,
        }
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn accept(listener: TcpListener, target: String, way: Arc<watch::Sender<Way>>) {
    let env = Env::system();
    // Few enough in a test to be kept, dead ones included, until it ends.
    let mut connections = Vec::new();
    while let Ok((client, _)) = listener.accept().await {
        if *way.borrow() != Way::Refuse {
            connections.push(env.spawn(connect(client, target.clone(), way.subscribe())));
        }
    }
}

async fn connect(client: TcpStream, target: String, mut way: watch::Receiver<Way>) {
    let now = *way.borrow();
    if now.carries() {
        let Ok(server) = TcpStream::connect(target).await else {
            return;
        };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::join!(
            copy(from_client, to_server, way.clone()),
            copy(from_server, to_client, way)
        );
    } else {
        let _ = way.wait_for(|way| *way == Way::Refuse).await;
        drop(client);
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        // Cancel safe: bytes that are not read stay in the socket.
        let read = tokio::select! {
            biased;
            _ = way.wait_for(|way| !way.carries()) => break,
            read = from.read(&mut buffer) => read,
        };
        match read {
            Ok(read) if read > 0 => {
                let write = buffer[..read]
                    .windows(LEASE_WRITE.len())
                    .any(|w| w == LEASE_WRITE);
                if write {
                    let _ = way.wait_for(|way| *way != Way::HoldLeaseWrites).await;
                }
                if to.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
    // Holds both halves: to drop them is to close the connection.
    let _ = way.wait_for(|way| *way == Way::Refuse).await;
}
