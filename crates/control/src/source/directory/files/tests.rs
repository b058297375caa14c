#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use fixtures::text::service;
use std::fs;

/// A directory of which nobody tells anything, and a clock that goes when it is told to.
struct Bed {
    root: PathBuf,
    now: ReadingTime,
    directory: Directory,
    _dir: Option<tempfile::TempDir>,
}

impl Bed {
    fn new(fill: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path());
        let bed = Self::open(dir.path(), &[]);
        Self { _dir: Some(dir), ..bed }
    }

    fn open(root: &Path, stored: &[Row]) -> Self {
        let now = ReadingTime::real();
        let directory = Directory::begin(root, stored, scan::wait(root.into()).unwrap(), now);
        Self { root: root.into(), now, directory, _dir: None }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.root.join(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.root.join(name)).unwrap();
    }

    fn later(&mut self, by: Duration) -> Reading {
        self.now = ReadingTime { instant: self.now.instant + by, wall: self.now.wall + by };
        self.read()
    }

    fn read(&mut self) -> Reading {
        match scan::wait(self.root.clone()) {
            Ok(scan) => self.directory.take(scan, &Signs::default(), self.now),
            Err(error) => self.directory.fail(&error),
        }
    }

    /// The names in force, then how many findings there are, if any.
    fn state(&self) -> String {
        let findings = self.directory.findings().count();
        let names = names(&self.directory);
        if findings == 0 { names } else { format!("{names} !{findings}") }
    }

    /// Reads, and gives the state.
    fn now(&mut self) -> String {
        self.read();
        self.state()
    }

    /// The same when `by` has passed.
    fn after(&mut self, by: Duration) -> String {
        self.later(by);
        self.state()
    }
}

