//! `cargo xtask`: checks and code generation of the workspace, and the Debian package.

mod files;
mod generate;
mod package;
mod tidy;
mod tracked;

use anyhow::Context;
use std::path::Path;
use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    match std::env::args().nth(1).as_deref() {
        Some("generate") => {
            generate::run(root)?;
            files::write(root)?;
            Ok(ExitCode::SUCCESS)
        }
        Some("files") => files::write(root).map(|()| ExitCode::SUCCESS),
        Some("tidy") => tidy::run(root),
        Some("package") => package::run(root, std::env::args().skip(2)).map(|()| ExitCode::SUCCESS),
        _ => anyhow::bail!("usage: cargo xtask generate|files|tidy|package"),
    }
}
