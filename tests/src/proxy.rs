//! A TCP proxy in this process: the network between real sockets, which can be made to fail.
//!
//! It carries bytes and knows nothing of what they mean: TLS goes through it as it is. Connections can
//! be refused, fall silent, be reset, be delayed and made narrow; what goes wrong inside HTTP is for
//! `Faulty` and for the mock's fault rules.
//!
//! ```
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! use shardwise_tests::proxy::{Proxy, Way};
//!
//! let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
//! let proxy = Proxy::start(server.local_addr().unwrap()).await;
//! let client = tokio::net::TcpStream::connect(proxy.address()).await.unwrap();
//! proxy.silence(); // the client's connection carries nothing more, and is not closed
//! proxy.set(Way::Refuse); // every connection is closed, new ones at once
//! # drop(client);
//! # });
//! ```

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use shardwise_env::{Env, Task};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::watch;

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// They are carried over.
    Open,
    /// Connections are closed, new ones at once.
    Refuse,
    /// Nothing is carried over, and nothing is closed; a connection that has been through this stays
    /// silent until it is refused.
    Swallow,
    /// Pieces in which these bytes stand are kept back until the way is open again; all else is
    /// carried over.
    Hold(&'static [u8]),
}

impl Way {
    fn carries(self) -> bool {
        matches!(self, Self::Open | Self::Hold(_))
    }
}

/// What holds for the connections of a proxy, which are numbered from 1.
#[derive(Debug, Clone, Copy)]
struct Rules {
    way: Way,
    /// How many have been accepted.
    accepted: u64,
    /// The connections up to this number are silent.
    silent: u64,
    /// The connections up to this number are reset.
    reset: u64,
    delay: Duration,
    bytes_per_second: Option<NonZeroU32>,
}

impl Rules {
    /// Whether this connection carries nothing any more.
    fn are_silent_for(&self, number: u64) -> bool {
        !self.way.carries() || number <= self.silent
    }
}

/// The proxy. Ends, and closes all connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    rules: Arc<watch::Sender<Rules>>,
    _accepting: Task<()>,
}

