#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use std::os::unix::process::CommandExt;
use std::process::Command;

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

async fn refused(path: &Path) -> String {
    LocalListener::bind(path, SocketAccess::Owner).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_socket_is_its_owners_alone_and_goes_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made/here/a.sock");
    let listener = LocalListener::bind(&path, SocketAccess::Owner).await.unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(listener.path(), path);
    let (connected, accepted) = tokio::join!(UnixStream::connect(&path), listener.accept());
    assert!(connected.is_ok() && accepted.is_ok());
    let told = refused(&path).await;
    assert!(told.contains("listens on") && told.contains("a.sock already"), "{told}");
    drop(listener);
    let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");

    let own = crate::users::LocalUser::own().gid;
    let shared = LocalListener::bind(&path, SocketAccess::Group(own)).await.unwrap();
    assert_eq!((mode(&path), std::fs::metadata(&path).unwrap().gid()), (0o660, own));
    // What another process has put in its place meanwhile is not this one's to remove.
    std::fs::remove_file(&path).unwrap();
    let other = LocalListener::bind(&path, SocketAccess::Owner).await.unwrap();
    drop(shared);
    assert!(path.exists());
    drop(other);
}

#[tokio::test]
async fn what_a_dead_process_left_is_replaced_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.sock");
    // The standard library leaves the file behind, as a process that is killed does.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    drop(std::os::unix::net::UnixListener::bind(directory.path().join("a.sock.new")).unwrap());
    drop(LocalListener::bind(&path, SocketAccess::Owner).await.unwrap());

    std::fs::write(&path, "mine").unwrap();
    assert!(refused(&path).await.contains("is no socket"));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    let below = path.join("b.sock");
    assert!(refused(&below).await.contains("make the directory of"));
}

/// As another user, where this test runs as root: a directory of root's is not his to write in, and a group that he is
/// no member of not his to give to.
#[test]
fn what_may_not_be_written_is_told() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let open = directory.path().join("open");
    std::fs::create_dir(&open).unwrap();
    for (path, mode) in [(directory.path(), 0o755), (&open, 0o777)] {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    for (path, gid, expected) in [
        (directory.path().join("a.sock"), "", "this process's to write in"),
        (open.join("a.sock"), "0", "to group 0"),
        (open.join("b.sock"), "", "listening"),
    ] {
        // By this name whoever may not see the directory of the test's program can run it.
        let mut command = Command::new("/proc/self/exe");
        command.args(["--exact", "--nocapture", "local::tests::as_another_user"]);
        command.env(PATH_VARIABLE, &path).env(GROUP_VARIABLE, gid).uid(65_534).gid(65_534);
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains(expected), "{}: {output:?}", path.display());
    }
}

const PATH_VARIABLE: &str = "LENO_TEST_SOCKET";
const GROUP_VARIABLE: &str = "LENO_TEST_GROUP";

/// What the test above runs; alone it does nothing.
#[tokio::test]
async fn as_another_user() {
    let Ok(path) = std::env::var(PATH_VARIABLE) else { return };
    let group = std::env::var(GROUP_VARIABLE).unwrap().parse();
    let access = group.map_or(SocketAccess::Owner, SocketAccess::Group);
    match LocalListener::bind(Path::new(&path), access).await {
        Ok(_) => println!("listening"),
        Err(error) => println!("{error}"),
    }
}
