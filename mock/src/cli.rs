//! The mock as a program: `shardwise-mock`, and `shardwise mock`, which is the same.

use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use futures_util::future::join_all;
use shardwise_env::{Env, ManualClock};
use shardwise_types::{StreamName, with_causes};

use crate::arn;
use crate::auth::KeyPairs;
use crate::backend::CreateStreamError;
use crate::clock::millis;
use crate::fault_text::FaultsError;
use crate::mock::Mock;
use crate::server::{ListenError, Server};
use crate::settings::{DEFAULT_ACCOUNT, DEFAULT_SCALE_EVERY, DEFAULT_SHARD_LIMIT, LimitsMode};

/// Where it listens and how it behaves.
#[derive(Debug, Clone, clap::Args)]
#[non_exhaustive]
pub struct MockArgs {
    /// Listen on this address; port 0 picks a free one
    #[arg(
        long,
        env = "SHARDWISE_MOCK_LISTEN",
        default_value = "127.0.0.1:4567",
        value_name = "ADDR"
    )]
    pub listen: SocketAddr,

    /// Listen with TLS on this address too
    #[arg(long, env = "SHARDWISE_MOCK_TLS_LISTEN", value_name = "ADDR")]
    pub tls_listen: Option<SocketAddr>,

    /// Write the TLS port's certificate to this file, in PEM, for clients to trust
    #[arg(
        long,
        env = "SHARDWISE_MOCK_TLS_CERTIFICATE",
        requires = "tls_listen",
        value_name = "FILE"
    )]
    pub tls_certificate: Option<PathBuf>,

    /// Answer the admin API on this address: fault rules, the clock, reset, metrics
    #[arg(long, env = "SHARDWISE_MOCK_ADMIN_LISTEN", value_name = "ADDR")]
    pub admin_listen: Option<SocketAddr>,

    /// Allow an address that other machines can reach
    #[arg(long, env = "SHARDWISE_MOCK_ALLOW_REMOTE")]
    pub allow_remote: bool,

    /// The account of callers whose access key id is not itself an account, of 12 digits
    #[arg(long, env = "SHARDWISE_MOCK_ACCOUNT", default_value = DEFAULT_ACCOUNT, value_parser = account)]
    pub account: String,

    /// The only region; without it each request has the one that it is signed for
    #[arg(long, env = "SHARDWISE_MOCK_REGION", value_name = "REGION", value_parser = region)]
    pub region: Option<String>,

    /// How many open shards the account may have
    #[arg(long, env = "SHARDWISE_MOCK_SHARD_LIMIT", default_value_t = DEFAULT_SHARD_LIMIT, value_name = "N")]
    pub shard_limit: u32,

    /// The limits of a shard: relaxed takes whatever comes, strict what the service's shards take
    #[arg(
        long,
        env = "SHARDWISE_MOCK_LIMITS",
        default_value = "relaxed",
        value_enum
    )]
    pub limits: LimitsMode,

    /// Limit the rates, daily quotas and numbers of streams as the service does
    #[arg(long, env = "SHARDWISE_MOCK_CONTROL_PLANE_LIMITS")]
    pub control_plane_limits: bool,

    /// How long after a new peak on-demand streams grow, at most to twice their shards; 0 for never
    #[arg(
        long,
        env = "SHARDWISE_MOCK_SCALE_EVERY",
        default_value_t = millis(DEFAULT_SCALE_EVERY),
        value_name = "MS"
    )]
    pub scale_every: u64,

    /// How long streams stay CREATING, UPDATING and DELETING
    #[arg(
        long,
        env = "SHARDWISE_MOCK_STATE_DELAY",
        default_value_t = 500,
        value_name = "MS"
    )]
    pub state_delay: u64,

    /// How long tables stay CREATING, UPDATING and DELETING; a KCL looks again only after ten seconds
    #[arg(
        long,
        env = "SHARDWISE_MOCK_TABLE_DELAY",
        default_value_t = 0,
        value_name = "MS"
    )]
    pub table_delay: u64,

    /// How old the items may be that an eventually consistent read of a table shows
    #[arg(
        long,
        env = "SHARDWISE_MOCK_STALE_READS",
        default_value_t = 0,
        value_name = "MS"
    )]
    pub stale_reads: u64,

    /// Create a stream before the first answer; may be given several times
    #[arg(
        long,
        env = "SHARDWISE_MOCK_CREATE_STREAM",
        value_delimiter = ',',
        value_name = "NAME:SHARDS[:REGION]"
    )]
    pub create_stream: Vec<NewStream>,

    /// Verify the signature of every request: any access key id, with the secret of --secret
    #[arg(long, env = "SHARDWISE_MOCK_VERIFY_SIGNATURES")]
    pub verify_signatures: bool,

    /// The secret access key that --verify-signatures takes
    #[arg(
        long,
        env = "SHARDWISE_MOCK_SECRET",
        default_value = DEFAULT_SECRET,
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub secret: Secret,

    /// Answer POST /moto-api/reset on the services' port too: it drops all streams, tables and faults
    #[arg(long, env = "SHARDWISE_MOCK_MOTO_RESET")]
    pub moto_reset: bool,

    /// Begin with the fault rules of this file, in JSON
    #[arg(long, env = "SHARDWISE_MOCK_FAULTS", value_name = "FILE")]
    pub faults: Option<PathBuf>,

    /// How time passes: real, scaled:N for N times as fast, or manual, moved over the admin API
    #[arg(
        long,
        env = "SHARDWISE_MOCK_CLOCK",
        default_value = "real",
        value_name = "CLOCK"
    )]
    pub clock: ClockKind,

    /// Make ids and tokens repeatable: equal seeds and clocks give equal answers
    #[arg(long, env = "SHARDWISE_MOCK_SEED", value_name = "N")]
    pub seed: Option<u64>,
}

