//! Where the lab's files are: one private tmpfs, so that they end with the lab.
//!
//! Each host has a directory there that its processes see as `/run` (empty but for `leno/`), so that no
//! name service cache or resolver of the outer host answers for it.

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Root of all files of a lab, on its tmpfs.
pub(crate) const ROOT: &str = "/run/leno";
/// Where a process in a host sees its own files.
pub(crate) const HOST_VIEW: &str = "/run/leno";
/// Size of the tmpfs. A full one makes writers fail, which their logs then cannot say.
const TMPFS_OPTIONS: &str = "mode=755,size=1g";
/// The file that names resolvers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// How a host gets a resolver configuration of its own.
#[derive(Clone, Debug)]
pub(crate) enum ResolvConf {
    /// A file is bound over this path.
    Bind(PathBuf),
    /// The system's is a link into `/run`, which every host replaces: a file at this place below it.
    BelowRun(PathBuf),
    /// The system has none; the C library then asks 127.0.0.1, which capture redirects all the same.
    Absent,
}

/// Mounts what PID 1 needs, hidden from the outer host. Must run before other threads exist.
pub(crate) fn mount_private() -> Result<ResolvConf> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("make mounts private")?;
    let guarded = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("proc"), "/proc", Some("proc"), guarded | MsFlags::MS_NOEXEC, none).context("mount /proc")?;
    let resolv_conf = match fs::canonicalize(RESOLV_CONF) {
        Ok(path) => match path.strip_prefix("/run") {
            Ok(below) => ResolvConf::BelowRun(below.to_owned()),
            Err(_) => ResolvConf::Bind(path),
        },
        Err(_) => ResolvConf::Absent,
    };
    mount(Some("leno"), "/run", Some("tmpfs"), guarded, Some(TMPFS_OPTIONS))
        .context("mount a private tmpfs")?;
    for directory in ["hosts", "captures"] {
        fs::create_dir_all(Path::new(ROOT).join(directory)).context("make the lab's directories")?;
    }
    Ok(resolv_conf)
}

/// The directory that `host` (`west/client`) sees as `/run`.
pub(crate) fn run_directory(host: &str) -> PathBuf {
    Path::new(ROOT).join("hosts").join(host)
}

/// A path inside a host's own `/run/leno`, as the lab sees it.
pub(crate) fn in_host(host: &str, path: &str) -> PathBuf {
    run_directory(host).join("leno").join(path)
}

/// Writes a whole file for its owner alone, then renames it into place: readers never see half of it.
pub(crate) fn write_atomically(path: &Path, contents: &[u8]) -> Result<()> {
    let directory = path.parent().context("a file needs a directory")?;
    let name = path.file_name().context("a file needs a name")?;
    fs::create_dir_all(directory)?;
    // A dot in front and no known ending: watchers of configuration skip it.
    let partial = directory.join(format!(".{}.partial", name.display()));
    let mut file = daemon::files::open_own(&partial).with_context(|| format!("write {}", path.display()))?;
    file.set_len(0)?;
    file.write_all(contents).with_context(|| format!("write {}", path.display()))?;
    fs::rename(&partial, path).with_context(|| format!("write {}", path.display()))
}

/// Writes a file that every user of a host may read.
pub(crate) fn write_for_all(path: &Path, contents: &[u8]) -> Result<()> {
    write_atomically(path, contents)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
        .with_context(|| format!("open {} to all", path.display()))
}

/// All regular files below `directory`, sorted.
pub(crate) fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).with_context(|| format!("list {}", directory.display()))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether `path` lies below the lab's root, without any `..`.
pub(crate) fn is_inside(path: &Path) -> bool {
    path.starts_with(ROOT) && path.components().all(|part| part != std::path::Component::ParentDir)
}

#[cfg(test)]
mod tests;
