//! A request as decisions see it: borrowed, canonical, without any HTTP library.

/// Access to header fields. `()` has none; a list of pairs is for tests and `explain`.
pub trait Headers {
    /// Calls `each` with the value of every field line called `name` (lower case), in order.
    fn visit(&self, name: &str, each: &mut dyn FnMut(&[u8]));
}

/// The first value of `name` (lower case).
pub(crate) fn first_value(headers: &dyn Headers, name: &str) -> Option<Vec<u8>> {
    let mut first = None;
    headers.visit(name, &mut |value| {
        first.get_or_insert_with(|| value.to_vec());
    });
    first
}

/// Whether a `content-type` is that of gRPC. Not `application/grpc-web`, whose errors have another form.
pub fn is_grpc(content_type: &[u8]) -> bool {
    matches!(content_type.strip_prefix(b"application/grpc"), Some([] | [b'+' | b';', ..]))
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
    /// Path as it is forwarded (see [`crate::path::read`]), without the query.
    pub path: &'a str,
    /// All readings of it, the literal one first; empty: `path` itself is the only one. Rules and policies are
    /// asked about each.
    pub readings: &'a [String],
    /// Query without `?`.
    pub query: Option<&'a str>,
    /// Header fields.
    pub headers: &'a dyn Headers,
}

impl<'a> RequestView<'a> {
    /// The caller called by https. At the edge what says so is only there when it is believed.
    pub fn is_https(&self) -> bool {
        let mut scheme = None;
        self.headers.visit("x-forwarded-proto", &mut |value| {
            scheme.get_or_insert(value == b"https");
        });
        scheme.unwrap_or(false)
    }

    /// The literal reading of the path.
    pub fn literal(&self) -> &'a str {
        self.readings.first().map_or(self.path, String::as_str)
    }

    /// The other readings of it; mostly none.
    pub fn others(&self) -> &'a [String] {
        self.readings.get(1..).unwrap_or_default()
    }

    /// The same request as who reads its path so sees it.
    pub fn read_as<'b>(&self, reading: &'b str) -> RequestView<'b>
    where
        'a: 'b,
    {
        RequestView { path: reading, readings: &[], ..*self }
    }
}
