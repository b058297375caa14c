//! Writes the manual pages of this program, one for each command: for packages.

use clap::Command;
use std::io;
use std::path::PathBuf;

/// Where to.
#[derive(clap::Args)]
pub(crate) struct ManualOptions {
    /// An existing directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Writes them. That of `leno proxy` is called leno-proxy, and is that of this program, too: its options are the same.
pub(crate) fn write(program: Command, options: &ManualOptions) -> io::Result<()> {
    clap_mangen::generate_to(program, &options.directory)
}
