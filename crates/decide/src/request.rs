//! A request as decisions see it: borrowed, canonical, without any HTTP library.

/// Access to header fields. `()` has none; a list of pairs is for tests and `explain`.
pub trait Headers {
    /// Calls `each` with the value of every field line called `name` (lower case), in order.
    fn visit(&self, name: &str, each: &mut dyn FnMut(&[u8]));
}

impl Headers for () {
    fn visit(&self, _name: &str, _each: &mut dyn FnMut(&[u8])) {}
}

impl Headers for Vec<(String, String)> {
    fn visit(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        for (_, value) in self.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name)) {
            each(value.as_bytes());
        }
    }
}

/// What decisions need of a request.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    /// Method as sent; methods are case-sensitive (RFC 9110 section 9.1).
    pub method: &'a str,
    /// Authority as sent: any case, with or without port. Empty when there is none.
    pub host: &'a str,
    /// Canonical path (see [`crate::path::canonical`]), without the query.
    pub path: &'a str,
    /// Query without `?`.
    pub query: Option<&'a str>,
    /// Header fields.
    pub headers: &'a dyn Headers,
}
