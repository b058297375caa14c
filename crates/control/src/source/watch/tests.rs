#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::source::directory::tests::service;
use std::fs;

/// The names in force, state after state, while a directory is watched for real.
struct Watched {
    root: PathBuf,
    states: mpsc::UnboundedReceiver<String>,
    _dir: tempfile::TempDir,
    _watcher: notify::RecommendedWatcher,
}

impl Watched {
    fn start(fill: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path());
        let (watcher, events) = start(dir.path()).unwrap();
        let directory = Directory::open(dir.path(), &[]).unwrap();
        let (tx, states) = mpsc::unbounded_channel();
        let publish = move |state: State| {
            let mut names: Vec<_> = state.objects.iter().map(|o| o.object.name.to_string()).collect();
            names.extend(state.findings.iter().map(|finding| format!("!{}", finding.cause)));
            let _ = tx.send(names.join(" "));
            std::future::ready(())
        };
        tokio::spawn(run(directory, events, publish));
        Self { root: dir.path().into(), states, _dir: dir, _watcher: watcher }
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
    assert_eq!(watched.next().await, "a2");
}

/// Else what is told of a file would be told of another one, and nobody would know that it is whole.
#[tokio::test]
async fn events_name_files_as_the_directory_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let up: PathBuf = std::env::current_dir().unwrap().components().skip(1).map(|_| "..").collect();
    let relative = up.join(dir.path().strip_prefix("/").unwrap());
    for root in [relative.as_path(), &Path::new(".").join(&relative), dir.path()] {
        let (_watcher, mut events) = start(root).unwrap();
        fs::write(root.join("a.yaml"), service("a", 80)).unwrap();
        let event = tokio::time::timeout(Duration::from_secs(30), events.recv()).await;
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
    assert_eq!(watched.next().await, "b");
    fs::write(watched.root.join("sub/b.yaml"), "# nothing\n").unwrap();
    assert_eq!(watched.next().await, "");
}
