//! Who calls: a user with a role, or one who has none.

use crate::access::ApiRole;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

/// A caller who has proved who he is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiCaller {
    /// His name, for the log.
    pub user: Arc<str>,
    /// What he may do.
    pub role: ApiRole,
}

/// What a connection says of whoever made it, before there is a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Introduction {
    /// Somebody with a role.
    Caller(ApiCaller),
    /// Somebody who is known, and has none: who it is, and what to do about it.
    Stranger {
        /// His name.
        user: Arc<str>,
        /// What would give him a role.
        advice: Arc<str>,
    },
    /// Nothing: the request has to say it.
    Nobody,
}

/// What is known of a connection before there is a request.
#[derive(Clone, Debug)]
pub(crate) struct ApiConnection {
    /// Who made it.
    pub(crate) introduction: Introduction,
    /// When what he showed expires.
    pub(crate) ends: Option<SystemTime>,
    /// The address that web pages could be brought to call, where they could.
    pub(crate) bound: Option<IpAddr>,
    /// Whether somebody who may call has called on it.
    pub(crate) is_admitted: Arc<AtomicBool>,
}

impl ApiConnection {
    pub(crate) fn of(introduction: Introduction) -> Self {
        Self { introduction, ends: None, bound: None, is_admitted: Arc::default() }
    }
}
