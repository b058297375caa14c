//! Layer 5. The commands that people type: they ask a control plane or read local files, print, and say
//! with their exit code how it went. Data goes to stdout, talk to stderr.
//!
//! `bin/leno` flattens [`Command`] into its own commands and calls [`run_in`]. Nothing here keeps state. Each
//! command has its file; `remote` speaks to the API, `load` reads files, `show` prints.

mod analyze;
mod apply;
pub mod backup;
mod check;
mod delete;
mod explain;
mod get;
mod mtls;
mod status;
mod token;
mod withdraw;

mod console; // stdout, stderr, colour
mod credentials; // who calls
pub mod exit; // codes and failures
mod load; // files to objects
mod naming; // kinds and names as typed
mod remote; // the control plane's API
mod show; // tables and findings

use clap::Subcommand;
use console::Console;
use exit::Failure;

/// Commands of a user.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create or change objects from files, as one change; when any of them is wrong nothing is applied
    ///
    /// All objects come into force at one moment, whatever their order, or none of them does. Objects of kinds
    /// that others serve are skipped and listed; see --strict.
    Apply(apply::Apply),
    /// Show objects
    Get(get::Get),
    /// Delete objects, as one change
    Delete(delete::Delete),
    /// Show each proxy with the configuration it was sent and the one it acknowledged
    #[command(visible_alias = "proxy-status")]
    Status(status::StatusArgs),
    /// Find what is wrong with configuration, in files or in the running cluster
    Analyze(analyze::Analyze),
    /// Explain the code of a finding, or a response_code_details of the access log
    Explain(explain::Explain),
    /// Mutual TLS: who does not speak it yet
    #[command(subcommand)]
    Mtls(mtls::MtlsCommand),
    /// Join tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Take out a proxy that is gone for good; one that runs withdraws itself when it stops
    Withdraw(withdraw::Withdraw),
    /// Check that the control plane answers and that all proxies are in sync
    Check(check::Check),
    /// Print a completion script for a shell
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Runs a command outside of any async runtime and returns the process's exit code (see [`exit`]).
/// Completion covers the commands of this crate; [`run_in`] covers the whole program.
pub fn run(command: Command) -> i32 {
    run_in(command, Command::augment_subcommands(clap::Command::new("leno")))
}

/// Like [`run`], with the program's complete definition for `completion`.
pub fn run_in(command: Command, mut program: clap::Command) -> i32 {
    let mut console = Console::real();
    if let Command::Completion { shell } = command {
        let mut script = Vec::new();
        let name = program.get_name().to_owned();
        clap_complete::generate(shell, &mut program, name, &mut script);
        console.data(&String::from_utf8_lossy(&script));
        return exit::OK;
    }
    let done = runtime().and_then(|runtime| runtime.block_on(dispatch(command, &mut console)));
    done.unwrap_or_else(|failure| console.failure(&failure))
}

/// `leno backup create`, as [`run`]: the other half of that command is not of this crate.
pub fn create_backup(args: &backup::BackupCreate) -> i32 {
    let mut console = Console::real();
    let done = runtime().and_then(|runtime| runtime.block_on(backup::create(args, &mut console)));
    done.unwrap_or_else(|failure| console.failure(&failure))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|cause| Failure::from(anyhow::Error::new(cause).context("start a runtime")))
}

async fn dispatch(command: Command, console: &mut Console) -> exit::Outcome {
    match command {
        Command::Apply(args) => apply::run(&args, console).await,
        Command::Get(args) => get::run(&args, console).await,
        Command::Delete(args) => delete::run(&args, console).await,
        Command::Status(args) => status::run(&args, console).await,
        Command::Analyze(args) => analyze::run(&args, console).await,
        Command::Explain(args) => explain::run(&args, console).await,
        Command::Mtls(args) => mtls::run(&args, console).await,
        Command::Token(args) => token::run(&args, console).await,
        Command::Withdraw(args) => withdraw::run(&args, console).await,
        Command::Check(args) => check::run(&args, console).await,
        Command::Completion { .. } => Ok(exit::OK), // answered by `run_in`
    }
}

#[cfg(test)]
mod tests;
