//! A directory of configuration files as a source: read at the start, then watched.
//!
//! `directory/scan.rs` reads it, `directory/files.rs` knows what of it is in force, `directory/watch.rs` notices
//! changes.

pub mod files;
pub mod scan;
pub mod watch;

use crate::source::ObjectSource;
use crate::source::id::SourceId;
use crate::source::objects::SourceState;
use crate::source::sink::ObjectSink;
use apiserver::Row;
use daemon::Drain;
use files::Directory;
use futures_util::future::BoxFuture;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a directory cannot be a source.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// It cannot be read at all.
    #[error("read configuration directory {path}")]
    Read {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It cannot be watched.
    #[error("watch configuration directory {path}")]
    Watch {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        cause: notify::Error,
    },
    /// Its files would be read twice.
    #[error("configuration directory {path} is {other} or lies in it; give directories that are apart")]
    Overlap {
        /// The directory.
        path: PathBuf,
        /// Another one.
        other: PathBuf,
    },
}

/// A watched directory, already read once.
pub struct DirectorySource {
    id: SourceId,
    directory: Directory,
    events: watch::Events,
}

/// Opens directories; the first one has precedence. `stored` is what earlier runs had stored of their files.
///
/// # Errors
/// When one of them cannot be read or watched, or two of them overlap.
pub fn open(roots: &[PathBuf], stored: Vec<Row>) -> Result<Vec<DirectorySource>, DirectoryError> {
    check_apart(roots)?;
    let owner = |row: &Row| roots.iter().position(|root| Path::new(&row.key).starts_with(root));
    let mut sources = Vec::new();
    for (at, (root, number)) in roots.iter().zip(0..).enumerate() {
        // What is no directory's any more, the first one takes out of the store.
        let rows: Vec<Row> = stored.iter().filter(|row| owner(row).unwrap_or(0) == at).cloned().collect();
        sources.push(DirectorySource::open(SourceId::Directory(number), root, &rows)?);
    }
    Ok(sources)
}

/// Refuses directories that lie in one another. One that is not there is reported when it is read.
fn check_apart(roots: &[PathBuf]) -> Result<(), DirectoryError> {
    let real: Vec<Option<PathBuf>> = roots.iter().map(|root| root.canonicalize().ok()).collect();
    for (path, here) in roots.iter().zip(&real) {
        for (other, there) in roots.iter().zip(&real).filter(|(other, _)| !std::ptr::eq(*other, path)) {
            if let (Some(here), Some(there)) = (here, there)
                && here.starts_with(there)
            {
                return Err(DirectoryError::Overlap { path: path.clone(), other: other.clone() });
            }
        }
    }
    Ok(())
}

impl DirectorySource {
    fn open(id: SourceId, root: &Path, stored: &[Row]) -> Result<Self, DirectoryError> {
        // Watch first, read then: what changes in between is read again.
        let events =
            watch::start(root).map_err(|cause| DirectoryError::Watch { path: root.to_owned(), cause })?;
        let directory = Directory::open(root, stored)
            .map_err(|cause| DirectoryError::Read { path: root.to_owned(), cause })?;
        Ok(Self { id, directory, events })
    }
}

impl ObjectSource for DirectorySource {
    fn id(&self) -> SourceId {
        self.id
    }

    fn first(&mut self) -> SourceState {
        self.directory.state()
    }

    fn run(self: Box<Self>, sink: ObjectSink, drain: Drain) -> BoxFuture<'static, ()> {
        let publish = move |state| {
            let sink = sink.clone();
            async move {
                // The plane ends only with the process.
                let _ = sink.replace(state).await;
            }
        };
        Box::pin(async move {
            tokio::select! {
                () = watch::run(self.directory, self.events, publish) => {}
                () = drain.started() => {}
            }
        })
    }
}

#[cfg(test)]
mod tests;
