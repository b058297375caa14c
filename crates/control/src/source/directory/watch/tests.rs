#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use fixtures::text::service;
use std::fs;

/// The names in force, state after state, while a directory is watched for real.
struct Watched {
    root: PathBuf,
    states: mpsc::UnboundedReceiver<String>,
    _dir: tempfile::TempDir,
}

impl Watched {
    fn start(fill: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("config");
        fs::create_dir(&root).unwrap();
        fill(&root);
        let events = start(&root).unwrap();
        let directory = Directory::open(&root, &[]).unwrap();
        let (tx, states) = mpsc::unbounded_channel();
        let publish = move |state: SourceState| {
            let mut names: Vec<_> = state.objects.iter().map(|o| o.object.name.to_string()).collect();
            names.extend(state.leaving.iter().map(|object| format!("-{}", object.name)));
            names.extend(state.findings.iter().map(|finding| format!("!{}", finding.cause)));
            let _ = tx.send(names.join(" "));
            std::future::ready(())
        };
        tokio::spawn(run(directory, events, publish));
        Self { root, states, _dir: dir }
    }

    /// The next state; all in between would show too.
    async fn next(&mut self) -> String {
        let state = tokio::time::timeout(Duration::from_secs(30), self.states.recv()).await;
        state.expect("no new state within 30 s").unwrap()
    }
}

#[tokio::test]
async fn an_editor_that_renames_over_shows_no_state_in_between() {
    let mut watched = Watched::start(|root| fs::write(root.join("a.yaml"), service("a", 80)).unwrap());
    let (file, aside) = (watched.root.join("a.yaml"), watched.root.join(".a.yaml.tmp"));
    fs::write(&aside, service("a2", 80)).unwrap();
    fs::rename(&aside, &file).unwrap();
    assert_eq!(watched.next().await, "a -a");
    assert_eq!(watched.next().await, "a2");
}

/// As vim does, and as git does: the old file goes before the new one comes.
#[tokio::test]
async fn a_save_that_takes_the_file_away_shows_no_state_without_it() {
    let mut watched = Watched::start(|root| fs::write(root.join("a.yaml"), service("a", 80)).unwrap());
    let (file, aside) = (watched.root.join("a.yaml"), watched.root.join("a.yaml~"));
    fs::rename(&file, &aside).unwrap();
    assert_eq!(watched.next().await, "a -a");
    fs::write(&file, service("a", 81)).unwrap();
    fs::remove_file(&aside).unwrap();
    assert_eq!(watched.next().await, "a");
    fs::remove_file(&file).unwrap();
    assert_eq!(watched.next().await, "a -a");
    assert_eq!(watched.next().await, "");
}

#[tokio::test]
async fn files_that_are_written_one_after_the_other_are_one_change() {
    let mut watched = Watched::start(|_| {});
    for name in ["c", "a", "b"] {
        fs::write(watched.root.join(format!("{name}.yaml")), service(name, 80)).unwrap();
    }
    assert_eq!(watched.next().await, "a b c");
}

#[tokio::test]
async fn a_file_written_in_pieces_is_read_when_it_is_closed() {
    use std::io::Write;
    let mut watched = Watched::start(|root| fs::write(root.join("a.yaml"), service("a", 80)).unwrap());
    let mut file = fs::File::create(watched.root.join("b.yaml")).unwrap();
    file.write_all(service("b", 80).as_bytes()).unwrap();
    // What is whole meanwhile is read meanwhile.
    fs::write(watched.root.join("c.yaml"), service("c", 80)).unwrap();
    assert_eq!(watched.next().await, "a c");
    file.write_all(format!("---\n{}", service("b2", 80)).as_bytes()).unwrap();
    drop(file);
    assert_eq!(watched.next().await, "a b b2 c");
}

#[tokio::test]
async fn a_directory_that_is_removed_keeps_all_and_is_watched_when_it_is_back() {
    let mut watched = Watched::start(|root| fs::write(root.join("a.yaml"), service("a", 80)).unwrap());
    fs::remove_dir_all(&watched.root).unwrap();
    let gone =
        "a !the directory cannot be read: No such file or directory (os error 2); its last objects stay";
    assert_eq!(watched.next().await, gone);
    fs::create_dir(&watched.root).unwrap();
    let other = "a !the directory is empty and not the one that was read before; its last objects stay";
    assert_eq!(watched.next().await, other);
    for name in ["a", "b"] {
        fs::write(watched.root.join("a.yaml"), service(name, 80)).unwrap();
    }
    assert_eq!(watched.next().await, "a -a");
    assert_eq!(watched.next().await, "b");
}