fn names(directory: &Directory) -> String {
    directory.objects().map(|object| object.object.name.to_string()).collect::<Vec<_>>().join(" ")
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_broken_file_keeps_its_last_good_objects() {
    let mut bed = Bed::new(|root| {
        fs::write(root.join("a.yaml"), service("a", 80)).unwrap();
        fs::write(root.join("b.yaml"), service("b", 80)).unwrap();
        fs::write(root.join("README.md"), "nothing").unwrap();
        fs::write(root.join(".c.yaml.swp.yaml"), "{{{").unwrap();
    });
    assert_eq!((bed.state().as_str(), bed.read()), ("a b", Reading::Same));

    bed.write("a.yaml", "kind: Service\n  broken: [");
    assert_eq!((bed.read(), bed.state().as_str()), (Reading::Changed, "a b !1"));
    let finding = bed.directory.findings().next().unwrap();
    assert!(finding.origin.file.ends_with("a.yaml") && finding.origin.line > 0, "{finding}");
    assert_eq!(bed.read(), Reading::Same);
    bed.write("a.yaml", &service("a", 81));
    assert_eq!((bed.read(), bed.state().as_str()), (Reading::Changed, "a b"));
}

/// So that what compares objects, or keeps them, need not look at thousands again.
#[test]
fn an_object_that_did_not_change_in_its_file_is_the_same_in_memory() {
    let both = |port| format!("{}\n---\n{}", service("a", 80), service("b", port));
    let mut bed = Bed::new(|root| fs::write(root.join("a.yaml"), both(80)).unwrap());
    let before: Vec<_> = bed.directory.objects().cloned().collect();
    bed.write("a.yaml", &both(81));
    assert_eq!(bed.read(), Reading::Changed);
    let same: Vec<_> = bed.directory.objects().zip(&before).map(|(now, old)| Arc::ptr_eq(now, old)).collect();
    assert_eq!(same, [true, false]);
}

#[test]
fn what_is_away_for_less_than_a_second_is_not_gone() {
    let mut bed = Bed::new(|root| fs::write(root.join("a.yaml"), service("a", 80)).unwrap());
    // As git writes a file: taken away, then written anew.
    bed.remove("a.yaml");
    assert_eq!(bed.now(), "a");
    assert_eq!(bed.directory.leaving().count(), 1);
    assert_eq!(bed.after(GONE - MS), "a");
    bed.write("a.yaml", &service("a", 81));
    assert_eq!(bed.now(), "a");
    assert_eq!((bed.directory.leaving().count(), bed.directory.due(bed.now.instant)), (0, None));
    // Its clock begins again, and it ends.
    bed.remove("a.yaml");
    assert_eq!(bed.after(10 * GONE), "a");
    assert_eq!(bed.directory.due(bed.now.instant), Some(bed.now.instant + GONE));
    assert_eq!(bed.after(GONE), "");
    assert_eq!((bed.directory.leaving().count(), bed.read()), (0, Reading::Same));
}

#[test]
fn a_file_that_comes_back_broken_keeps_its_last_good_objects() {
    let mut bed = Bed::new(|root| fs::write(root.join("a.yaml"), service("a", 80)).unwrap());
    bed.remove("a.yaml");
    assert_eq!(bed.now(), "a");
    for broken in ["", "kind: ["] {
        bed.write("a.yaml", broken);
        assert_eq!((bed.now().as_str(), bed.after(10 * GONE).as_str()), ("a !1", "a !1"), "{broken}");
    }
}

#[test]
fn what_replaces_something_comes_in_the_moment_that_it_goes() {
    let kinds = |text: &str| format!("{text}---\n{}", service("b", 80));
    let mut bed = Bed::new(|root| fs::write(root.join("a.yaml"), kinds(&service("a", 80))).unwrap());
    // Another name in the same file: not a moment with both, nor with none.
    bed.write("a.yaml", &kinds(&service("a2", 80)));
    assert_eq!((bed.now().as_str(), bed.after(GONE - MS).as_str()), ("a b", "a b"));
    assert_eq!(bed.after(MS), "a2 b");
    // Another file for the same object takes no time.
    fs::rename(bed.root.join("a.yaml"), bed.root.join("z.yaml")).unwrap();
    assert_eq!((bed.read(), bed.state().as_str()), (Reading::Changed, "a2 b"));
    assert!(bed.directory.objects().all(|object| object.origin.file.ends_with("z.yaml")));
    assert_eq!(bed.directory.leaving().count(), 0);
    // Moved by hand: first out of the one, then into the other.
    bed.write("z.yaml", &service("a2", 80));
    assert_eq!(bed.now(), "a2 b");
    bed.write("y.yaml", &service("b", 80));
    assert_eq!((bed.now().as_str(), bed.after(GONE).as_str()), ("b a2", "b a2"));
}

#[test]
fn what_only_adds_or_changes_waits_for_nothing() {
    let mut bed = Bed::new(|root| fs::write(root.join("a.yaml"), service("a", 80)).unwrap());
    bed.write("b.yaml", &service("b", 80));
    assert_eq!(bed.now(), "a b");
    bed.write("a.yaml", &format!("{}---\n{}", service("a", 81), service("c", 80)));
    assert_eq!(bed.now(), "a c b");
}

#[test]
fn coming_and_going_holds_up_a_change_for_ten_seconds_at_most() {
    let mut bed = Bed::new(|root| {
        for name in ["a", "b", "c"] {
            fs::write(root.join(format!("{name}.yaml")), service(name, 80)).unwrap();
        }
    });
    bed.remove("a.yaml");
    let (mut passed, half) = (Duration::ZERO, GONE / 2);
    assert_eq!(bed.now(), "a b c");
    while passed + half < GONE_MAX {
        bed.remove("b.yaml");
        assert_eq!(bed.after(half / 2), "a b c");
        bed.write("b.yaml", &service("b", 80));
        assert_eq!(bed.after(half / 2), "a b c");
        passed += half;
    }
    bed.remove("b.yaml");
    assert_eq!(bed.after(half), "c b", "the one that is away for long is gone, the other is not");
    assert_eq!(bed.after(GONE), "c");
}

#[test]
fn a_policy_that_was_never_readable_denies() {
    let text = |rules: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p}}\nspec: {{action: DENY, {rules}}}\n---\n{}",
            service("a", 80)
        )
    };
    let mut bed = Bed::new(|root| fs::write(root.join("p.yaml"), text("ruls: []")).unwrap());
    assert_eq!(bed.state(), "p a !2");
    bed.write("p.yaml", &text("rules: [{to: [{operation: {ports: ['80']}}]}]"));
    assert_eq!(bed.now(), "p a");
    let ports = |bed: &Bed| format!("{:?}", bed.directory.objects().next().unwrap().spec).contains("\"80\"");
    assert!(ports(&bed));
    // From now on the last good one is kept.
    bed.write("p.yaml", &text("ruls: []"));
    assert_eq!(bed.now(), "p a !2");
    assert!(ports(&bed));
}

