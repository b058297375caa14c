//! What a rule's filters do to a request and its response: the contract, and the table of all of them.
//!
//! They are pure and work on [`RequestHead`], so that the proxy runs on a real request what `plan` and `explain` run
//! on a described one. A filter is its configuration in `model::filter`, a file here and a row of [`of`]; what users
//! write for it is in the kind's file of `api`, and its unit in `translate` makes the one of the other.

mod direct_response;
mod echo_request_id;
mod headers;
mod redirect;
mod rewrite;
#[cfg(test)]
mod tests;

use crate::RequestView;
use model::Reason;
use model::filter::FilterConfig;
use std::sync::Arc;

/// One filter, by its configuration.
pub trait Filter {
    /// Changes the request, or answers it.
    ///
    /// # Errors
    /// Why the request ends here.
    fn on_request(&self, _at: &Matched, _request: &mut dyn RequestHead) -> Result<Verdict, Reason> {
        Ok(Verdict::Continue)
    }

    /// Changes the response to pass back. `request` is as it was sent.
    fn on_response(&self, _request: &RequestView<'_>, _response: &mut dyn HeaderEdits) {}
}

/// The behaviour of a filter: the table.
pub fn of(config: &FilterConfig) -> &dyn Filter {
    match config {
        FilterConfig::RequestHeaders(edit) => edit,
        FilterConfig::ResponseHeaders(edit) => edit,
        FilterConfig::Redirect(redirect) => redirect,
        FilterConfig::Rewrite(rewrite) => rewrite,
        FilterConfig::DirectResponse(response) => response,
        FilterConfig::EchoRequestId(echo) => echo,
    }
}

/// Runs filters on a request, in their order, until one answers.
///
/// # Errors
/// As [`Filter::on_request`].
pub fn on_request(
    filters: &[FilterConfig],
    at: &Matched,
    request: &mut dyn RequestHead,
) -> Result<Verdict, Reason> {
    for config in filters {
        if let Verdict::Reply(reply) = of(config).on_request(at, request)? {
            return Ok(Verdict::Reply(reply));
        }
    }
    Ok(Verdict::Continue)
}

/// Runs filters on a response, in their order.
pub fn on_response(filters: &[FilterConfig], request: &RequestView<'_>, response: &mut dyn HeaderEdits) {
    for config in filters {
        of(config).on_response(request, response);
    }
}

/// How a request came to its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Bytes of the path that the matched prefix covers ([`crate::route::Match`]).
    pub prefix_len: usize,
    /// Port of the listener or service.
    pub port: u16,
    /// The caller called by https, before any filter has edited what says so.
    pub is_https: bool,
}

/// What becomes of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// On to the next filter, then to a backend.
    Continue,
    /// It is answered here.
    Reply(LocalReply),
}

/// An answer that no backend gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalReply {
    /// HTTP status.
    pub status: u16,
    /// Header fields, beside `content-length`.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// Body; empty: none.
    pub body: Arc<str>,
}

impl LocalReply {
    /// A redirection (RFC 9110 section 15.4).
    pub fn redirect(status: u16, location: String) -> Self {
        Self { status, headers: vec![("location".into(), location.into())], body: "".into() }
    }

    /// Where it sends the caller, if it does.
    pub fn location(&self) -> Option<&str> {
        self.headers.iter().find(|(name, _)| &**name == "location").map(|(_, value)| &**value)
    }
}

/// Header fields that may be edited. Those that nobody may edit ([`model::header::untouched`]) are left as they are, and
/// what is no name or value changes nothing.
pub trait HeaderEdits {
    /// Replaces all fields of this name.
    fn set(&mut self, name: &str, value: &str);
    /// Adds a field.
    fn add(&mut self, name: &str, value: &str);
    /// Takes all fields of this name out.
    fn remove(&mut self, name: &str);
}

/// A canonical request that may be edited.
pub trait RequestHead {
    /// As decisions see it.
    fn view(&self) -> RequestView<'_>;
    /// The scheme by which the caller called is https.
    fn is_https(&self) -> bool;
    /// Names another authority, in the `host` field too.
    ///
    /// # Errors
    /// It is none.
    fn set_host(&mut self, host: &str) -> Result<(), Reason>;
    /// Asks for another path; the query stays.
    ///
    /// # Errors
    /// It is no request target.
    fn set_path(&mut self, path: &str) -> Result<(), Reason>;
    /// The header fields.
    fn headers(&mut self) -> &mut dyn HeaderEdits;
}
