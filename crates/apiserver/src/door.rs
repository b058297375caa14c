//! Who calls, of all that a connection and a request say. A token is sent on purpose, so it counts before all else.
//!
//! No token and no part of one is told or logged.

use crate::caller::{ApiCaller, ApiConnection, Introduction};
use crate::files::ApiFileError;
use crate::options::ApiOptions;
use crate::reread::Reread;
use crate::tokens::{ApiTokens, is_token};
use http::{HeaderMap, header};
use std::time::SystemTime;
use thiserror::Error;

/// Why a request goes no further.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum NotLetIn {
    /// It is not known who calls (401).
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// It is known, and he may nothing (403).
    #[error("{0}")]
    NoRole(String),
}

/// What callers may show.
pub(crate) struct Door {
    tokens: Option<Reread<ApiTokens>>,
}

impl Door {
    pub(crate) fn open(options: &ApiOptions) -> Result<Self, ApiFileError> {
        let tokens = options.api_token_file.clone().map(|path| {
            ApiTokens::read_first(&path)?;
            let files = vec![path.clone()];
            Reread::new(files, move || ApiTokens::read_again(&path))
        });
        Ok(Self { tokens: tokens.transpose()? })
    }

    /// Who calls at this moment.
    pub(crate) fn identify(
        &self,
        connection: &ApiConnection,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Result<ApiCaller, NotLetIn> {
        if headers.contains_key(header::AUTHORIZATION) {
            return self.of_token(headers);
        }
        match &connection.introduction {
            Introduction::Caller(_) if connection.ends.is_some_and(|ends| ends < now) => {
                Err(NotLetIn::Unauthenticated("the client certificate of this connection has expired"))
            }
            Introduction::Caller(caller) => Ok(caller.clone()),
            Introduction::Stranger { user, advice } => {
                Err(NotLetIn::NoRole(format!("{user} has no role here; {advice}")))
            }
            Introduction::Nobody => Err(NotLetIn::Unauthenticated(
                "who calls is not known; send a token (leno --token-file) or a client certificate (leno \
                 --client-certificate)",
            )),
        }
    }

    fn of_token(&self, headers: &HeaderMap) -> Result<ApiCaller, NotLetIn> {
        let refuse = |why| Err(NotLetIn::Unauthenticated(why));
        let Some(token) = bearer(headers) else {
            return refuse("the Authorization header is malformed; it is `Bearer TOKEN`, once");
        };
        let Some(tokens) = &self.tokens else {
            return refuse("this server takes no tokens; see its option --api-token-file");
        };
        match tokens.current().find(token) {
            Ok(caller) => Ok(caller.clone()),
            Err(_) => {
                refuse("this token is not known here; ask for one who keeps the file of --api-token-file")
            }
        }
    }
}

/// The one token of a request (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && is_token(token)).then_some(token)
}

#[cfg(test)]
mod tests;
