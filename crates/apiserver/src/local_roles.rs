//! Which role a user of this machine has on the API's Unix sockets.

use crate::access::ApiRole;
use crate::caller::{ApiCaller, Introduction};
use crate::options::ApiOptions;
use daemon::users::{LocalUser, find_group, find_user, is_trusted};

/// An option that names nobody.
#[derive(Debug, thiserror::Error)]
#[error("{option}: this machine has no {what} `{name}`; write the name of one that it has, or a number")]
pub struct UnknownName {
    /// The option.
    pub option: &'static str,
    /// `user` or `group`.
    pub what: &'static str,
    /// As it was written.
    pub name: String,
}

/// Roles of users and groups, as options give them.
#[derive(Debug, Default)]
pub(crate) struct LocalRoles {
    users: Vec<(u32, ApiRole)>,
    groups: Vec<(u32, ApiRole)>,
}

impl LocalRoles {
    pub(crate) fn read(options: &ApiOptions) -> Result<Self, UnknownName> {
        let mut roles = Self::default();
        for (option, names, role) in [
            ("--api-view-user", &options.api_view_user, ApiRole::View),
            ("--api-edit-user", &options.api_edit_user, ApiRole::Edit),
            ("--api-admin-user", &options.api_admin_user, ApiRole::Admin),
        ] {
            for name in names {
                let unknown = || UnknownName { option, what: "user", name: name.clone() };
                roles.users.push((find_user(name).ok_or_else(unknown)?, role));
            }
        }
        for (option, names, role) in [
            ("--api-view-group", &options.api_view_group, ApiRole::View),
            ("--api-edit-group", &options.api_edit_group, ApiRole::Edit),
            ("--api-admin-group", &options.api_admin_group, ApiRole::Admin),
        ] {
            for name in names {
                roles.groups.push((group(option, name)?, role));
            }
        }
        Ok(roles)
    }

    /// The highest role that anything gives him. It may wait for the machine's tables of users.
    pub(crate) fn introduce(&self, user: LocalUser) -> Introduction {
        match self.role(user.uid, || user.groups()) {
            Some(role) => Introduction::Caller(ApiCaller { user: user.name().into(), role }),
            None => {
                let name = user.name();
                let advice = format!(
                    "call as root, or start the server with --api-view-user={name}, --api-edit-user={name} or \
                     --api-admin-user={name}"
                );
                Introduction::Stranger { user: name.into(), advice: advice.into() }
            }
        }
    }

    fn role(&self, uid: u32, groups: impl FnOnce() -> Vec<u32>) -> Option<ApiRole> {
        if is_trusted(uid) {
            return Some(ApiRole::Admin);
        }
        let of_user = self.users.iter().filter(|(of, _)| *of == uid).map(|(_, role)| *role).max();
        if self.groups.is_empty() {
            return of_user;
        }
        let groups = groups();
        let of_groups = self.groups.iter().filter(|(of, _)| groups.contains(of)).map(|(_, role)| *role).max();
        of_user.max(of_groups)
    }
}

/// The number of a group that an option names.
pub(crate) fn group(option: &'static str, name: &str) -> Result<u32, UnknownName> {
    find_group(name).ok_or_else(|| UnknownName { option, what: "group", name: name.to_owned() })
}

#[cfg(test)]
mod tests;
