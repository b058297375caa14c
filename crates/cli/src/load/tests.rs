#![allow(clippy::unwrap_used)]
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
