//! A directory of configuration files: which objects of it are in force, and what is wrong with it now.
//!
//! A file that is broken keeps the objects that it had, also across a restart: what was good is handed out
//! as rows to be stored. Empty counts as broken, because a writer that died and a full disk leave such files.
//! An object that is no longer there is only gone when it stayed away for [`GONE`]; with it waits all that
//! changed at the same time, so that nothing is taken away before what replaces it is there. A directory that is
//! gone, or empty and not the one that was read before, keeps all. `scan` reads, `watch` says when.

use crate::source::directory::scan::{self, DirectoryIdentity, FoundFile, Readers, Scan, Writer, unread};
use crate::source::objects::SourceState;
use api::{Object, Spec};
use apiserver::store::KEY_BYTES_MAX;
use apiserver::{Change, Row, Table};
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use model::{Code, Finding, ObjectRef, Origin, Severity};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How long an object must be away, with nothing else going or coming back, until it counts as gone: editors and
/// version control take a file away before they write it anew.
pub const GONE: Duration = Duration::from_secs(1);
/// The longest that a change waits for [`GONE`], however much goes and comes back meanwhile.
pub const GONE_MAX: Duration = Duration::from_secs(10);
/// A file of which nobody knows whether it is being written is read when it was still for this long.
pub const STILL: Duration = Duration::from_secs(1);
/// A file that somebody has open for writing is read nevertheless when it was still for this long.
pub const OPEN_STILL: Duration = Duration::from_secs(10);
/// Files left for later are looked at again this often, if no event names them.
const AGAIN: Duration = Duration::from_secs(1);

/// What events said about files.
#[derive(Clone, Debug, Default)]
pub struct Signs {
    /// Being written at this moment: left as they were.
    pub writing: BTreeSet<PathBuf>,
    /// Closed or renamed since the last reading: whole, however young.
    pub whole: BTreeSet<PathBuf>,
}

/// The time of a reading.
#[derive(Clone, Copy, Debug)]
pub struct ReadingTime {
    /// For how long something is away.
    pub instant: Instant,
    /// For how old files are.
    pub wall: SystemTime,
}

impl ReadingTime {
    /// By the clocks of this machine.
    pub fn real() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }
}

/// Whether a reading brought something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Everything as before.
    Same,
    /// Objects or findings changed.
    Changed,
}

#[derive(Debug, Default)]
struct File {
    /// Of what was read last; `None`: nothing, or nothing that may not be read again.
    content: Option<ContentHash>,
    objects: Box<[Arc<Object>]>,
    findings: Vec<Finding>,
    good: LastGood,
    place: FilePlace,
    readers: Readers,
}

/// Tells contents apart: what a file says is held in its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ContentHash([u8; SHA256_OUTPUT_LEN]);

impl ContentHash {
    fn of(content: &[u8]) -> Self {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        hash.copy_from_slice(digest(&SHA256, content).as_ref());
        Self(hash)
    }
}

/// Whether a file was ever without an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LastGood {
    #[default]
    Never,
    Known,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FilePlace {
    #[default]
    There,
    /// Missing when last looked for, and perhaps soon back.
    Away,
}

/// The files of a directory as last read.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    files: BTreeMap<PathBuf, File>,
    /// Trouble with the directory itself.
    findings: Vec<Finding>,
    rows: Vec<Change>,
    /// The directory when files were last seen in it; `None`: not in this run.
    seen_at: Option<DirectoryIdentity>,
    /// Files that were left as they were, to be looked at again.
    young: BTreeSet<PathBuf>,
    /// What is in force: mostly what is in the files.
    in_force: Vec<Arc<Object>>,
    leaving: Leaving,
}

/// Objects in force that no file has any more.
#[derive(Debug, Default)]
struct Leaving {
    since: BTreeMap<ObjectRef, Instant>,
    /// When one last went or came back.
    moved: Option<Instant>,
}

/// Who of those that leave is gone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GoneVerdict {
    /// All of them.
    All,
    /// Those that are away since this moment or longer.
    Before(Instant),
    /// Nobody yet.
    Nobody,
}

