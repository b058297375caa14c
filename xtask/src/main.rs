//! `cargo xtask`: checks and code generation of the workspace.

mod generate;

use anyhow::Context;
use std::path::Path;

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    match std::env::args().nth(1).as_deref() {
        Some("generate") => generate::run(root),
        _ => anyhow::bail!("usage: cargo xtask generate"),
    }
}
