#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use crate::backup::{SNAPSHOT_BYTES_MAX, StatePlane, lines};
use crate::store::Store;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

/// A state directory as an earlier version left it, with a backup of it.
fn backed_up(at: &Path) -> (PathBuf, StoreSnapshot) {
    let path = at.join("old.redb");
    std::fs::write(&path, fixtures::state::CONTROL_FORMAT_1).unwrap();
    let snapshot = DiskStore::open(&path).unwrap().snapshot(SNAPSHOT_BYTES_MAX).unwrap();
    let backup = at.join("backup");
    let all =
        lines(StatePlane::Control, snapshot.clone(), SystemTime::UNIX_EPOCH).collect::<Vec<_>>().concat();
    std::fs::write(&backup, all).unwrap();
    (backup, snapshot)
}

#[test]
fn what_was_stored_is_stored_again_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (backup, snapshot) = backed_up(dir.path());
    let state = dir.path().join("a/state");
    let restored = restore(&backup, &state, Existing::Refuse).unwrap();
    assert_eq!(
        (restored.path.as_path(), restored.rows),
        (state.join("control.redb").as_path(), snapshot.rows.len())
    );
    assert_eq!(std::fs::metadata(&restored.path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 1);
    let store = DiskStore::open(&restored.path).unwrap();
    assert_eq!(store.snapshot(SNAPSHOT_BYTES_MAX).unwrap(), snapshot);
    assert_eq!(store.commit(&[]).unwrap(), snapshot.revision + 1);
}

#[test]
fn state_that_is_there_is_replaced_only_if_told_and_never_under_a_process() {
    let dir = tempfile::tempdir().unwrap();
    let (backup, snapshot) = backed_up(dir.path());
    let path = dir.path().join("control.redb");
    std::fs::write(&path, b"something").unwrap();
    let told = restore(&backup, dir.path(), Existing::Refuse).unwrap_err().to_string();
    assert!(told.contains("--replace"), "{told}");
    assert_eq!(std::fs::read(&path).unwrap(), b"something");
    // Whoever restores twice has not lost what was there before the first time.
    for (aside, content) in [("control.redb.replaced", Some(b"something")), ("control.redb.replaced-2", None)]
    {
        let restored = restore(&backup, dir.path(), Existing::Replace).unwrap();
        assert_eq!(restored.replaced, Some(dir.path().join(aside)));
        assert!(content.is_none_or(|content| std::fs::read(dir.path().join(aside)).unwrap() == content));
    }
    assert_eq!(std::fs::read(dir.path().join("control.redb.replaced")).unwrap(), b"something");
    let store = DiskStore::open(&path).unwrap();
    let told = restore(&backup, dir.path(), Existing::Replace).unwrap_err().to_string();
    assert!(told.contains("in use"), "{told}");
    assert_eq!(store.snapshot(SNAPSHOT_BYTES_MAX).unwrap(), snapshot);
}

/// Root restores in a directory of the plane's user, who may put links there.
#[test]
fn no_link_leads_to_a_file_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (backup, snapshot) = backed_up(dir.path());
    let (state, precious) = (dir.path().join("state"), dir.path().join("precious"));
    std::fs::create_dir(&state).unwrap();
    std::fs::write(&precious, b"of somebody else").unwrap();
    for name in ["control.redb.restored", "control.redb.restored.new", "control.redb.replaced"] {
        std::os::unix::fs::symlink(&precious, state.join(name)).unwrap();
    }
    for existing in [Existing::Refuse, Existing::Replace] {
        restore(&backup, &state, existing).unwrap();
        let store = DiskStore::open(&state.join("control.redb")).unwrap();
        assert_eq!(store.snapshot(SNAPSHOT_BYTES_MAX).unwrap(), snapshot);
        assert_eq!(std::fs::read(&precious).unwrap(), b"of somebody else");
    }
}

#[test]
fn a_backup_that_is_none_leaves_everything_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (backup, _) = backed_up(dir.path());
    let bytes = std::fs::read(&backup).unwrap();
    std::fs::write(&backup, &bytes[..bytes.len() - 10]).unwrap();
    let state = dir.path().join("state");
    for backup in [&backup, &dir.path().join("none")] {
        let error = restore(backup, &state, Existing::Refuse).unwrap_err();
        assert!(error.to_string().contains(backup.to_str().unwrap()), "{error}");
        assert!(!state.exists());
    }
}
