//! What a run is told on its command line.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::folder::Folder;
use crate::peers::pair::LogShare;

/// Options of all scenarios; each takes what concerns it.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// The program to measure; `leno-proxy` lies beside it
    #[arg(long, default_value = "target/release/leno")]
    leno: PathBuf,
    /// Fewer and shorter rounds, and without a name only what belongs to the short set
    #[arg(long)]
    pub short: bool,
    /// Measure only these contenders (null, bare, leno, plain, nginx, haproxy, envoy)
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds; in each, every contender has one block
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Seconds of load per block
    #[arg(long)]
    pub seconds: Option<u64>,
    /// Connections of the generator, one number or several
    #[arg(long, value_delimiter = ',')]
    pub connections: Vec<usize>,
    /// How many requests the pairs log; Leno, which logs all or nothing, logs all for `percent`
    #[arg(long, value_enum, default_value_t = LogShare::All)]
    pub log: LogShare,
    /// Do not count system calls
    #[arg(long)]
    pub no_strace: bool,
    /// Where the tables go; charts lie in a folder of its name beside it
    #[arg(long, default_value = "docs/benchmarks.md")]
    pub out: PathBuf,
    /// Where configurations, logs and raw numbers go
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
}

impl Options {
    /// The program under test, by its full path.
    pub(crate) fn leno(&self) -> Result<PathBuf> {
        std::fs::canonicalize(&self.leno).with_context(|| format!("find {}", self.leno.display()))
    }

    /// See `--folder`.
    pub(crate) fn folder(&self) -> Result<Folder> {
        Folder::new(&self.folder)
    }

    /// Whether a contender takes part.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only.eq_ignore_ascii_case(name))
    }
}