impl Proxy {
    /// A proxy on a free port of the loopback, open, to this server.
    pub async fn start(target: impl ToSocketAddrs + Clone + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let rules = Arc::new(watch::Sender::new(Rules {
            way: Way::Open,
            accepted: 0,
            silent: 0,
            reset: 0,
            delay: Duration::ZERO,
            bytes_per_second: None,
        }));
        let accepting = Env::system().spawn(accept(listener, target, rules.clone()));
        Self {
            address,
            rules,
            _accepting: accepting,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.rules.borrow().accepted
    }

    /// From now on bytes go this way.
    pub fn set(&self, way: Way) {
        self.rules.send_modify(|rules| rules.way = way);
    }

    /// The connections that are there now carry nothing more and are not closed, as when a router on
    /// the way forgets them; new ones are as they are set.
    pub fn silence(&self) {
        self.rules
            .send_modify(|rules| rules.silent = rules.accepted);
    }

    /// The connections that are there now are reset.
    pub fn reset(&self) {
        self.rules.send_modify(|rules| rules.reset = rules.accepted);
    }

    /// Each piece of bytes comes this much later.
    pub fn set_delay(&self, delay: Duration) {
        self.rules.send_modify(|rules| rules.delay = delay);
    }

    /// Each direction of each connection carries so many bytes a second; `None` for no limit.
    pub fn set_bytes_per_second(&self, rate: Option<NonZeroU32>) {
        self.rules
            .send_modify(|rules| rules.bytes_per_second = rate);
    }
}

async fn accept(
    listener: TcpListener,
    target: impl ToSocketAddrs + Clone + Send + Sync + 'static,
    rules: Arc<watch::Sender<Rules>>,
) {
    let env = Env::system();
    // Few enough in a test to be kept, dead ones included, until it ends.
    let mut connections = Vec::new();
    while let Ok((client, _)) = listener.accept().await {
        let mut number = 0;
        rules.send_modify(|rules| {
            rules.accepted += 1;
            number = rules.accepted;
        });
        if rules.borrow().way == Way::Refuse {
            continue;
        }
        let (target, rules) = (target.clone(), rules.subscribe());
        connections.push(env.spawn(connect(client, target, rules, number)));
    }
}

async fn connect(
    mut client: TcpStream,
    target: impl ToSocketAddrs + Send,
    mut rules: watch::Receiver<Rules>,
    number: u64,
) {
    if rules.borrow().are_silent_for(number) {
        let _ = rules.wait_for(|rules| rules.way == Way::Refuse).await;
        return;
    }
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    // Small pieces are not to wait for each other.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let is_reset = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let mut resets = rules.clone();
        let carrying = async {
            tokio::join!(
                copy(from_client, to_server, rules.clone(), number),
                copy(from_server, to_client, rules, number)
            )
        };
        tokio::select! {
            biased;
            _ = resets.wait_for(|rules| number <= rules.reset) => true,
            _ = carrying => false,
        }
    };
    if is_reset {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

async fn copy(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut rules: watch::Receiver<Rules>,
    number: u64,
) {
    let env = Env::system();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        // Cancel safe: bytes that are not read stay in the socket.
        let read = tokio::select! {
            biased;
            _ = rules.wait_for(|rules| rules.are_silent_for(number)) => break,
            read = from.read(&mut buffer) => read,
        };
        let Ok(read @ 1..) = read else {
            let _ = to.shutdown().await;
            return;
        };
        let piece = &buffer[..read];
        let now = *rules.borrow();
        if let Way::Hold(pattern) = now.way
            && piece.windows(pattern.len()).any(|bytes| bytes == pattern)
        {
            let _ = rules
                .wait_for(|rules| !matches!(rules.way, Way::Hold(_)))
                .await;
        }
        let passage = match now.bytes_per_second {
            None => Duration::ZERO,
            Some(rate) => Duration::from_secs(read as u64) / rate.get(),
        };
        let wait = now.delay + passage;
        if !wait.is_zero() {
            env.sleep(wait).await;
        }
        if to.write_all(piece).await.is_err() {
            return;
        }
    }
    // The halves are held: to drop them is to close the connection.
    let _ = rules.wait_for(|rules| rules.way == Way::Refuse).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    /// A server that sends back what it gets, and a proxy before it.
    async fn echo() -> (Task<()>, Proxy) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).await;
        let serving = Env::system().spawn(async move {
            let mut echoes = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                echoes.push(Env::system().spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                }));
            }
        });
        (serving, proxy)
    }

    /// Whether what is sent comes back within this time; an error if the connection ends.
    async fn answers(stream: &mut TcpStream, within: Duration) -> std::io::Result<bool> {
        stream.write_all(b"ping").await?;
        let mut back = [0; 4];
        match Env::system()
            .timeout(within, stream.read_exact(&mut back))
            .await
        {
            Ok(read) => read.map(|_| true),
            Err(_elapsed) => Ok(false),
        }
    }

    #[tokio::test]
    async fn silenced_connections_stay_open_and_new_ones_work() {
        let (_server, proxy) = echo().await;
        let mut old = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(answers(&mut old, SOON).await.unwrap());
        proxy.silence();
        assert!(!answers(&mut old, Duration::from_millis(50)).await.unwrap());
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(answers(&mut new, SOON).await.unwrap());
        assert_eq!(proxy.accepted(), 2);
        proxy.set(Way::Refuse);
        assert!(answers(&mut new, SOON).await.is_err());
        assert!(answers(&mut old, SOON).await.is_err());
    }

    #[tokio::test]
    async fn reset_connections_end_with_an_error_and_new_ones_work() {
        let (_server, proxy) = echo().await;
        let mut old = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(answers(&mut old, SOON).await.unwrap());
        proxy.reset();
        assert!(old.read_exact(&mut [0; 1]).await.is_err());
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(answers(&mut new, SOON).await.unwrap());
    }

    #[tokio::test]
    async fn delays_and_narrow_ways_take_their_time() {
        let (_server, proxy) = echo().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        let env = Env::system();
        let begin = env.now();
        proxy.set_delay(Duration::from_millis(20));
        assert!(answers(&mut stream, SOON).await.unwrap());
        assert!(
            env.now() - begin >= Duration::from_millis(40),
            "there and back"
        );
        proxy.set_delay(Duration::ZERO);
        proxy.set_bytes_per_second(NonZeroU32::new(100));
        let begin = env.now();
        assert!(answers(&mut stream, SOON).await.unwrap());
        assert!(
            env.now() - begin >= Duration::from_millis(80),
            "4 bytes, twice"
        );
    }

    #[tokio::test]
    async fn what_is_held_comes_when_the_way_is_open_again() {
        let (_server, proxy) = echo().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        proxy.set(Way::Hold(b"ping"));
        assert!(
            !answers(&mut stream, Duration::from_millis(50))
                .await
                .unwrap()
        );
        proxy.set(Way::Open);
        stream.read_exact(&mut [0; 4]).await.unwrap();
        proxy.set(Way::Hold(b"other"));
        assert!(answers(&mut stream, SOON).await.unwrap());
    }
}
