#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{BATCH_BYTES, Finished, Lines, QUEUE_BYTES_MAX, Sink, append, output};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// As the access log gathers.
const GATHER: Duration = Duration::from_millis(10);

/// A disk with so much room, which the test may change, and whether a torn line can be taken back.
#[derive(Clone)]
struct Disk(Arc<Mutex<(Vec<u8>, usize, bool)>>);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (written, room, _) = &mut *self.0.lock().unwrap();
        let fits = bytes.len().min(*room);
        if fits == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        *room -= fits;
        written.extend_from_slice(&bytes[..fits]);
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Disk {
    fn take_back(&mut self, bytes: u64) -> io::Result<()> {
        let (written, room, can) = &mut *self.0.lock().unwrap();
        if !*can {
            return Err(io::ErrorKind::Unsupported.into());
        }
        written.truncate(written.len() - bytes as usize);
        *room += bytes as usize;
        Ok(())
    }
}

/// Writes lines of 10 bytes to a disk with room for two and a half, then gives it more room and writes another.
fn fill(can_take_back: bool) -> (String, u64) {
    let disk = Disk(Arc::new(Mutex::new((Vec::new(), 25, can_take_back))));
    let lines = Lines::start("test", disk.clone(), Duration::ZERO).unwrap();
    for number in 0..4 {
        lines.write(format!("line {number}...\n").as_bytes());
    }
    while lines.dropped().get() < 2 {
        std::thread::yield_now();
    }
    disk.0.lock().unwrap().1 = 100;
    lines.write(b"afterwards\n");
    assert_eq!(lines.finish(), Finished::InTime);
    let text = String::from_utf8(disk.0.lock().unwrap().0.clone()).unwrap();
    (text, lines.dropped().get())
}

#[test]
fn a_full_disk_leaves_whole_lines() {
    let (text, dropped) = fill(true);
    assert_eq!((text.as_str(), dropped), ("line 0...\nline 1...\nafterwards\n", 2));
}

#[test]
fn where_a_torn_line_stays_the_next_one_begins_at_its_own_start() {
    let (text, dropped) = fill(false);
    assert_eq!((text.as_str(), dropped), ("line 0...\nline 1...\nline \nafterwards\n", 2));
}

#[test]
fn only_our_own_bytes_are_taken_back_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut ours = append(&path).unwrap();
    let mut other = append(&path).unwrap();
    ours.write_all(b"whole\ntor").unwrap();
    ours.take_back(3).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole\n");
    ours.write_all(b"tor").unwrap();
    other.write_all(b"theirs\n").unwrap();
    assert!(ours.take_back(3).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole\ntortheirs\n");
}

/// Writes only when the test says so.
struct Stuck(Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Stuck {}

fn stuck() -> (Sender<()>, Lines) {
    let (release, stuck) = mpsc::channel();
    (release, Lines::start("test", Stuck(stuck), Duration::ZERO).unwrap())
}

#[test]
fn what_nobody_reads_is_bounded() {
    let (release, lines) = stuck();
    for _ in 0..12 {
        lines.write(&vec![b'x'; QUEUE_BYTES_MAX / 4]);
    }
    // Up to four are in the writer's hands, four fit the queue.
    let dropped = lines.dropped().get();
    assert!((4..=8).contains(&dropped), "{dropped}");
    assert_eq!(lines.finish(), Finished::Stuck);
    lines.write(b"late\n");
    assert_eq!(lines.dropped().get(), dropped + 1);
    drop(release);
}

/// Counts how often it is written to.
#[derive(Clone, Default)]
struct Counted(Arc<Mutex<(usize, usize)>>);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (writes, all) = &mut *self.0.lock().unwrap();
        *writes += 1;
        *all += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Counted {}

/// Neither the wait for more lines nor the end of the process loses one, and a batch does not wait at all.
#[test]
fn lines_are_gathered_and_written_at_once() {
    let counted = Counted::default();
    let lines = Lines::start("test", counted.clone(), Duration::from_secs(3600)).unwrap();
    for _ in 0..100 {
        lines.write(b"line\n");
    }
    assert_eq!(lines.finish(), Finished::InTime);
    assert_eq!(*counted.0.lock().unwrap(), (1, 500));

    let counted = Counted::default();
    let lines = Lines::start("test", counted.clone(), Duration::from_secs(3600)).unwrap();
    let line = [b'x'; BATCH_BYTES / 2];
    lines.write(&line);
    lines.write(&line);
    while counted.0.lock().unwrap().1 < BATCH_BYTES {
        std::thread::yield_now();
    }
}

#[test]
fn a_pipe_gets_all_lines_although_it_does_not_block() {
    let (mut reader, writer) = io::pipe().unwrap();
    let flags = nix::fcntl::OFlag::O_NONBLOCK;
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(flags)).unwrap();
    let lines = Lines::start("test", output(writer.as_fd()).unwrap(), GATHER).unwrap();
    drop(writer);
    let line = [&[b'x'; 999][..], b"\n"].concat();
    for _ in 0..1000 {
        lines.write(&line);
    }
    let reading = std::thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        all
    });
    assert_eq!(lines.finish(), Finished::InTime);
    assert_eq!(reading.join().unwrap(), line.repeat(1000));
    assert_eq!(lines.dropped().get(), 0);
}
