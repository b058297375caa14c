//! `leno root grant`: asks the process that holds the root for a grant, and prints it.

use anyhow::Context;
use ca::GrantSubject;
use ca::issuer::unix::UnixIssuer;
use model::time::rfc3339;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// What to do with a root that is held.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum RootCommand {
    /// Make a grant with which a plane on another host has its first certificate signed, once
    Grant(GrantArguments),
}

/// Arguments of `leno root grant`.
#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("subject").args(["cluster", "manager"]).required(true)))]
pub struct GrantArguments {
    /// For the control plane of this cluster
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// For the management plane
    #[arg(long)]
    manager: bool,
    /// How long it is good, in seconds, at most a day
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=24 * 3600))]
    ttl_s: u64,
    /// Unix socket of the process that holds the root
    #[arg(long, value_name = "PATH", default_value = "/run/leno/root.sock")]
    socket: PathBuf,
}

/// Prints the grant on standard output, and what it is good for on standard error.
///
/// # Errors
/// When there is no such process, or it refuses.
pub async fn run(RootCommand::Grant(arguments): RootCommand) -> anyhow::Result<()> {
    let (subject, program) = match arguments.cluster {
        Some(name) => (GrantSubject::Cluster(name.as_str().into()), "control"),
        None => (GrantSubject::Manager, "manager"),
    };
    let holder = UnixIssuer::new(arguments.socket);
    let token = holder.request_grant(&subject, Duration::from_secs(arguments.ttl_s)).await;
    let token = token.context("make a grant")?;
    let until = rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(token.expires_s));
    println!("{}", token.text());
    eprintln!(
        "for {subject}, once, until {until}; give it to leno {program} --issuer tls://HOST:PORT \
         --issuer-token-file"
    );
    Ok(())
}
