//! `leno node`: options of the crate `node`.

use anyhow::Result;

/// What to do on this host.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Redirect this host's traffic to the proxy on it
    Capture {
        /// Print the rules instead of applying them
        #[arg(long)]
        print: bool,
    },
    /// Undo capture: exactly its rules are removed
    Release,
}

/// Does it.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Capture { print: true } => print!("{}", ::node::capture::ruleset()),
        Command::Capture { print: false } => ::node::capture::apply()?,
        Command::Release => ::node::capture::release()?,
    }
    Ok(())
}
