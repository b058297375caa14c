#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use std::path::PathBuf;

/// A directory for one test, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("leno-files-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_made_is_for_its_owner_alone() {
    let directory = Directory::new("made");
    let (below, file) = (directory.0.join("a/b"), directory.0.join("a/b/state"));
    make_directory(&below).unwrap();
    drop(open_own(&file).unwrap());
    let log = directory.0.join("log");
    drop(private().create(true).append(true).open(&log).unwrap());
    assert_eq!([mode(&directory.0.join("a")), mode(&below)], [0o700, 0o700]);
    assert_eq!([mode(&file), mode(&log)], [0o600, 0o600]);
}

#[test]
fn own_files_of_an_earlier_version_are_closed_and_kept() {
    let directory = Directory::new("kept");
    let file = directory.0.join("state");
    std::fs::write(&file, "kept").unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    drop(open_own(&file).unwrap());
    assert_eq!(mode(&file), 0o600);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
}
