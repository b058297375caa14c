#![allow(clippy::unwrap_used)]
use super::*;

#[test]
fn the_short_form_stands_for_valid_documents() {
    for (from, to) in
        [(":8080", ":9000"), ("127.0.0.1:8080", "10.0.0.1:80"), ("[::1]:8080", "localhost:9000")]
    {
        let (objects, findings) = api::parse::documents(&shorthand(from, to).unwrap(), "");
        assert_eq!((objects.len(), findings), (3, vec![]), "{from} {to}");
    }
}

#[test]
fn what_is_no_address_is_named() {
    for (from, to, option) in
        [("8080", ":9000", "--from"), (":8080", "example.com:80", "--to"), (":0", ":1", "--from")]
    {
        assert_eq!(shorthand(from, to).unwrap_err().option, option);
    }
}
