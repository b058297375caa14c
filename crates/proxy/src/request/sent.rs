//! A head on its way out: its map goes with the first attempt, and a list of the same fields is kept for further
//! attempts and for what filters of the response read. A list costs less than a second map, and its memory is used
//! again.

use super::Head;
use codec::{Body, Upgrade};
use http::header::{EXPECT, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri, Version};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Lists without use that a worker keeps; more are freed.
const SPARE_LISTS_MAX: usize = 64;
/// Fields that such a list has room for at most; a longer one is freed.
const SPARE_FIELDS_MAX: usize = 64;

/// Lists whose memory is used again.
#[derive(Debug, Default)]
pub(crate) struct SpareLists(RefCell<Vec<FieldList>>);

type FieldList = Vec<(HeaderName, HeaderValue)>;

impl SpareLists {
    fn take(&self) -> FieldList {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    fn give_back(&self, mut list: FieldList) {
        list.clear();
        let mut lists = self.0.borrow_mut();
        if list.capacity() <= SPARE_FIELDS_MAX && lists.len() < SPARE_LISTS_MAX {
            lists.push(list);
        }
    }
}

/// The fields of a head that was sent.
#[derive(Debug)]
pub(super) struct SentFields {
    fields: FieldList,
    home: Rc<SpareLists>,
}

impl SentFields {
    fn of(headers: &HeaderMap, home: &Rc<SpareLists>) -> Self {
        let mut fields = home.take();
        fields.extend(headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        Self { fields, home: Rc::clone(home) }
    }

    /// The values of `name` (lower case), in order.
    pub(super) fn get_all(&self, name: &str) -> impl Iterator<Item = &HeaderValue> {
        self.fields.iter().filter(move |(own, _)| own.as_str() == name).map(|(_, value)| value)
    }
}

impl Drop for SentFields {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.fields));
    }
}

impl Head {
    /// Makes it ready to be sent, as often as it takes.
    pub(crate) fn outgoing(&mut self, lists: &Rc<SpareLists>) -> Outgoing<'_> {
        let Self { method, target, headers, sent, upgrade, expects_continue, .. } = self;
        let sent = sent.insert(SentFields::of(headers, lists));
        let upgrade = upgrade.as_deref();
        let expects_continue = *expects_continue;
        Outgoing { method, target, headers: Cell::from_mut(headers), sent, upgrade, expects_continue }
    }
}

/// A head that is sent.
pub(crate) struct Outgoing<'a> {
    /// As received.
    pub(crate) method: &'a Method,
    target: &'a PathAndQuery,
    /// Empty once it was sent: a head has a `host` at least.
    headers: &'a Cell<HeaderMap>,
    sent: &'a SentFields,
    /// What it is to be upgraded to.
    pub(crate) upgrade: Option<&'a Upgrade>,
    expects_continue: bool,
}

impl Outgoing<'_> {
    /// The request as it goes on the wire: origin form, `host` among the headers.
    pub(crate) fn request(&self, body: Body) -> Request<Body> {
        let mut headers = self.headers.take();
        if headers.is_empty() {
            headers = self.sent.fields.iter().cloned().collect();
        }
        if self.expects_continue {
            headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
        }
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.target.clone());
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        if let Some(upgrade) = self.upgrade {
            request.extensions_mut().insert(upgrade.clone());
        }
        request
    }
}