impl Leaving {
    /// Takes note of who is missing now.
    fn decide(&mut self, missing: &BTreeSet<ObjectRef>, now: Instant) -> GoneVerdict {
        let before = self.since.len();
        self.since.retain(|object, _| missing.contains(object));
        let mut has_moved = self.since.len() != before;
        for object in missing {
            if !self.since.contains_key(object) {
                self.since.insert(object.clone(), now);
                has_moved = true;
            }
        }
        if has_moved {
            self.moved = Some(now);
        }
        if missing.is_empty() || self.moved.is_none_or(|moved| now >= moved + GONE) {
            return GoneVerdict::All;
        }
        match self.since.values().min() {
            Some(first) if now >= *first + GONE_MAX => {
                GoneVerdict::Before(now.checked_sub(GONE).unwrap_or(now))
            }
            _ => GoneVerdict::Nobody,
        }
    }

    /// When to judge again.
    fn due(&self) -> Option<Instant> {
        let first = self.since.values().min()?;
        Some(self.moved.map_or(*first, |moved| moved + GONE).min(*first + GONE_MAX))
    }
}

impl Directory {
    /// Reads `root` for the first time; broken files become findings. `stored` is what earlier rows said.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub fn open(root: &Path, stored: &[Row]) -> io::Result<Self> {
        let scan = scan::wait(root.into())?;
        Ok(Self::begin(root, stored, scan, ReadingTime::real()))
    }

    fn begin(root: &Path, stored: &[Row], scan: Scan, now: ReadingTime) -> Self {
        let mut directory = Self {
            root: root.into(),
            files: BTreeMap::new(),
            findings: Vec::new(),
            rows: Vec::new(),
            seen_at: None,
            young: BTreeSet::new(),
            in_force: Vec::new(),
            leaving: Leaving::default(),
        };
        for row in stored {
            let path = PathBuf::from(&row.key);
            // An earlier version may have stored one.
            let is_kept = !api::parse::holds_secret(&String::from_utf8_lossy(&row.value));
            if path.starts_with(root) && is_kept {
                directory.files.insert(path, File::restore(row));
            } else {
                directory.rows.push(Change::Delete(Table::Files, row.key.clone()));
            }
        }
        directory.in_force = directory.candidate();
        directory.take(scan, &Signs::default(), now);
        directory
    }

    /// All that it says now, with the rows to be stored since the last call.
    pub fn state(&mut self) -> SourceState {
        SourceState {
            rows: std::mem::take(&mut self.rows),
            objects: self.objects().cloned().collect(),
            leaving: self.leaving().cloned().collect(),
            findings: self.findings().cloned().collect(),
        }
    }

    /// When it should be read again though nothing happens: files are young, or objects are leaving.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let again = (!self.young.is_empty()).then(|| now + AGAIN);
        again.into_iter().chain(self.leaving.due()).min()
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Takes in what lies in the directory now.
    pub fn take(&mut self, scan: Scan, signs: &Signs, now: ReadingTime) -> Reading {
        if scan.files.is_empty() && self.seen_at != Some(scan.at) && !self.in_force.is_empty() {
            let cause = "the directory is empty and not the one that was read before; its last objects stay";
            let fix = "mount or fill it; to take them out, leave a file with a comment in it";
            return self.stay(unread(&self.root, cause, fix));
        }
        self.seen_at = Some(scan.at);
        let mut reading = self.set_findings(scan.findings);
        for (path, file) in &mut self.files {
            let is_away = !scan.files.contains_key(path)
                && !signs.writing.contains(path)
                && !scan.unseen.iter().any(|unseen| path.starts_with(unseen));
            let place = if is_away { FilePlace::Away } else { FilePlace::There };
            if std::mem::replace(&mut file.place, place) != place {
                reading = Reading::Changed;
            }
        }
        self.young.clear();
        for (path, found) in scan.files {
            if self.take_file(&path, found, signs, now.wall) == Reading::Changed {
                reading = Reading::Changed;
            }
        }
        if reading == Reading::Changed || !self.leaving.since.is_empty() {
            reading = self.hold_back(now.instant, reading);
        }
        reading
    }

    /// Takes in that the directory cannot be read: all stays.
    pub fn fail(&mut self, cause: &io::Error) -> Reading {
        let cause = format!("the directory cannot be read: {cause}; its last objects stay");
        self.stay(unread(&self.root, cause, "make it readable"))
    }

    /// What was about to leave may be gone with the directory, which takes nothing out.
    fn stay(&mut self, finding: Finding) -> Reading {
        self.leaving = Leaving::default();
        self.young.clear();
        self.set_findings(vec![finding])
    }

    /// Decides what is in force, now that the files are known.
    fn hold_back(&mut self, now: Instant, reading: Reading) -> Reading {
        let mut objects = self.candidate();
        let there: BTreeSet<&ObjectRef> = objects.iter().map(|object| &object.object).collect();
        let in_force = self.in_force.iter().map(|object| &object.object);
        let missing = in_force.filter(|object| !there.contains(*object)).cloned().collect();
        let were_leaving = !self.leaving.since.is_empty();
        match self.leaving.decide(&missing, now) {
            GoneVerdict::Nobody => return if were_leaving { reading } else { Reading::Changed },
            GoneVerdict::All => self.leaving = Leaving::default(),
            GoneVerdict::Before(moment) => {
                let since = &mut self.leaving.since;
                since.retain(|_, since| *since > moment);
                let stays = self.in_force.iter().filter(|object| since.contains_key(&object.object));
                objects.extend(stays.cloned());
            }
        }
        let rows = &mut self.rows;
        self.files.retain(|path, file| {
            let is_kept = file.place == FilePlace::There
                || file.objects.iter().any(|object| self.leaving.since.contains_key(&object.object));
            if !is_kept {
                rows.push(Change::Delete(Table::Files, path.to_string_lossy().into_owned()));
            }
            is_kept
        });
        self.in_force = objects;
        Reading::Changed
    }

    fn candidate(&self) -> Vec<Arc<Object>> {
        self.there().flat_map(|file| &file.objects).cloned().collect()
    }

    fn there(&self) -> impl Iterator<Item = &File> {
        self.files.values().filter(|file| file.place == FilePlace::There)
    }

    fn set_findings(&mut self, findings: Vec<Finding>) -> Reading {
        let same = self.findings == findings;
        self.findings = findings;
        if same { Reading::Same } else { Reading::Changed }
    }

    fn take_file(&mut self, path: &Path, found: FoundFile, signs: &Signs, wall: SystemTime) -> Reading {
        let is_new = !self.files.contains_key(path);
        let file = match found {
            // What was read before stays; what is new is not read, and reported as a whole.
            FoundFile::Surplus => return Reading::Same,
            _ => self.files.entry(path.into()).or_default(),
        };
        let content = match found {
            FoundFile::Read { content, readers, .. }
                if file.content == Some(ContentHash::of(&content))
                    && !content.is_empty()
                    && file.readers == readers =>
            {
                return Reading::Same;
            }
            FoundFile::Read { content, modified, writer, readers } => {
                // A change in the future was told by a clock that is not ours, and says nothing.
                let age = wall.duration_since(modified).unwrap_or(STILL);
                if !is_whole(path, signs, writer, age, file.good) {
                    self.young.insert(path.into());
                    if is_new {
                        self.files.remove(path);
                    }
                    return Reading::Same;
                }
                file.readers = readers;
                content
            }
            FoundFile::Unreadable(cause) => {
                file.content = None;
                let cause = format!("the file cannot be read: {cause}");
                let fix = "make it a readable file of at most 4 MiB; its last objects stay until then";
                return file.refuse(vec![unread(path, cause, fix)]);
            }
            FoundFile::Surplus => return Reading::Same,
        };
        let rows = &mut self.rows;
        file.read(path, content, |content| {
            let key = path.to_string_lossy().into_owned();
            // A longer one cannot be stored; such a file is only not remembered over a restart.
            match content {
                Some(content) if key.len() <= KEY_BYTES_MAX => {
                    rows.push(Change::Put(Table::Files, key, content));
                }
                Some(_) => {}
                None => rows.push(Change::Delete(Table::Files, key)),
            }
        })
    }

    /// The objects in force.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.in_force.iter()
    }

    /// Those of them that no file has any more: only for a moment.
    pub fn leaving(&self) -> impl Iterator<Item = &ObjectRef> {
        self.leaving.since.keys()
    }

    /// What is wrong now.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().chain(self.there().flat_map(|file| &file.findings))
    }
}

