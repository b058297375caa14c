#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use std::fs;

pub(crate) fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  ports:\n  - port: {port}\n    name: http\n"
    )
}

/// Makes a file look as if nobody had touched it for long.
fn age(path: &Path) {
    let file = OpenFile::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - 10 * QUIET).unwrap();
}

/// Nobody writes, and these were closed.
fn whole(paths: &[&Path]) -> Signs {
    Signs { whole: paths.iter().map(PathBuf::from).collect(), ..Signs::default() }
}

fn names(directory: &Directory) -> String {
    directory.objects().map(|object| object.object.name.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_broken_file_keeps_its_last_good_objects() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.yaml"), dir.path().join("b.yaml"));
    fs::write(&a, service("a", 80)).unwrap();
    fs::write(&b, service("b", 80)).unwrap();
    fs::write(dir.path().join("README.md"), "nothing").unwrap();
    fs::write(dir.path().join(".c.yaml.swp.yaml"), "{{{").unwrap();
    let mut directory = Directory::open(dir.path(), &[]).unwrap();
    let nobody = whole(&[&a, &b]);
    assert_eq!((names(&directory).as_str(), directory.findings().count()), ("a b", 0));
    assert_eq!(directory.read(&nobody, SystemTime::now()).unwrap(), Reading::Same);

    fs::write(&a, "kind: Service\n  broken: [").unwrap();
    assert_eq!(directory.read(&nobody, SystemTime::now()).unwrap(), Reading::Changed);
    assert_eq!(names(&directory), "a b");
    let finding = directory.findings().next().unwrap();
    assert!(finding.origin.file.ends_with("a.yaml") && finding.origin.line > 0, "{finding}");
    assert_eq!(directory.read(&nobody, SystemTime::now()).unwrap(), Reading::Same);

    fs::write(&a, service("a2", 80)).unwrap();
    assert_eq!(directory.read(&nobody, SystemTime::now()).unwrap(), Reading::Changed);
    assert_eq!((names(&directory).as_str(), directory.findings().count()), ("a2 b", 0));

    fs::remove_file(&b).unwrap();
    assert_eq!(directory.read(&nobody, SystemTime::now()).unwrap(), Reading::Changed);
    assert_eq!(names(&directory), "a2");
}

#[test]
fn a_policy_that_was_never_readable_denies() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.yaml");
    let text = |rules: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p}}\nspec: {{action: DENY, {rules}}}\n---\n{}",
            service("a", 80)
        )
    };
    fs::write(&path, text("ruls: []")).unwrap();
    let mut directory = Directory::open(dir.path(), &[]).unwrap();
    assert_eq!((names(&directory).as_str(), directory.findings().next().is_some()), ("p a", true));
    fs::write(&path, text("rules: [{to: [{operation: {ports: ['80']}}]}]")).unwrap();
    assert_eq!(directory.read(&whole(&[&path]), SystemTime::now()).unwrap(), Reading::Changed);
    let ports =
        |directory: &Directory| format!("{:?}", directory.objects().next().unwrap().spec).contains("\"80\"");
    assert!(ports(&directory) && directory.findings().count() == 0);
    // From now on the last good one is kept.
    fs::write(&path, text("ruls: []")).unwrap();
    directory.read(&whole(&[&path]), SystemTime::now()).unwrap();
    assert!(ports(&directory) && directory.findings().next().is_some());
}

#[test]
fn a_file_being_written_is_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let a = dir.path().join("a.yaml");
    fs::write(&a, service("a", 80)).unwrap();
    let mut directory = Directory::open(dir.path(), &[]).unwrap();
    fs::write(&a, service("b", 80)).unwrap();
    let writing = Signs { writing: BTreeSet::from([a.clone()]), ..Signs::default() };
    assert_eq!(directory.read(&writing, SystemTime::now()).unwrap(), Reading::Same);
    assert_eq!((names(&directory).as_str(), directory.has_young()), ("a", false));
    // Nobody is known to write it, but it changed a moment ago.
    let written = fs::metadata(&a).unwrap().modified().unwrap();
    assert_eq!(directory.read(&Signs::default(), written + QUIET / 2).unwrap(), Reading::Same);
    assert_eq!((names(&directory).as_str(), directory.has_young()), ("a", true));
    assert_eq!(directory.read(&whole(&[&a]), SystemTime::now()).unwrap(), Reading::Changed);
    assert_eq!((names(&directory).as_str(), directory.has_young()), ("b", false));
    fs::write(&a, service("c", 80)).unwrap();
    let written = fs::metadata(&a).unwrap().modified().unwrap();
    assert_eq!(directory.read(&Signs::default(), written + QUIET).unwrap(), Reading::Changed);
    assert_eq!(names(&directory), "c");
}

#[test]
fn an_emptied_file_keeps_its_objects_also_across_a_restart() {
    use apiserver::{MemoryStore, Store};
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let a = dir.path().join("a.yaml");
    fs::write(&a, service("a", 80)).unwrap();
    let mut directory = Directory::open(dir.path(), &[]).unwrap();
    store.commit(&directory.take_rows()).unwrap();
    for empty in ["", " \n\t\n"] {
        fs::write(&a, empty).unwrap();
        directory.read(&whole(&[&a]), SystemTime::now()).unwrap();
        assert_eq!((names(&directory).as_str(), directory.findings().count()), ("a", 1));
    }
    age(&a);
    let mut after = Directory::open(dir.path(), &store.rows(Table::Files).unwrap()).unwrap();
    assert_eq!((names(&after).as_str(), after.findings().count()), ("a", 1));
    assert_eq!(after.take_rows(), []);
    // A comment is content: somebody meant it.
    fs::write(&a, "# gone\n").unwrap();
    assert_eq!(after.read(&whole(&[&a]), SystemTime::now()).unwrap(), Reading::Changed);
    assert_eq!((names(&after).as_str(), after.findings().count()), ("", 0));
}