#[test]
fn a_file_that_is_open_for_writing_is_not_read_by_halves() {
    use std::io::Write;
    let mut bed = Bed::new(|root| fs::write(root.join("a.yaml"), service("a", 80)).unwrap());
    for (name, whole) in [("a.yaml", "x a"), ("new.yaml", "x a y b")] {
        let (before, first) = (bed.state(), whole.split(' ').nth_back(1).unwrap());
        let mut file = fs::File::create(bed.root.join(name)).unwrap();
        file.write_all(service(first, 80).as_bytes()).unwrap();
        // A pause of the writer is not the end of the file.
        assert_eq!((bed.now(), bed.after(OPEN_STILL / 2)), (before.clone(), before), "{name}");
        assert!(bed.directory.due(bed.now.instant).is_some());
        let last = whole.split(' ').next_back().unwrap();
        file.write_all(format!("---\n{}", service(last, 80)).as_bytes()).unwrap();
        drop(file);
        bed.now = ReadingTime::real();
        assert_eq!(bed.now(), whole, "{name}");
    }
}

#[test]
fn a_writer_that_never_closes_is_not_waited_for_for_ever() {
    use std::io::Write;
    let mut bed = Bed::new(|_| {});
    let mut file = fs::File::create(bed.root.join("a.yaml")).unwrap();
    file.write_all(service("a", 80).as_bytes()).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    bed.now.wall = written + OPEN_STILL - MS;
    assert_eq!(bed.now(), "");
    assert_eq!(bed.after(MS), "a");
}

#[test]
fn where_the_kernel_tells_nothing_a_file_must_have_been_still() {
    let path = Path::new("a.yaml");
    let closed = Signs { whole: BTreeSet::from([path.into()]), ..Signs::default() };
    let writing = Signs { writing: BTreeSet::from([path.into()]), ..Signs::default() };
    let check = |signs: &Signs, writer: Writer, age: Duration, is: bool| {
        assert_eq!(is_whole(path, signs, writer, age, LastGood::Known), is, "{signs:?} {writer:?} {age:?}");
    };
    check(&Signs::default(), Writer::Unknown, STILL - MS, false);
    check(&Signs::default(), Writer::Unknown, STILL, true);
    check(&closed, Writer::Unknown, Duration::ZERO, true);
    check(&closed, Writer::Open, Duration::ZERO, false);
    check(&writing, Writer::Unknown, STILL, false);
    check(&writing, Writer::Nobody, STILL, false);
    check(&Signs::default(), Writer::Nobody, Duration::ZERO, true);
    check(&writing, Writer::Open, OPEN_STILL, true);
}

#[test]
fn an_emptied_file_keeps_its_objects_also_across_a_restart() {
    use apiserver::{MemoryStore, Store};
    let store = MemoryStore::new();
    let mut bed = Bed::new(|root| fs::write(root.join("a.yaml"), service("a", 80)).unwrap());
    store.commit(&bed.directory.state().rows).unwrap();
    for empty in ["", " \n\t\n"] {
        bed.write("a.yaml", empty);
        assert_eq!(bed.now(), "a !1");
    }
    let mut after = Bed::open(&bed.root, &store.rows(Table::Files).unwrap());
    assert_eq!((after.state().as_str(), after.directory.state().rows), ("a !1", vec![]));
    // A comment is content: somebody meant it.
    bed.write("a.yaml", "# gone\n");
    assert_eq!((after.now().as_str(), after.after(GONE).as_str()), ("a", ""));
}

#[test]
fn what_is_no_readable_file_is_a_finding_and_changes_nothing() {
    let mut bed = Bed::new(|root| fs::write(root.join("a.yaml"), service("a", 80)).unwrap());
    let a = bed.root.join("a.yaml");
    let mut check = |cause: &str| {
        assert_eq!(bed.read(), Reading::Changed, "{cause}");
        assert_eq!(bed.after(2 * GONE_MAX), "a !1", "{cause}");
        let found: Vec<_> = bed.directory.findings().map(|finding| finding.cause.to_string()).collect();
        assert!(found[0].contains(cause), "{cause}: {found:?}");
    };
    fs::File::create(&a).unwrap().set_len(scan::FILE_BYTES_MAX + 1).unwrap();
    check("larger than 4 MiB");
    fs::remove_file(&a).unwrap();
    std::os::unix::fs::symlink("nowhere.yaml", &a).unwrap();
    check("No such file");
    fs::remove_file(&a).unwrap();
    // A pipe would keep the reader waiting for a writer for ever.
    let made = std::process::Command::new("mkfifo").arg(&a).status().unwrap();
    assert!(made.success());
    check("not a regular file");
    for outside in ["/proc/kmsg", "/dev/zero"] {
        fs::remove_file(&a).unwrap();
        std::os::unix::fs::symlink(outside, &a).unwrap();
        check("leads out of the directory");
        fs::remove_file(&a).unwrap();
        std::os::unix::fs::symlink("nowhere.yaml", &a).unwrap();
        check("No such file");
    }
}

