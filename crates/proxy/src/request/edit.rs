//! The canonical request and responses as `decide::filter` edits them.

use super::{Authority, Fields, Head, with_path};
use bytes::Bytes;
use codec::Body;
use decide::filter::{HeaderEdits, LocalReply, RequestHead};
use decide::{RequestView, path};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use model::Reason;
use model::header::untouched;

impl HeaderEdits for Head {
    fn set(&mut self, name: &str, value: &str) {
        Fields(&mut self.headers).set(name, value);
    }

    fn add(&mut self, name: &str, value: &str) {
        Fields(&mut self.headers).add(name, value);
    }

    fn remove(&mut self, name: &str) {
        Fields(&mut self.headers).remove(name);
    }
}

impl HeaderEdits for Fields<&mut HeaderMap> {
    fn set(&mut self, name: &str, value: &str) {
        if let (Some(name), Ok(value)) = (editable(name), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }

    fn add(&mut self, name: &str, value: &str) {
        if let (Some(name), Ok(value)) = (editable(name), HeaderValue::try_from(value)) {
            self.0.append(name, value);
        }
    }

    fn remove(&mut self, name: &str) {
        if let Some(name) = editable(name) {
            self.0.remove(name);
        }
    }
}

/// The name of a header that filters may edit, whoever they are.
fn editable(name: &str) -> Option<HeaderName> {
    untouched(name).is_none().then(|| HeaderName::try_from(name).ok())?
}

impl RequestHead for Head {
    fn view(&self) -> RequestView<'_> {
        RequestView {
            method: self.method.as_str(),
            host: self.authority.as_str(),
            path: self.target.path(),
            readings: &self.readings,
            query: self.target.query(),
            headers: self,
        }
    }

    fn set_host(&mut self, host: &str) -> Result<(), Reason> {
        let value = HeaderValue::from_str(host).map_err(|_| Reason::BadRequest)?;
        self.authority = Authority::parse(&value).ok_or(Reason::BadRequest)?;
        self.headers.insert(header::HOST, self.authority.value().clone());
        Ok(())
    }

    fn set_path(&mut self, path: &str) -> Result<(), Reason> {
        self.target = with_path(path, self.target.query()).ok_or(Reason::BadPath)?;
        // Those of the old path.
        self.readings.clear();
        Ok(())
    }

    fn headers(&mut self) -> &mut dyn HeaderEdits {
        self
    }
}

/// Where encoded slashes are to be decoded by the caller: a redirect to the path without them.
///
/// # Errors
/// [`Reason::BadPath`].
pub(crate) fn unescape(head: &Head) -> Result<Option<Response<Body>>, Reason> {
    if !head.is_redirected {
        return Ok(None);
    }
    let content_type = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let location = path::unescape_location(head.target.as_str(), content_type)?;
    Ok(Some(local_response(&LocalReply::redirect(path::UNESCAPE_STATUS, location))))
}

/// An answer that a filter gives, as a response.
pub(crate) fn local_response(reply: &LocalReply) -> Response<Body> {
    let mut response = Response::new(Body::full(Bytes::copy_from_slice(reply.body.as_bytes())));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &reply.headers {
        Fields(response.headers_mut()).add(name, value);
    }
    response
}
