#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;

fn snapshot() -> StoreSnapshot {
    let row = |key: &str, value: &[u8], revision| Row { key: key.into(), value: value.into(), revision };
    let rows = vec![
        (Table::Objects, row("Service/default/web", b"kind: Service\n", 3)),
        (Table::Tokens, row("1a", br#"{"hash":"00"}"#, 5)),
        (Table::Remote, row("east", &[0, 255, 10], 4)),
    ];
    StoreSnapshot { revision: 5, rows }
}

fn backup() -> Vec<u8> {
    lines(StatePlane::Control, snapshot(), SystemTime::UNIX_EPOCH).collect::<Vec<_>>().concat()
}

fn read_all(bytes: &[u8]) -> Result<(BackupHead, StoreSnapshot), BackupError> {
    let mut rows = Vec::new();
    let head = read(bytes, |table, row| {
        rows.push((table, row));
        Ok(())
    })?;
    let revision = head.revision;
    Ok((head, StoreSnapshot { revision, rows }))
}

#[test]
fn what_was_written_is_read() {
    let (head, read) = read_all(&backup()).unwrap();
    assert_eq!(
        (head.plane, head.format, head.made.as_str()),
        (StatePlane::Control, FORMAT, "1970-01-01T00:00:00Z")
    );
    assert_eq!(read, snapshot());
    let empty: Vec<u8> = lines(StatePlane::Manager, StoreSnapshot::default(), SystemTime::UNIX_EPOCH)
        .collect::<Vec<_>>()
        .concat();
    assert_eq!(read_all(&empty).unwrap().1, StoreSnapshot::default());
}

/// Neither a byte that is another nor one that is missing or too many is taken for a backup.
#[test]
fn nothing_else_is_taken_for_one() {
    let sound = backup();
    for at in 0..sound.len() {
        let mut flipped = sound.clone();
        flipped[at] ^= 1 << (at % 7);
        assert!(read_all(&flipped).is_err(), "byte {at}");
        assert!(read_all(&sound[..at]).is_err(), "cut at {at}");
    }
    assert!(read_all(&[&sound[..], b"\n"].concat()).is_err());
    assert!(read_all(&sound.repeat(2)).is_err());
    // Without a line, with its own checksum of before.
    let lines: Vec<&[u8]> = sound.split_inclusive(|byte| *byte == b'\n').collect();
    assert!(read_all(&[&lines[..2], &lines[3..]].concat().concat()).is_err());
}

#[test]
fn one_of_a_later_version_is_told_so() {
    for (from, to) in [(r#""version":1"#, r#""version":2"#), (r#""format":2"#, r#""format":3"#)] {
        let later =
            String::from_utf8(backup()).unwrap().replacen(from, to, 1).replacen(PROGRAM, "leno 7.1.0", 1);
        let told = read_all(later.as_bytes()).unwrap_err().to_string();
        assert!(told.contains("written by leno 7.1.0") && told.contains("or a later version"), "{told}");
    }
}
