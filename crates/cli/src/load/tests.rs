#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! What is read from where.

use super::load;
use crate::exit::DATA;

#[test]
fn a_directory_is_read_in_order_without_hidden_and_foreign_files() {
    let root = tempfile::tempdir().unwrap();
    for name in ["b.yaml", "a.yml", "c.json", ".hidden.yaml", "notes.txt", "sub/d.yaml"] {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    let path = root.path().display().to_string();
    let loaded = load(std::slice::from_ref(&path)).unwrap();
    let names: Vec<_> = loaded.files.iter().map(|(name, _)| name.strip_prefix(&path).unwrap()).collect();
    assert_eq!(names, ["/a.yml", "/b.yaml", "/c.json", "/sub/d.yaml"]);
}

#[test]
fn what_cannot_be_read_is_a_data_error() {
    let root = tempfile::tempdir().unwrap();
    let failure = load(&[root.path().join("missing.yaml").display().to_string()]).unwrap_err();
    assert_eq!(failure.code, DATA);
    let failure = load(&[root.path().display().to_string()]).unwrap_err();
    assert!(failure.cause.to_string().contains("holds no"), "{:#}", failure.cause);
}

#[test]
fn findings_name_file_and_line() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("x.yaml").display().to_string();
    std::fs::write(&path, "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspecs: {}\n").unwrap();
    let loaded = load(std::slice::from_ref(&path)).unwrap();
    assert!(loaded.has_errors());
    let finding = loaded.findings.iter().find(|f| f.cause.contains("specs")).unwrap();
    assert_eq!((&*finding.origin.file, finding.origin.line), (&*path, 5));
    assert!(loaded.text_of(&path).unwrap().starts_with("apiVersion"));
}

#[test]
fn a_directory_is_read_by_the_rules_of_a_control_plane() {
    use std::os::unix::fs::symlink;
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("config");
    std::fs::create_dir_all(root.join("..data")).unwrap();
    std::fs::write(root.join("..data/a.yaml"), "").unwrap();
    std::fs::write(root.join("b.yaml"), "").unwrap();
    symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
    symlink("b.yaml", root.join("again.yaml")).unwrap();
    symlink(".", root.join("circle")).unwrap();
    symlink("/dev/zero", root.join("notes.txt")).unwrap();
    let path = root.display().to_string();
    let loaded = load(std::slice::from_ref(&path)).unwrap();
    let names: Vec<_> = loaded.files.iter().map(|(name, _)| name.strip_prefix(&path).unwrap()).collect();
    assert_eq!(names, ["/a.yaml", "/b.yaml"]);
    for (target, cause) in [
        ("..", "the link leads out of the directory"),
        ("/dev/zero", "the link leads out of the directory"),
        ("nowhere", "No such file or directory (os error 2)"),
    ] {
        symlink(target, root.join("x.yaml")).unwrap();
        let failure = load(std::slice::from_ref(&path)).unwrap_err();
        assert_eq!(format!("{:#}", failure.cause), format!("read {path}/x.yaml: {cause}"));
        std::fs::remove_file(root.join("x.yaml")).unwrap();
    }
    // A pipe would be waited for.
    assert!(std::process::Command::new("mkfifo").arg(root.join("x.yaml")).status().unwrap().success());
    let failure = load(std::slice::from_ref(&path)).unwrap_err();
    assert_eq!(format!("{:#}", failure.cause), format!("read {path}/x.yaml: not a regular file"));
}