#[test]
fn a_path_too_long_to_store_is_read_all_the_same() {
    let mut bed = Bed::new(|root| {
        let mut deep = root.to_owned();
        for _ in 0..5 {
            deep.push("d".repeat(250));
        }
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("a.yaml"), service("a", 80)).unwrap();
    });
    assert_eq!((bed.state().as_str(), bed.directory.state().rows), ("a", vec![]));
}

#[test]
fn a_directory_that_is_removed_takes_nothing_out() {
    let mut bed = Bed::new(|_| {});
    let config = bed.root.join("config");
    let fill = || {
        fs::create_dir(&config).unwrap();
        fs::write(config.join("a.yaml"), service("a", 80)).unwrap();
    };
    fill();
    bed = Bed { _dir: bed._dir.take(), ..Bed::open(&config, &[]) };
    // `rm -r` takes the files first; in between the directory may be read any number of times.
    for reads in 0..3 {
        fs::remove_file(config.join("a.yaml")).unwrap();
        for _ in 0..reads {
            assert_eq!(bed.now(), "a");
        }
        fs::remove_dir(&config).unwrap();
        assert_eq!((bed.now().as_str(), bed.after(10 * GONE_MAX).as_str()), ("a !1", "a !1"), "{reads}");
        assert_eq!(bed.read(), Reading::Same);
        // Made anew it says what is in it.
        fill();
        assert_eq!((bed.now().as_str(), bed.after(10 * GONE_MAX).as_str()), ("a", "a"));
    }
    // Emptying the directory itself is meant.
    bed.remove("a.yaml");
    assert_eq!((bed.now().as_str(), bed.after(GONE).as_str()), ("a", ""));
}

#[test]
fn a_mount_that_went_away_takes_nothing_out() {
    use apiserver::{MemoryStore, Store};
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let root = dir.path().join("config");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("a.yaml"), service("a", 80)).unwrap();
    let mut bed = Bed::open(&root, &[]);
    store.commit(&bed.directory.state().rows).unwrap();
    // The mount point below shows, and the one above is still in use: another directory for sure.
    fs::rename(&root, dir.path().join("away")).unwrap();
    fs::create_dir(&root).unwrap();
    assert_eq!((bed.now().as_str(), bed.after(2 * GONE_MAX).as_str()), ("a !1", "a !1"));
    assert_eq!(bed.directory.state().rows, []);
    // At a restart it may not be mounted yet.
    let mut after = Bed::open(&root, &store.rows(Table::Files).unwrap());
    assert_eq!((after.state().as_str(), after.after(2 * GONE_MAX).as_str()), ("a !1", "a !1"));
    fs::write(root.join("b.yaml"), service("b", 80)).unwrap();
    assert_eq!((after.now().as_str(), after.after(GONE).as_str()), ("a", "b"));
}

#[test]
fn what_was_good_survives_a_restart_with_a_broken_file() {
    use apiserver::{MemoryStore, Store};
    let store = MemoryStore::new();
    let mut bed = Bed::new(|root| {
        fs::write(root.join("a.yaml"), service("a", 80)).unwrap();
        fs::write(root.join("b.yaml"), service("b", 80)).unwrap();
    });
    store.commit(&bed.directory.state().rows).unwrap();
    bed.write("a.yaml", "kind: [");
    bed.remove("b.yaml");
    let mut after = Bed::open(&bed.root, &store.rows(Table::Files).unwrap());
    // Also a process that starts while a file is being saved does not count it as gone.
    assert_eq!(after.state(), "a b !1");
    assert_eq!((after.after(GONE).as_str(), store.rows(Table::Files).unwrap().len()), ("a !1", 2));
    store.commit(&after.directory.state().rows).unwrap();
    assert_eq!(store.rows(Table::Files).unwrap().len(), 1);
    // A control run: without the rows nothing of it is left.
    assert_eq!(names(&Directory::open(&bed.root, &[]).unwrap()), "");
}