#[test]
fn what_is_no_readable_file_is_a_finding_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let a = dir.path().join("a.yaml");
    fs::write(&a, service("a", 80)).unwrap();
    let mut directory = Directory::open(dir.path(), &[]).unwrap();
    let mut check = |cause: &str| {
        assert_eq!(
            directory.read(&Signs::default(), SystemTime::now()).unwrap(),
            Reading::Changed,
            "{cause}"
        );
        assert_eq!(names(&directory), "a", "{cause}");
        let found: Vec<_> = directory.findings().map(|finding| finding.cause.to_string()).collect();
        assert!(found.len() == 1 && found[0].contains(cause), "{cause}: {found:?}");
    };
    OpenFile::create(&a).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
    check("larger than 4 MiB");
    fs::remove_file(&a).unwrap();
    std::os::unix::fs::symlink("nowhere.yaml", &a).unwrap();
    check("No such file");
    fs::remove_file(&a).unwrap();
    // A pipe would keep the reader waiting for a writer for ever.
    let made = std::process::Command::new("mkfifo").arg(&a).status().unwrap();
    assert!(made.success());
    check("not a regular file");
}

#[test]
fn links_in_circles_are_followed_once() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yaml"), service("a", 80)).unwrap();
    for link in ["x", "y", "z"] {
        std::os::unix::fs::symlink(".", dir.path().join(link)).unwrap();
    }
    let directory = Directory::open(dir.path(), &[]).unwrap();
    assert_eq!((names(&directory).as_str(), directory.findings().count()), ("a", 0));
}

#[test]
fn a_path_too_long_to_store_is_read_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut deep = dir.path().to_owned();
    for _ in 0..5 {
        deep.push("d".repeat(250));
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("a.yaml"), service("a", 80)).unwrap();
    let mut directory = Directory::open(dir.path(), &[]).unwrap();
    assert_eq!((names(&directory).as_str(), directory.take_rows()), ("a", vec![]));
}

#[test]
fn a_mount_that_went_away_takes_nothing_out() {
    use apiserver::{MemoryStore, Store};
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let root = dir.path().join("config");
    let a = root.join("a.yaml");
    fs::create_dir(&root).unwrap();
    fs::write(&a, service("a", 80)).unwrap();
    let mut directory = Directory::open(&root, &[]).unwrap();
    store.commit(&directory.take_rows()).unwrap();
    // The mount point below shows, and the one above is still in use: another directory for sure.
    fs::rename(&root, dir.path().join("away")).unwrap();
    fs::create_dir(&root).unwrap();
    let check = |directory: &mut Directory, reading: Reading| {
        assert_eq!(directory.read(&Signs::default(), SystemTime::now()).unwrap(), reading);
        assert_eq!((names(directory).as_str(), directory.findings().count()), ("a", 1));
        assert_eq!(directory.take_rows(), []);
    };
    check(&mut directory, Reading::Changed);
    check(&mut directory, Reading::Same);
    // At a restart it may not be mounted yet.
    let mut after = Directory::open(&root, &store.rows(Table::Files).unwrap()).unwrap();
    check(&mut after, Reading::Same);
    fs::write(root.join("b.yaml"), service("b", 80)).unwrap();
    assert_eq!(after.read(&Signs::default(), SystemTime::now()).unwrap(), Reading::Changed);
    assert_eq!((names(&after).as_str(), after.findings().count()), ("b", 0));
    // Emptying the directory itself is meant.
    fs::remove_file(root.join("b.yaml")).unwrap();
    assert_eq!(after.read(&Signs::default(), SystemTime::now()).unwrap(), Reading::Changed);
    assert_eq!((names(&after).as_str(), after.findings().count()), ("", 0));
}

#[test]
fn a_missing_directory_is_an_error() {
    let error = Directory::open(Path::new("/nowhere/leno"), &[]).unwrap_err();
    assert_eq!(error.to_string(), "read configuration directory /nowhere/leno");
}

#[test]
fn what_was_good_survives_a_restart_with_a_broken_file() {
    use apiserver::{MemoryStore, Store};
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let (a, b) = (dir.path().join("a.yaml"), dir.path().join("b.yaml"));
    fs::write(&a, service("a", 80)).unwrap();
    fs::write(&b, service("b", 80)).unwrap();
    store.commit(&Directory::open(dir.path(), &[]).unwrap().take_rows()).unwrap();
    fs::write(&a, "kind: [").unwrap();
    age(&a);
    fs::remove_file(&b).unwrap();
    let mut after = Directory::open(dir.path(), &store.rows(Table::Files).unwrap()).unwrap();
    assert_eq!((names(&after).as_str(), after.findings().count()), ("a", 1));
    store.commit(&after.take_rows()).unwrap();
    assert_eq!(store.rows(Table::Files).unwrap().len(), 1);
    // A control run: without the rows nothing of it is left.
    assert_eq!(names(&Directory::open(dir.path(), &[]).unwrap()), "");
}

#[test]
fn files_of_a_subdirectory_that_cannot_be_read_are_not_gone() {
    // As a rule on paths: the administrator, who may run this test, can read every directory.
    let closed = [(PathBuf::from("/c/sub"), io::Error::from(io::ErrorKind::PermissionDenied))];
    let below = |path: &str| is_below(Path::new(path), &closed);
    assert!(below("/c/sub/a.yaml") && below("/c/sub/deeper/a.yaml"));
    assert!(!below("/c/a.yaml") && !below("/c/subway/a.yaml"));
}
