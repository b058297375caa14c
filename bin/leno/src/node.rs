//! `leno node`: options of the crate `node`.

use anyhow::Result;

/// What to do on this host.
#[derive(clap::Subcommand)]
pub(crate) enum NodeCommand {
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
pub(crate) fn run(command: &NodeCommand) -> Result<()> {
    match command {
        NodeCommand::Capture { print: true } => print!("{}", ::node::capture::ruleset()),
        NodeCommand::Capture { print: false } => ::node::capture::apply()?,
        NodeCommand::Release => ::node::capture::release()?,
    }
    Ok(())
}
