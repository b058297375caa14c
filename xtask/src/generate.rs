//! `cargo xtask generate`: Rust from the protobuf files of `crates/xds`, committed so that builds need no compiler.

use anyhow::Context;
use std::path::Path;

/// Every file whose messages or services are used directly.
const FILES: &[&str] = &[
    "envoy/service/discovery/v3/discovery.proto",
    "leno/mesh/v1/resources.proto",
    "leno/mesh/v1/enrollment.proto",
    "leno/mesh/v1/federation.proto",
];

/// Rewrites `crates/xds/src/gen` below `root`, the workspace's directory.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let protos = root.join("crates/xds/proto");
    let out = root.join("crates/xds/src/gen");
    let files: Vec<_> = FILES.iter().map(|file| protos.join(file)).collect();
    let descriptors = protox::compile(&files, [&protos]).context("compile the protobuf files")?;
    std::fs::create_dir_all(&out).with_context(|| format!("create {}", out.display()))?;
    tonic_prost_build::configure()
        .out_dir(&out)
        // Own copies instead of prost-types, and of `Any` one whose content streams share.
        .compile_well_known_types(true)
        .extern_path(".google.protobuf.Any", "crate::wire::Any")
        .bytes(".")
        // A key shows itself nowhere: its own `Debug` is written by hand.
        .skip_debug([".leno.mesh.v1.KeyPair"])
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)
        .with_context(|| format!("write {}", out.display()))
}
