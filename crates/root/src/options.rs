//! What the holder of a root is told at its start. Never a key: that comes over a descriptor.

use crate::command::RootCommand;
use ca::issuer::parse_trust_domain;
use ca::issuer::serve::Lifetimes;
use model::TrustDomain;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Shortest life of what is signed, in seconds.
const TTL_MIN_S: u64 = 60;
/// Longest life of what is signed, in seconds (30 days): so long a stolen key could be of use.
const TTL_MAX_S: u64 = 30 * 24 * 3600;
/// Life of what is signed where nothing is said, in seconds: a day.
const TTL_DEFAULT_S: u64 = 24 * 3600;

/// `leno root` and what is below it.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RootArguments {
    /// Without one: hold a root.
    #[command(subcommand)]
    pub command: Option<RootCommand>,
    /// How to hold it.
    #[command(flatten)]
    pub options: Options,
}

/// Options of `leno root`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Inherited descriptor from which the root is read once: its certificate and its key (PKCS#8), as PEM; 0 is
    /// standard input
    ///
    /// The key may be P-256, P-384, Ed25519 or RSA. It is kept in memory and is written nowhere. Without this a root
    /// is made in memory, for development: when the process ends nobody can sign for the mesh any more.
    #[arg(long, value_name = "FD")]
    pub root_fd: Option<RawFd>,
    /// Whom the root vouches for: the part of identities behind spiffe://
    #[arg(long, value_name = "NAME", default_value = "cluster.local", value_parser = parse_trust_domain)]
    pub trust_domain: TrustDomain,
    /// Where it is asked: unix:PATH, for this user and for root on this host, or tls://ADDRESS:PORT, for planes on
    /// other hosts that have a grant; may be repeated
    ///
    /// `leno root grant` asks at a Unix socket.
    #[arg(long, value_name = "ADDRESS", default_value = "unix:/run/leno/root.sock")]
    pub listen: Vec<ListenAddress>,
    /// A further user who may ask at the Unix socket, by number; may be repeated
    ///
    /// Whoever may ask has intermediates signed for any cluster. The socket is then open to all users (0666 instead
    /// of 0600), and others are refused by what the kernel says of them.
    #[arg(long, value_name = "UID")]
    pub allow_uid: Vec<u32>,
    /// Life of clusters' intermediates, in seconds; control planes renew them at half of it
    #[arg(long, value_name = "SECONDS", default_value_t = TTL_DEFAULT_S, value_parser = clap::value_parser!(u64).range(TTL_MIN_S..=TTL_MAX_S))]
    pub intermediate_ttl_s: u64,
    /// Life of the management plane's certificate, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = TTL_DEFAULT_S, value_parser = clap::value_parser!(u64).range(TTL_MIN_S..=TTL_MAX_S))]
    pub leaf_ttl_s: u64,
}

impl Options {
    /// How long what is signed is valid.
    pub fn lifetimes(&self) -> Lifetimes {
        Lifetimes {
            intermediate: Duration::from_secs(self.intermediate_ttl_s),
            leaf: Duration::from_secs(self.leaf_ttl_s),
        }
    }
}

/// Where a root is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// TCP, for other hosts.
    Tls(SocketAddr),
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix("unix:").filter(|path| Path::new(path).is_absolute());
        if let Some(path) = path {
            return Ok(Self::Unix(path.into()));
        }
        let address = text.strip_prefix("tls://").and_then(|address| address.parse().ok());
        let fault = "is neither unix:/PATH nor tls://IP:PORT, as tls://0.0.0.0:15013";
        address.map(Self::Tls).ok_or_else(|| format!("`{text}` {fault}"))
    }
}
