#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;

#[tokio::test]
async fn the_other_end_is_who_made_it() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let own = LocalUser::own();
    assert_eq!(LocalUser::of(&ours).unwrap(), Some(own));
    assert!(is_trusted(own.uid) && is_trusted(0) && !is_trusted(own.uid + 1));
    assert_eq!(own.groups().first(), Some(&own.gid));
}

#[test]
fn users_and_groups_have_names_and_numbers() {
    assert_eq!((find_user("root"), find_user("4711"), find_group("root")), (Some(0), Some(4711), Some(0)));
    assert_eq!((find_user("no such user"), find_group("no such group")), (None, None));
    assert_eq!(LocalUser { uid: 0, gid: 0 }.name(), "root");
    // A number that nobody has is its own name, and has the group that it ran as.
    let nobody = LocalUser { uid: 3_999_999, gid: 3_999_998 };
    assert_eq!((nobody.name().as_str(), nobody.groups()), ("3999999", vec![3_999_998]));
}
