//! gRPC-Web: gRPC for callers that see no trailers, as browsers (gRPC, "gRPC Web"). Pure: which form a call has, and
//! what its content types become.

const GRPC: &str = "application/grpc";
const WEB: &str = "application/grpc-web";
const WEB_TEXT: &str = "application/grpc-web-text";

/// How bodies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebForm {
    /// As they are.
    Binary,
    /// In base64.
    Text,
}

/// The form of a request with this `content-type`; `None`: it is none of gRPC-Web.
pub fn form(content_type: &[u8]) -> Option<WebForm> {
    // Of most requests that is all that is looked at.
    if !content_type.starts_with(WEB.as_bytes()) {
        return None;
    }
    let text = std::str::from_utf8(content_type).ok()?;
    parts(text).map(|(form, _)| form)
}

/// The form that the caller wants to be answered in: what it `accept`s, else that of its request.
pub fn form_of_answer(accept: Option<&[u8]>, asked: WebForm) -> WebForm {
    let accepted = accept.and_then(|accept| std::str::from_utf8(accept).ok()).unwrap_or_default();
    accepted.split(',').find_map(|accepted| form(accepted.trim().as_bytes())).unwrap_or(asked)
}

/// The `content-type` of gRPC for one of gRPC-Web, with the same encoding of messages.
pub fn to_grpc(content_type: &str) -> String {
    let encoding = parts(content_type).map_or("", |(_, encoding)| encoding);
    format!("{GRPC}{encoding}")
}

/// The other way round; `None`: it is none of gRPC.
pub fn from_grpc(content_type: &str, form: WebForm) -> Option<String> {
    if !crate::is_grpc(content_type.as_bytes()) {
        return None;
    }
    let web = match form {
        WebForm::Binary => WEB,
        WebForm::Text => WEB_TEXT,
    };
    match content_type.get(GRPC.len()..) {
        None | Some("") => Some(format!("{web}+proto")),
        Some(encoding) => Some(format!("{web}{encoding}")),
    }
}

/// Form and encoding of messages, as `+proto`.
fn parts(content_type: &str) -> Option<(WebForm, &str)> {
    let rest = content_type.strip_prefix(WEB)?;
    let (form, rest) =
        rest.strip_prefix("-text").map_or((WebForm::Binary, rest), |rest| (WebForm::Text, rest));
    matches!(rest.as_bytes(), [] | [b'+' | b';', ..]).then_some((form, rest))
}

#[cfg(test)]
mod tests {
    use super::{WebForm, form, form_of_answer, from_grpc, to_grpc};
    use WebForm::{Binary, Text};

    #[test]
    fn content_types_are_translated_with_the_encoding_of_messages() {
        for (web, expected, grpc) in [
            ("application/grpc-web", Some(Binary), "application/grpc"),
            ("application/grpc-web+proto", Some(Binary), "application/grpc+proto"),
            ("application/grpc-web-text", Some(Text), "application/grpc"),
            ("application/grpc-web-text+json;a=b", Some(Text), "application/grpc+json;a=b"),
            ("application/grpc-webby", None, "application/grpc"),
            ("application/grpc", None, "application/grpc"),
        ] {
            assert_eq!(form(web.as_bytes()), expected, "{web}");
            assert_eq!(to_grpc(web), grpc, "{web}");
        }
        assert_eq!(from_grpc("application/grpc", Text).as_deref(), Some("application/grpc-web-text+proto"));
        assert_eq!(from_grpc("application/grpc+json", Binary).as_deref(), Some("application/grpc-web+json"));
        assert_eq!(from_grpc("text/plain", Binary), None);
    }

    #[test]
    fn a_caller_is_answered_in_the_form_that_it_accepts() {
        for (accept, asked, expected) in [
            (None, Text, Text),
            (Some("application/grpc-web-text"), Binary, Text),
            (Some("application/grpc-web+proto"), Text, Binary),
            (Some("text/html, application/grpc-web-text;q=0.5"), Binary, Text),
            (Some("*/*"), Text, Text),
        ] {
            assert_eq!(form_of_answer(accept.map(str::as_bytes), asked), expected, "{accept:?}");
        }
    }
}
