//! What a rule's filters do to a request and its response: the contract, and the table of all of them.
//!
//! They are pure and work on [`RequestHead`], so that the proxy runs on a real request what `plan` and `explain` run
//! on a described one. A filter is its configuration in `model::filter`, a file here and a row of [`of`]; what users
//! write for it is in the kind's file of `api`, and its unit in `translate` makes the one of the other.

mod cors;
mod direct_response;
mod echo_request_id;
mod fault;
mod headers;
mod mirror;
mod patterns;
mod redirect;
mod rewrite;
#[cfg(test)]
mod tests;

use crate::{Dice, RequestView};
use model::Reason;
use model::filter::{FilterConfig, Fraction, Mirror};
use std::sync::Arc;
use std::time::Duration;

pub use mirror::mirrored_authority;
pub use patterns::Patterns;

/// One filter, by its configuration.
pub trait Filter {
    /// Changes the request, or answers it.
    ///
    /// # Errors
    /// Why the request ends here.
    fn on_request<'f>(
        &'f self,
        _request: &mut dyn RequestHead,
        _run: &mut FilterRun<'_, 'f>,
    ) -> Result<Verdict, Reason> {
        Ok(Verdict::Continue)
    }

    /// Changes the response to pass back. `request` is as it was sent.
    fn on_response(&self, _request: &RequestView<'_>, _patterns: &Patterns, _response: &mut dyn HeaderEdits) {
    }

    /// Changes an answer that a filter gave, before it goes back. What the rule is there to answer, by a redirect or a
    /// direct response, is a response, and [`Filter::on_response`] changes it.
    fn on_local_reply(&self, _request: &RequestView<'_>, _patterns: &Patterns, _reply: &mut dyn HeaderEdits) {
    }
}

/// A run of filters over one request: what they may know, and what they ask for beside their edits.
pub struct FilterRun<'r, 'f> {
    /// How the request came here.
    pub at: Matched<'r>,
    /// For shares.
    pub dice: &'r mut dyn Dice,
    /// What they ask for.
    pub asked: Asked<'f>,
}

/// What filters ask for beside their edits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked<'f> {
    /// To wait so long, before anything else.
    pub delay: Option<Duration>,
    /// Copies of the request, as it is sent to the backend.
    pub mirrors: Vec<&'f Mirror>,
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
        FilterConfig::Mirror(mirror) => mirror,
        FilterConfig::Cors(cors) => &**cors,
        FilterConfig::Fault(fault) => &**fault,
    }
}

/// Runs filters on a request, in their order, until one answers.
///
/// # Errors
/// As [`Filter::on_request`].
pub fn on_request<'f>(
    filters: &'f [FilterConfig],
    request: &mut dyn RequestHead,
    run: &mut FilterRun<'_, 'f>,
) -> Result<Verdict, Reason> {
    for config in filters {
        if let Verdict::Reply(mut reply) = of(config).on_request(request, run)? {
            let (view, patterns) = (request.view(), run.at.patterns);
            match config {
                FilterConfig::Redirect(_) | FilterConfig::DirectResponse(_) => {
                    on_response(filters, &view, patterns, &mut reply);
                }
                _ => {
                    filters.iter().for_each(|other| of(other).on_local_reply(&view, patterns, &mut reply));
                }
            }
            return Ok(Verdict::Reply(reply));
        }
    }
    Ok(Verdict::Continue)
}

/// Runs filters on a response, in their order.
pub fn on_response(
    filters: &[FilterConfig],
    request: &RequestView<'_>,
    patterns: &Patterns,
    response: &mut dyn HeaderEdits,
) {
    for config in filters {
        of(config).on_response(request, patterns, response);
    }
}

/// Whether this request is one of the share.
fn is_among(share: Fraction, dice: &mut dyn Dice) -> bool {
    let of = share.denominator.max(1);
    share.numerator >= of || (share.numerator > 0 && dice.below(of.into()) < share.numerator.into())
}

/// How a request came to its rule.
#[derive(Clone, Copy, Debug)]
pub struct Matched<'t> {
    /// Bytes of the path that the matched prefix covers ([`crate::route::Match`]).
    pub prefix_len: usize,
    /// Port of the listener or service.
    pub port: u16,
    /// The caller called by https, before any filter has edited what says so.
    pub is_https: bool,
    /// The regular expressions of the rule's filters.
    pub patterns: &'t Patterns,
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
    /// What the access log says of it; `None`: nothing is amiss.
    pub reason: Option<Reason>,
}

impl HeaderEdits for LocalReply {
    fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.add(name, value);
    }

    fn add(&mut self, name: &str, value: &str) {
        self.headers.push((name.into(), value.into()));
    }

    fn remove(&mut self, name: &str) {
        self.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
    }
}

impl LocalReply {
    /// A redirection (RFC 9110 section 15.4).
    pub fn redirect(status: u16, location: String) -> Self {
        Self { status, headers: vec![("location".into(), location.into())], ..Self::default() }
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