#[test]
fn a_stored_policy_that_this_version_refuses_denies() {
    let policy = |fields: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p}}\nspec: {{action: DENY, {fields}}}\n---\n{}",
            service("a", 80)
        )
    };
    // An earlier version knew `ruls`.
    let stored = policy("ruls: []");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.yaml");
    let row =
        Row { key: path.to_string_lossy().into_owned(), value: stored.clone().into_bytes(), revision: 1 };
    // The same as it was, or broken meanwhile: nothing that allows more comes in its place.
    for now in [stored.as_str(), "kind: ["] {
        fs::write(&path, now).unwrap();
        let mut bed = Bed::open(dir.path(), std::slice::from_ref(&row));
        assert!(bed.state().starts_with("p a !"), "{}", bed.state());
        bed.write("p.yaml", "kind: Service\n  broken: [");
        assert!(bed.now().starts_with("p a !"), "{}", bed.state());
        bed.write("p.yaml", &policy("rules: [{to: [{operation: {ports: ['80']}}]}]"));
        assert_eq!(bed.now(), "p a");
    }
}

#[test]
fn files_that_cannot_be_seen_are_not_gone() {
    // As a rule on scans: the administrator, who may run this test, can read every directory.
    let mut bed = Bed::new(|root| {
        for directory in ["sub", "subway"] {
            fs::create_dir(root.join(directory)).unwrap();
            fs::write(root.join(directory).join("a.yaml"), service(directory, 80)).unwrap();
        }
    });
    let at = scan::identity(&bed.root).unwrap();
    for _ in 0..2 {
        let unseen = vec![bed.root.join("sub")];
        let scan = Scan { at, files: BTreeMap::new(), unseen, findings: Vec::new() };
        bed.directory.take(scan, &Signs::default(), bed.now);
        bed.now.instant += GONE;
    }
    assert_eq!(bed.state(), "sub");
    // One too many is not read; what was read of it before stays.
    let surplus =
        || [bed.root.join("sub/a.yaml"), bed.root.join("b.yaml")].map(|path| (path, FoundFile::Surplus));
    let scan = Scan { at, files: surplus().into(), unseen: Vec::new(), findings: Vec::new() };
    bed.directory.take(scan, &Signs::default(), bed.now);
    assert_eq!(bed.state(), "sub");
}

/// A Secret with a key that occurs nowhere else.
const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: kubernetes.io/tls\n\
                      stringData: {tls.crt: c, tls.key: THE-KEY-ITSELF}\n";

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_secret_is_taken_from_a_file_of_its_owner_alone_and_written_nowhere() {
    let mut bed = Bed::new(|root| {
        fs::write(root.join("secret.yaml"), SECRET).unwrap();
        set_mode(&root.join("secret.yaml"), 0o600);
        fs::write(root.join("open.yaml"), service("open", 80)).unwrap();
    });
    assert_eq!(bed.state(), "open s");
    let stored = |directory: &mut Directory| {
        let rows = directory.state().rows;
        let put = rows.iter().filter_map(|row| match row {
            Change::Put(_, key, content) => Some((key.clone(), String::from_utf8(content.clone()).unwrap())),
            Change::Delete(..) => None,
        });
        put.collect::<Vec<_>>()
    };
    let rows = stored(&mut bed.directory);
    assert!(
        rows.iter().all(|(key, text)| key.ends_with("open.yaml") && !text.contains("THE-KEY")),
        "{rows:?}"
    );
    let shown = format!("{:?}", bed.directory);
    assert!(!shown.contains("THE-KEY"), "{shown}");
    // Who opens it to others keeps what was good, and is told.
    set_mode(&bed.root.join("secret.yaml"), 0o640);
    assert_eq!(bed.now(), "open s !1");
    let told = bed.directory.findings().next().unwrap().to_string();
    assert!(told.contains("chmod 600") && !told.contains("THE-KEY"), "{told}");
    set_mode(&bed.root.join("secret.yaml"), 0o600);
    assert_eq!(bed.now(), "open s");
}

#[test]
fn a_secret_in_an_open_file_is_not_taken_and_all_beside_it_is() {
    let bed = Bed::new(|root| {
        fs::write(root.join("all.yaml"), format!("{SECRET}---\n{}", service("beside", 80))).unwrap();
        set_mode(&root.join("all.yaml"), 0o644);
    });
    assert_eq!(bed.state(), "beside !1");
}

#[test]
fn a_secret_that_an_earlier_version_stored_is_taken_out_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("secret.yaml").to_string_lossy().into_owned();
    let row = Row { key: key.clone(), value: SECRET.as_bytes().to_vec(), revision: 1 };
    let mut bed = Bed::open(dir.path(), &[row]);
    assert_eq!(bed.state(), "");
    let rows = bed.directory.state().rows;
    assert!(matches!(&rows[..], [Change::Delete(_, gone)] if *gone == key), "{rows:?}");
}
