//! Where objects come from: directories of files, a text, the API, merged by precedence into what is in force.
//!
//! A source reads and watches, `sink` hands on what it says, `objects` merges, `status` and `write_back` tell it what
//! came of its objects. A further source is a file here, a row in `id`, a field of [`Sources`]
//! (with its flag in `control::options`) and a line in [`Sources::open`].
//! Nothing is understood here: `api` parses, `translate` says what it means. Read `directory` next.

pub mod applied;
pub mod directory;
pub mod id;
pub mod objects;
pub mod sink;
pub mod status;
pub mod text;
pub(crate) mod write_back;

use apiserver::Row;
use daemon::Drain;
use directory::DirectoryError;
use futures_util::future::BoxFuture;
use id::SourceId;
use objects::SourceState;
use sink::ObjectSink;
use status::StatusWriter;
use std::path::PathBuf;
use std::sync::Arc;
use text::TextSource;

/// Brings objects in, from somewhere.
pub trait ObjectSource: Send + 'static {
    /// Which one it is: its place in the order of precedence.
    fn id(&self) -> SourceId;

    /// What it says at the start. Asked once, before anybody is served from it.
    fn first(&mut self) -> SourceState;

    /// Who writes back what came of its objects; none: it has no place for that.
    fn status_writer(&self) -> Option<Arc<dyn StatusWriter>> {
        None
    }

    /// Hands each later state to `sink`, until `drain` starts.
    fn run(self: Box<Self>, sink: ObjectSink, drain: Drain) -> BoxFuture<'static, ()>;
}

/// Which sources are wanted beside the API.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Directories, watched; the first one has precedence.
    pub directories: Vec<PathBuf>,
    /// Documents that never change.
    pub text: Option<String>,
}

impl Sources {
    /// Opens all of them. `last_good` is what earlier runs had stored of files.
    ///
    /// # Errors
    /// When one of them does not work.
    pub fn open(self, last_good: Vec<Row>) -> Result<Vec<Box<dyn ObjectSource>>, DirectoryError> {
        let mut sources: Vec<Box<dyn ObjectSource>> = Vec::new();
        for source in directory::open(&self.directories, last_good)? {
            sources.push(Box::new(source));
        }
        if let Some(text) = self.text {
            sources.push(Box::new(TextSource(text)));
        }
        Ok(sources)
    }
}