/// How time passes for the mock.
///
/// ```
/// use shardwise_mock::cli::ClockKind;
///
/// assert_eq!("real".parse(), Ok(ClockKind::Real));
/// assert_eq!("scaled:60".parse(), Ok(ClockKind::Scaled(60.try_into()?)));
/// assert!("scaled:0".parse::<ClockKind>().is_err());
/// # Ok::<(), std::num::TryFromIntError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClockKind {
    /// As for everybody.
    Real,
    /// So many times as fast. Clients that sign by their own clocks are soon too far behind for
    /// `--verify-signatures`, unless they follow the mock's `Date`.
    Scaled(NonZeroU32),
    /// Not at all, until it is moved over the admin API.
    Manual,
}

impl FromStr for ClockKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("scaled:")) {
            ("real", _) => Ok(Self::Real),
            ("manual", _) => Ok(Self::Manual),
            (_, Some(rate)) => rate
                .parse()
                .map(Self::Scaled)
                .map_err(|_| "N of scaled:N must be a whole number from 1".to_owned()),
            _ => Err("expected real, manual or scaled:N, for example scaled:60".to_owned()),
        }
    }
}

/// A secret access key, which is not shown.
///
/// ```
/// use shardwise_mock::cli::Secret;
///
/// assert_eq!(format!("{:?}", Secret::from("wJalr".to_owned())), "<redacted>");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// A stream to begin with: `NAME:SHARDS`, or `NAME:SHARDS:REGION` for another region than the mock's
/// own.
///
/// ```
/// use shardwise_mock::cli::NewStream;
///
/// assert!("orders:4".parse::<NewStream>().is_ok());
/// assert!("orders:4:eu-west-1".parse::<NewStream>().is_ok());
/// assert!("orders".parse::<NewStream>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStream {
    name: StreamName,
    shards: u32,
    region: Option<String>,
}

impl FromStr for NewStream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text
            .split_once(':')
            .ok_or("expected NAME:SHARDS[:REGION], for example orders:4 or orders:4:eu-west-1")?;
        let (shards, of_region) = match rest.split_once(':') {
            Some((shards, text)) => (shards, Some(region(text)?)),
            None => (rest, None),
        };
        Ok(Self {
            name: name.parse().map_err(|error| format!("{error}"))?,
            shards: shards
                .parse()
                .ok()
                .filter(|shards| *shards > 0)
                .ok_or("SHARDS must be a number from 1")?,
            region: of_region,
        })
    }
}

impl NewStream {
    fn create(self, mock: &Mock, only_region: Option<&str>) -> Result<(), RunError> {
        match (self.region, only_region) {
            (Some(region), Some(only)) if region != only => Err(RunError::OtherRegion {
                stream: self.name,
                region,
                only: only.to_owned(),
            }),
            (Some(region), None) => {
                let backend = mock.backend();
                let account = backend.accounts().own(&region, backend.now());
                Ok(backend.create_stream(&account, &self.name, self.shards)?)
            }
            _ => Ok(mock.create_stream(&self.name, self.shards)?),
        }
    }
}

/// Why the program could not begin, or ended by itself.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The address is reachable from other machines, and `--allow-remote` is missing.
    #[error("{0} can be reached from other machines: add --allow-remote if that is meant")]
    Remote(SocketAddr),
    /// The clock is moved over the admin API, and there is none.
    #[error("a manual clock is moved over the admin API: add --admin-listen ADDR")]
    ManualClock,
    /// A stream to begin with is for a region that there is not.
    #[error("could not create stream {stream} in {region}: the only region is {only}")]
    #[non_exhaustive]
    OtherRegion {
        /// The stream.
        stream: StreamName,
        /// Where it was to be.
        region: String,
        /// The region that the mock was given.
        only: String,
    },
    /// The file of fault rules cannot be read.
    #[error("could not read {}", path.display())]
    #[non_exhaustive]
    ReadFaults {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of fault rules has something else in it.
    #[error("could not use {}", path.display())]
    #[non_exhaustive]
    Faults {
        /// The file.
        path: PathBuf,
        /// What, and on which line.
        source: FaultsError,
    },
    /// A stream to begin with was refused.
    #[error(transparent)]
    CreateStream(#[from] CreateStreamError),
    /// The certificate could not be written out.
    #[error("could not write the certificate to {}", path.display())]
    Certificate {
        /// The file that was asked for.
        path: PathBuf,
        /// Why it could not be written.
        source: io::Error,
    },
    /// Standard output or the signal handlers failed.
    #[error("could not print the ready line, or wait for a signal")]
    Io(#[from] io::Error),
}

impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_causes(self))
    }
}