/// Whether a file that changed `age` ago is all that its writer means to write.
fn is_whole(path: &Path, signs: &Signs, writer: Writer, age: Duration, good: LastGood) -> bool {
    if age >= OPEN_STILL {
        return true;
    }
    match writer {
        Writer::Open => false,
        _ if signs.writing.contains(path) => false,
        Writer::Nobody => true,
        Writer::Unknown => signs.whole.contains(path) || age >= STILL || good == LastGood::Never,
    }
}

impl File {
    /// What was good in an earlier run. What the file says now is read next. A policy in it that this version
    /// refuses denies: what an earlier one made of it is not known any more.
    fn restore(row: &Row) -> Self {
        let text = String::from_utf8_lossy(&row.value);
        let (objects, findings) = api::parse::documents(&text, &row.key);
        let (objects, findings) = match is_broken(&findings) {
            true => api::parse::documents_fail_closed(&text, &row.key),
            false => (objects, findings),
        };
        let objects = objects.into_iter().map(Arc::new).collect();
        let content = Some(ContentHash::of(&row.value));
        let readers = Readers::default();
        Self { content, objects, findings, good: LastGood::Known, place: FilePlace::There, readers }
    }

    /// Takes in new content; `keep` is called with what is good, or without it where it must be on no other disk.
    fn read(&mut self, path: &Path, content: Vec<u8>, keep: impl FnOnce(Option<Vec<u8>>)) -> Reading {
        self.content = Some(ContentHash::of(&content));
        let Ok(text) = std::str::from_utf8(&content) else {
            return self.refuse(vec![broken(path, "the file is not UTF-8", "save it as UTF-8")]);
        };
        if text.trim().is_empty() && !self.objects.is_empty() {
            let fix = "write them again, or delete the file to take them out";
            return self.refuse(vec![broken(path, "the file is empty; its last objects stay in force", fix)]);
        }
        let name = path.to_string_lossy();
        let (mut objects, mut findings) = api::parse::documents(text, &name);
        findings.extend(exposed(&objects, self.readers));
        let is_broken = is_broken(&findings);
        if is_broken && self.good == LastGood::Known {
            return self.refuse(findings);
        }
        if is_broken {
            // Without a last good state the readable part is better than nothing, and what denies must not be
            // missing: a policy that is refused denies everything.
            (objects, findings) = api::parse::documents_fail_closed(text, &name);
            findings.extend(exposed(&objects, self.readers));
        }
        let objects = objects.into_iter().filter(|object| !is_exposed(object, self.readers)).collect();
        let objects = known(objects, &self.objects);
        if !is_broken {
            self.good = LastGood::Known;
            keep((!api::parse::holds_secret(text)).then(|| content.clone()));
        }
        let same = self.objects == objects && self.findings == findings;
        self.objects = objects;
        self.findings = findings;
        if same { Reading::Same } else { Reading::Changed }
    }

