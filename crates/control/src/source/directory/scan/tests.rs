#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use std::fs;
use std::os::unix::fs::symlink;

/// What is read of a directory that `fill` makes: the files by name, `!` before one that cannot be read, and how
/// many findings there are, if any.
fn check(fill: impl FnOnce(&Path), expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("config");
    fs::create_dir(&root).unwrap();
    fill(&root);
    let scan = scan(&root).unwrap();
    let mut found: Vec<String> = Vec::new();
    for (path, file) in &scan.files {
        let mark = if matches!(file, FoundFile::Read { .. }) { "" } else { "!" };
        found.push(format!("{mark}{}", path.strip_prefix(&root).unwrap().display()));
    }
    if !scan.findings.is_empty() {
        found.push(format!("{} findings", scan.findings.len()));
        assert_eq!(scan.findings.len(), scan.unseen.len());
    }
    assert_eq!(found.join(" "), expected);
}

fn write(path: PathBuf) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "# nothing\n").unwrap();
}

#[test]
fn a_mounted_config_map_is_read_by_the_names_that_it_shows() {
    let fill = |root: &Path| {
        write(root.join("..2024/a.yaml"));
        write(root.join("..2024/sub/b.yaml"));
        symlink("..2024", root.join("..data")).unwrap();
        symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
        symlink("..data/sub", root.join("sub")).unwrap();
    };
    check(fill, "a.yaml sub/b.yaml");
}

#[test]
fn links_lead_nowhere_outside() {
    let fill = |root: &Path| {
        write(root.join("../outside/b.yaml"));
        write(root.join("../configuration/b.yaml"));
        symlink("..", root.join("up")).unwrap();
        symlink("/", root.join("top")).unwrap();
        symlink("../configuration", root.join("beside")).unwrap();
        symlink("../outside/b.yaml", root.join("b.yaml")).unwrap();
        symlink("/proc/kmsg", root.join("c.json")).unwrap();
        symlink("/dev/zero", root.join("d.yml")).unwrap();
        symlink("/dev/null", root.join("no-configuration.txt")).unwrap();
        symlink("e.yaml", root.join("e.yaml")).unwrap();
    };
    check(fill, "!b.yaml !c.json !d.yml !e.yaml 3 findings");
}

#[test]
fn a_file_of_many_names_is_read_once_and_by_its_own() {
    let fill = |root: &Path| {
        write(root.join("m/real.yaml"));
        symlink("m/real.yaml", root.join("a.yaml")).unwrap();
        symlink("m", root.join("b")).unwrap();
        for link in ["x", "y", "z"] {
            symlink(".", root.join(link)).unwrap();
        }
        // The name of a link says what it is read as.
        write(root.join("text.txt"));
        symlink("text.txt", root.join("text.yaml")).unwrap();
    };
    check(fill, "m/real.yaml text.yaml");
}

#[test]
fn what_lies_too_deep_is_told() {
    let fill = |root: &Path| write(root.join("1/2/3/4/5/6/7/8/a.yaml"));
    check(fill, "1/2/3/4/5/6/7/8/a.yaml");
    let fill = |root: &Path| write(root.join("1/2/3/4/5/6/7/8/9/a.yaml"));
    check(fill, "1 findings");
}

#[test]
fn all_files_together_have_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    fs::write(&path, "12345").unwrap();
    assert!(matches!(load(&path, 5), Ok(FoundFile::Read { .. })));
    assert_eq!(load(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn the_kernel_knows_who_has_a_file_open_for_writing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    let open = fs::File::create(&path).unwrap();
    let told = || match load(&path, FILE_BYTES_MAX) {
        Ok(FoundFile::Read { writer, .. }) => writer,
        other => panic!("{other:?}"),
    };
    assert_eq!(told(), Writer::Open);
    drop(open);
    assert_eq!(told(), Writer::Nobody);
}

#[test]
fn a_directory_made_anew_is_another() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("config");
    fs::create_dir(&root).unwrap();
    let first = identity(&root).unwrap();
    assert_eq!(identity(&root).unwrap(), first);
    fs::remove_dir(&root).unwrap();
    fs::create_dir(&root).unwrap();
    assert_ne!(identity(&root).unwrap(), first);
}
