//! `leno backup`: made by the crate `cli` from a running plane, restored by `apiserver` while none runs.

use apiserver::backup::restore::{Existing, Restored, restore};
use std::path::PathBuf;
use std::process::ExitCode;

/// Save and restore what a control plane or the management plane keeps
#[derive(clap::Subcommand)]
pub(crate) enum BackupCommand {
    /// Save what a running plane keeps into a file, as it is at one moment; takes the role admin
    ///
    /// Objects of the API, mesh-only addresses, registrations, join tokens as hashes, what other clusters offer, and
    /// the last good configuration files. No key: those are in memory alone.
    Create(cli::backup::BackupCreate),
    /// Make a backup the state of a plane that does not run, on this host or another one
    ///
    /// The backup is checked to its end before anything is written. The file belongs to whom the directory belongs.
    Restore(RestoreOptions),
}

/// How a backup is restored.
#[derive(clap::Args)]
pub(crate) struct RestoreOptions {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// State directory of the plane, as it is given to --state-dir
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// State that is there already is moved aside, as control.redb.replaced; what was moved aside before stays
    #[arg(long)]
    replace: bool,
}

/// Does it.
pub(crate) fn run(command: &BackupCommand) -> anyhow::Result<ExitCode> {
    let options = match command {
        BackupCommand::Create(create) => {
            let code = cli::create_backup(create);
            return Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from));
        }
        BackupCommand::Restore(options) => options,
    };
    let existing = if options.replace { Existing::Replace } else { Existing::Refuse };
    let Restored { head, path, rows, replaced } = restore(&options.file, &options.state, existing)?;
    eprintln!(
        "{} has what a {} kept at {}: {rows} rows, revision {}",
        path.display(),
        head.plane,
        head.made,
        head.revision
    );
    if let Some(replaced) = replaced {
        eprintln!("what was there before is {}", replaced.display());
    }
    Ok(ExitCode::SUCCESS)
}