    /// Keeps the objects, shows the findings.
    fn refuse(&mut self, findings: Vec<Finding>) -> Reading {
        let same = self.findings == findings;
        self.findings = findings;
        if same { Reading::Same } else { Reading::Changed }
    }
}

/// Whether others than its owner can read a Secret: then it is not taken.
fn is_exposed(object: &Object, readers: Readers) -> bool {
    readers == Readers::Others && matches!(object.spec, Spec::Secret(_))
}

fn exposed(objects: &[Object], readers: Readers) -> Vec<Finding> {
    let exposed = objects.iter().filter(|object| is_exposed(object, readers));
    let cause = "others than its owner can read the file, so the Secret in it is not taken";
    let fix = "run `chmod 600` on it, and take a new key if others may have read this one";
    exposed.map(|object| Finding::new(Code::Unread, &object.origin, cause, fix)).collect()
}

/// Objects as read, shared with `before` where they did not change.
fn known(objects: Vec<Object>, before: &[Arc<Object>]) -> Box<[Arc<Object>]> {
    let before: BTreeMap<&ObjectRef, &Arc<Object>> =
        before.iter().map(|object| (&object.object, object)).collect();
    let share = |object: Object| match before.get(&object.object) {
        Some(known) if ***known == object => Arc::clone(known),
        _ => Arc::new(object),
    };
    objects.into_iter().map(share).collect()
}

fn is_broken(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.code.level() == Severity::Error)
}

fn broken(path: &Path, cause: &str, fix: &str) -> Finding {
    let text = path.to_string_lossy();
    let origin = Origin { object: ObjectRef::new("File", "", &text), file: text.into(), line: 1 };
    Finding::new(Code::Syntax, &origin, cause, fix)
}

#[cfg(test)]
mod tests;
