#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use proptest::prelude::*;

/// What may be done to a file.
#[derive(Clone, Debug)]
enum Act {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let write = (0..20_000u64, prop::collection::vec(any::<u8>(), 0..9000));
    let write = write.prop_map(|(offset, bytes)| Act::Write { offset, bytes });
    prop::collection::vec(prop_oneof![write, (0..30_000u64).prop_map(Act::SetLen)], 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// It reads as a file would on which the same was done, and the file is as before.
    #[test]
    fn what_is_written_is_read_and_the_file_stays(start in 0..20_000usize, acts in acts()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let before: Vec<u8> = (0..start).map(|at| (at % 251) as u8 + 1).collect();
        std::fs::write(&path, &before).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let overlay = Overlay { blocks: BTreeMap::new(), bytes: start as u64, file_bytes: start as u64 };
        let on_trial = TrialBackend { file: FileBackend::new(file).unwrap(), state: Mutex::new(overlay) };
        let mut expected = before.clone();
        for act in acts {
            match act {
                Act::Write { offset, bytes } => {
                    let fits = offset as usize + bytes.len() <= expected.len();
                    prop_assert_eq!(on_trial.write(offset, &bytes).is_ok(), fits);
                    if fits {
                        expected[offset as usize..offset as usize + bytes.len()].copy_from_slice(&bytes);
                    }
                }
                Act::SetLen(len) => {
                    on_trial.set_len(len).unwrap();
                    expected.resize(len as usize, 0);
                }
            }
            let mut read = vec![0; expected.len()];
            on_trial.read(0, &mut read).unwrap();
            prop_assert_eq!(on_trial.len().unwrap(), expected.len() as u64);
            prop_assert!(read == expected);
            prop_assert!(on_trial.read(1, &mut read).is_err() || read.is_empty());
        }
        prop_assert!(std::fs::read(&path).unwrap() == before);
    }
}
