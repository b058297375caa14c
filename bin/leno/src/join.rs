//! `leno join` and `leno leave`: options of the crate `node`.

use crate::node::ScopeOptions;
use ::node::join::{self, JoinPlan, PID_FILE};
use anyhow::{Context, Result, ensure};
use daemon::notify::Supervisor;
use model::capture_scope::CaptureScope;
use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

/// Longest text of a token.
const TOKEN_BYTES_MAX: u64 = 1024;

/// How this host joins.
#[derive(clap::Args)]
pub(crate) struct JoinOptions {
    /// The join token; `-` reads it from standard input, where `ps` does not see it
    #[arg(value_name = "TOKEN")]
    token: String,
    /// Control plane of the local cluster, HOST:PORT
    #[arg(long, value_name = "ADDR")]
    control: String,
    #[command(flatten)]
    scope: ScopeOptions,
    /// The user that the proxy runs as [default: who runs this]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// When the proxy ends by itself, undo capture after so long, in seconds: traffic then goes on without encryption and
    /// policies [default: connections are refused until the host leaves]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(0..=86_400))]
    undo_after: Option<u64>,
    /// Run the programs of `exec` probes, which the control plane names, as the user of the proxy
    #[arg(long)]
    allow_exec_probes: bool,
    /// Says which process keeps this host in the mesh
    #[arg(long, value_name = "PATH", default_value = PID_FILE)]
    pid_file: PathBuf,
    /// Further arguments of the proxy
    #[arg(last = true, value_name = "PROXY ARGUMENTS")]
    proxy: Vec<OsString>,
}

/// How this host leaves.
#[derive(clap::Args)]
pub(crate) struct LeaveOptions {
    /// As it was given to `join`
    #[arg(long, value_name = "PATH", default_value = PID_FILE)]
    pid_file: PathBuf,
}

/// Joins, and stays until the process is told to stop.
pub(crate) fn join(options: JoinOptions) -> Result<()> {
    daemon::logging::init("leno-join");
    daemon::process::harden();
    let token = if options.token == "-" { read_token()? } else { options.token };
    let mut arguments = vec![OsString::from("--control"), options.control.into()];
    if options.allow_exec_probes {
        arguments.push("--allow-exec-probes".into());
    }
    arguments.extend(options.proxy);
    let scope = CaptureScope::from(options.scope);
    // An address that is not captured would lead applications nowhere.
    if !scope.exclude_outbound_ip_ranges.is_empty() {
        let excluded: Vec<_> = scope.exclude_outbound_ip_ranges.iter().map(ToString::to_string).collect();
        arguments.push(format!("--exclude-outbound-ip-ranges={}", excluded.join(",")).into());
    }
    let plan = JoinPlan {
        proxy: beside_us("leno-proxy")?,
        arguments,
        user: options.user,
        token,
        scope,
        undo_after: options.undo_after.map(Duration::from_secs),
        pid_file: options.pid_file,
    };
    let manager = Supervisor::from_env()?;
    on_runtime(async {
        let stop = async {
            let stopped = daemon::process::wait_for_stop().await.map(drop);
            manager.stopping();
            stopped
        };
        tokio::select! {
            joined = join::join(plan, stop, || manager.ready()) => Ok(joined?),
            () = manager.stay_alive() => Ok(()),
        }
    })
}

/// Leaves.
pub(crate) fn leave(options: &LeaveOptions) -> Result<()> {
    daemon::logging::init("leno-leave");
    on_runtime(async {
        join::leave(&options.pid_file).await?;
        Ok(())
    })
}

fn on_runtime(run: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run)
}

fn read_token() -> Result<String> {
    let mut token = String::new();
    let read =
        std::io::stdin().take(TOKEN_BYTES_MAX + 1).read_to_string(&mut token).context("read the token")?;
    ensure!(read as u64 <= TOKEN_BYTES_MAX, "what is on standard input is too long for a token");
    Ok(token)
}

/// A program of ours: it lies in the directory of this one.
fn beside_us(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe().context("find this program")?.with_file_name(name);
    ensure!(path.is_file(), "{} is missing: it belongs beside leno", path.display());
    Ok(path)
}