#[test]
fn a_change_is_read_when_all_is_still_and_soon_in_any_case() {
    use notify::event::{CreateKind, DataChange, RemoveKind};
    let event = |kind| Event::new(kind).add_path("a.yaml".into());
    let data = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    let (mut noted, start) = (Noted::default(), Instant::now());
    let at = |ms: u64| start + Duration::from_millis(ms);
    let mut check = |kind: EventKind, ms: u64, due: Instant| {
        noted.take(&event(kind), at(ms));
        assert_eq!(noted.due(), Some(due), "{kind:?} at {ms} ms");
    };
    check(EventKind::Remove(RemoveKind::File), 0, at(0) + SETTLE);
    check(EventKind::Create(CreateKind::File), 50, at(50) + SETTLE);
    // Somebody writes: that is waited for, but not for ever.
    check(data, 60, at(0) + SETTLE_MAX);
    check(EventKind::Access(CLOSED), 70, at(70) + SETTLE);
    check(EventKind::Any, 990, at(0) + SETTLE_MAX);
    assert!(noted.signs(at(1000)).whole.contains(Path::new("a.yaml")));
    // Written to and nothing else: its end is waited for, or that nothing more comes.
    let mut noted = Noted::default();
    noted.take(&event(data), at(0));
    assert_eq!(noted.due(), Some(at(0) + OPEN_STILL));
    assert!(noted.signs(at(5)).writing.contains(Path::new("a.yaml")));
    assert!(noted.signs(at(0) + OPEN_STILL).writing.is_empty());
    assert_eq!(noted.due(), None);
    noted.take(&Event::new(data).add_path("notes.txt".into()), at(0));
    assert_eq!(noted.due(), None);
}

/// Else what is reported of a file would be reported of another one, and nobody would know that it is whole.
#[tokio::test]
async fn events_name_files_as_the_directory_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let up: PathBuf = std::env::current_dir().unwrap().components().skip(1).map(|_| "..").collect();
    let relative = up.join(dir.path().strip_prefix("/").unwrap());
    for root in [relative.as_path(), &Path::new(".").join(&relative), dir.path()] {
        let mut events = start(root).unwrap();
        fs::write(root.join("a.yaml"), service("a", 80)).unwrap();
        let event = tokio::time::timeout(Duration::from_secs(30), events.events.recv()).await;
        assert_eq!(event.expect("no event within 30 s").unwrap().paths, [root.join("a.yaml")]);
    }
}

#[tokio::test]
async fn a_mounted_config_map_changes_by_its_link() {
    let versions = |root: &Path, version: &str, name: &str| {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("a.yaml"), service(name, 80)).unwrap();
    };
    let mut watched = Watched::start(|root| {
        versions(root, "..1", "a");
        std::os::unix::fs::symlink("..1", root.join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
    });
    let root = watched.root.clone();
    versions(&root, "..2", "a2");
    std::os::unix::fs::symlink("..2", root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    fs::remove_dir_all(root.join("..1")).unwrap();
    assert_eq!(watched.next().await, "a -a");
    assert_eq!(watched.next().await, "a2");
}

#[tokio::test]
async fn a_file_that_is_emptied_keeps_its_objects_and_one_that_is_deleted_does_not() {
    let mut watched = Watched::start(|root| {
        fs::write(root.join("a.yaml"), service("a", 80)).unwrap();
        fs::create_dir(root.join("sub")).unwrap();
        fs::write(root.join("sub/b.yaml"), service("b", 80)).unwrap();
    });
    fs::write(watched.root.join("a.yaml"), "").unwrap();
    assert_eq!(watched.next().await, "a b !the file is empty; its last objects stay in force");
    fs::remove_file(watched.root.join("a.yaml")).unwrap();
    assert_eq!(watched.next().await, "a b -a");
    assert_eq!(watched.next().await, "b");
    fs::write(watched.root.join("sub/b.yaml"), "# nothing\n").unwrap();
    assert_eq!(watched.next().await, "b -b");
    assert_eq!(watched.next().await, "");
}
