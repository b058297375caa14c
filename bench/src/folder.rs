//! Where a run keeps its configurations, logs and raw numbers.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder, by its full path.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes it where there is none.
    pub(crate) fn new(path: &Path) -> Result<Folder> {
        fs::create_dir_all(path).with_context(|| format!("create {}", path.display()))?;
        Ok(Folder(fs::canonicalize(path)?))
    }

    /// An empty one within it: what an earlier run left is gone.
    pub(crate) fn fresh(&self, name: &str) -> Result<Folder> {
        let path = self.0.join(name);
        let _ = fs::remove_dir_all(&path);
        Folder::new(&path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    pub(crate) fn text(&self) -> String {
        self.0.display().to_string()
    }

    /// Writes a file and says where it is.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.0.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path.display().to_string())
    }

    /// Adds a line to a file.
    pub(crate) fn append(&self, name: &str, line: &str) -> Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(self.0.join(name))?;
        Ok(writeln!(file, "{line}")?)
    }
}
