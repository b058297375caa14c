//! `leno backup create`: what a running plane keeps, in one file for its owner alone.
//!
//! What a backup is made of is the plane's matter; `leno backup restore` checks it.

use crate::console::Console;
use crate::exit::{self, Failure, Outcome};
use crate::remote::{self, Server};
use anyhow::Context;
use codec::client::Limits;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a backup may take.
const BACKUP_DEADLINE: Duration = Duration::from_secs(600);
/// Largest backup, in bytes; a plane sends no larger one.
const BACKUP_BYTES_MAX: usize = 640 * 1024 * 1024;
/// What a backup is sent as.
const BACKUP_TYPE: &str = "application/x-ndjson";

/// Arguments of `backup create`.
#[derive(Debug, clap::Args)]
pub struct BackupCreate {
    /// The file; one that is there is replaced when the new one is complete
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn create(args: &BackupCreate, console: &mut Console) -> Outcome {
    let limits = Limits { deadline: BACKUP_DEADLINE, body_bytes_max: BACKUP_BYTES_MAX };
    let response = args.server.remote()?.fetch("/leno/v1/backup", limits).await?;
    if !response.status().is_success() {
        return Err(remote::refusal(&response));
    }
    let kind = response.headers().get(http::header::CONTENT_TYPE);
    if kind.is_none_or(|kind| kind != BACKUP_TYPE) {
        return Err(Failure::new(
            exit::FAILED,
            "the answer is no backup; is this a control or management plane?",
        ));
    }
    let written = write(&args.file, response.body());
    written.with_context(|| format!("write {}", args.file.display()))?;
    console.say(&format!(
        "{} bytes in {}; there is no key in it, but hashes of join tokens, and what the mesh is made of: keep it to \
         yourself",
        response.body().len(),
        args.file.display()
    ));
    Ok(exit::OK)
}

/// All of it or nothing, for the owner alone.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    // What an earlier attempt left may be open to others.
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    let written =
        file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        // What failed is told; what is left of it is of no use.
        let _ = std::fs::remove_file(&partial);
        return written;
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_backup_is_there_as_a_whole_and_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backup");
        for text in ["the first, which is longer", "the second"] {
            std::fs::write(dir.path().join("backup.partial"), "an attempt").unwrap();
            write(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        }
        let taken = dir.path().join("taken");
        std::fs::create_dir(&taken).unwrap();
        write(&taken, b"text").unwrap_err();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
