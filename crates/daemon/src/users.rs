//! Users of this machine: who is at the other end of a Unix socket, by what number, name and groups.
//!
//! The kernel vouches for the numbers (`SO_PEERCRED`); names and groups are what the machine's own tables say of them.
//! It decides nothing: what a user may is for whoever asks.

use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, getgrouplist};
use std::ffi::CString;
use std::io;
use tokio::net::UnixStream;

/// The line of `/proc/self/uid_map` in which every user is who he is: no user namespace.
const ALL_USERS: [&str; 3] = ["0", "0", "4294967295"];
/// The uid that the kernel gives for a user unknown to this user namespace, by default.
const OVERFLOW_UID_DEFAULT: u32 = 65_534;

/// Who made the other end of a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalUser {
    /// His number.
    pub uid: u32,
    /// The number of the group that his process ran as.
    pub gid: u32,
}

impl LocalUser {
    /// Who connected; `None`: one of those whom this user namespace does not know, who all have one number.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn of(stream: &UnixStream) -> io::Result<Option<Self>> {
        let peer = stream.peer_cred()?;
        Ok((!is_anyone(peer.uid())).then_some(Self { uid: peer.uid(), gid: peer.gid() }))
    }

    /// The user of this process.
    pub fn own() -> Self {
        Self { uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }

    /// His name; the number where he has none.
    pub fn name(self) -> String {
        match User::from_uid(Uid::from_raw(self.uid)) {
            Ok(Some(user)) => user.name,
            _ => self.uid.to_string(),
        }
    }

    /// The groups that he is a member of, the one that his process ran as first. It may read files and ask other
    /// machines, so it is for a thread that may wait.
    pub fn groups(self) -> Vec<u32> {
        let mut groups = vec![self.gid];
        if let Ok(Some(user)) = User::from_uid(Uid::from_raw(self.uid))
            && let Ok(name) = CString::new(user.name)
            && let Ok(listed) = getgrouplist(&name, Gid::from_raw(self.gid))
        {
            groups.extend(listed.into_iter().map(Gid::as_raw));
        }
        if is_namespaced() {
            // Stands for every group that this user namespace does not know.
            groups.retain(|gid| *gid != overflow("/proc/sys/kernel/overflowgid"));
        }
        groups
    }
}

/// Whether root or the user of this process has this number.
pub fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

/// The number of a user who is given by name or number.
pub fn find_user(text: &str) -> Option<u32> {
    text.parse().ok().or_else(|| User::from_name(text).ok()?.map(|user| user.uid.as_raw()))
}

/// The number of a group that is given by name or number.
pub fn find_group(text: &str) -> Option<u32> {
    text.parse().ok().or_else(|| Group::from_name(text).ok()?.map(|group| group.gid.as_raw()))
}

/// Whether `uid` stands for all users that this user namespace does not know.
pub(crate) fn is_anyone(uid: u32) -> bool {
    uid == overflow("/proc/sys/kernel/overflowuid") && is_namespaced()
}

fn overflow(path: &str) -> u32 {
    let text = std::fs::read_to_string(path);
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(OVERFLOW_UID_DEFAULT)
}

fn is_namespaced() -> bool {
    !std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.split_whitespace().eq(ALL_USERS))
}

#[cfg(test)]
mod tests;