/// Runs the mock until SIGTERM or ctrl-c.
///
/// Prints `ready http://ADDR` on standard output as soon as it answers; behind it `https://ADDR` if
/// it has a TLS port, and `admin http://ADDR` if it has an admin API.
///
/// # Errors
/// If it cannot begin; once it is ready it ends only by a signal.
///
/// # Cancel safety
/// Safe: dropped, it closes the port and every connection.
pub async fn run(args: MockArgs) -> Result<(), RunError> {
    let addresses = [Some(args.listen), args.tls_listen, args.admin_listen];
    for address in addresses.into_iter().flatten() {
        if !address.ip().is_loopback() && !args.allow_remote {
            return Err(RunError::Remote(address));
        }
    }
    let builder = match args.clock {
        ClockKind::Real => Mock::builder().env(Env::system()),
        ClockKind::Scaled(rate) => Mock::builder().env(Env::scaled(rate)),
        ClockKind::Manual if args.admin_listen.is_none() => return Err(RunError::ManualClock),
        ClockKind::Manual => Mock::builder().manual_clock(ManualClock::new()),
    };
    let mut builder = builder
        .account(args.account)
        .shard_limit(args.shard_limit)
        .limits(args.limits)
        .control_plane_limits(args.control_plane_limits)
        .scale_every(Duration::from_millis(args.scale_every))
        .state_delay(Duration::from_millis(args.state_delay))
        .table_delay(Duration::from_millis(args.table_delay))
        .stale_reads(Duration::from_millis(args.stale_reads))
        .moto_reset(args.moto_reset);
    if let Some(seed) = args.seed {
        builder = builder.seed(seed);
    }
    if let Some(region) = &args.region {
        builder = builder.region(region);
    }
    if args.verify_signatures {
        builder = builder.verify_signatures(KeyPairs::any_id(args.secret.0));
    }
    let mock = builder.build();
    for stream in args.create_stream {
        stream.create(&mock, args.region.as_deref())?;
    }
    if let Some(path) = args.faults {
        add_faults(&mock, path).await?;
    }
    // Before the ready line: whoever reads it may send a signal at once.
    let end = EndSignals::new()?;
    let server = mock.listen(args.listen).await?;
    let tls_server = match args.tls_listen {
        Some(address) => Some(mock.listen_tls(address).await?),
        None => None,
    };
    if let Some(path) = args.tls_certificate {
        let certificate = tls_server.as_ref().and_then(Server::certificate);
        tokio::fs::write(&path, certificate.unwrap_or_default())
            .await
            .map_err(|source| RunError::Certificate { path, source })?;
    }
    let admin_server = match args.admin_listen {
        Some(address) => Some(mock.listen_admin(address).await?),
        None => None,
    };
    let mut ready = format!("ready http://{}", server.local_addr());
    if let Some(server) = &tls_server {
        ready += &format!(" https://{}", server.local_addr());
    }
    if let Some(server) = &admin_server {
        ready += &format!(" admin http://{}", server.local_addr());
    }
    writeln!(io::stdout(), "{ready}")?;
    io::stdout().flush()?;
    end.wait().await;
    let servers = [Some(server), tls_server, admin_server]
        .into_iter()
        .flatten();
    join_all(servers.map(Server::shutdown)).await;
    Ok(())
}

async fn add_faults(mock: &Mock, path: PathBuf) -> Result<(), RunError> {
    let text = match tokio::fs::read_to_string(&path).await {
        Ok(text) => text,
        Err(source) => return Err(RunError::ReadFaults { path, source }),
    };
    match mock.add_faults(&text) {
        Ok(_) => Ok(()),
        Err(source) => Err(RunError::Faults { path, source }),
    }
}

/// SIGTERM and SIGINT.
struct EndSignals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl EndSignals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl EndSignals {
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    async fn wait(self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// The secret access key that `--verify-signatures` takes by default: what tutorials
/// of local backends set.
pub const DEFAULT_SECRET: &str = "test";

fn account(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("an account has 12 digits".to_owned())
    }
}

fn region(text: &str) -> Result<String, String> {
    if arn::is_region(text) {
        Ok(text.to_owned())
    } else {
        Err("a region is lower-case letters, digits and hyphens, such as eu-west-1".to_owned())
    }
}
