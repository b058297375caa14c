#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use crate::access::ApiRole;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const TOKEN: &str = "0123456789abcdef";

fn headers(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(header::AUTHORIZATION, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn write(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn by_certificate(role: ApiRole) -> ApiConnection {
    let caller = ApiCaller { user: "carol".into(), role };
    ApiConnection::of(Introduction::Caller(caller))
}

#[test]
fn a_token_counts_before_the_connection_and_never_less() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    write(&path, &format!("{TOKEN},alice,view"));
    let options = ApiOptions { api_token_file: Some(path.clone()), ..ApiOptions::default() };
    let (door, closed) = (Door::open(&options).unwrap(), Door::open(&ApiOptions::default()).unwrap());
    let now = SystemTime::now();
    let nobody = ApiConnection::of(Introduction::Nobody);
    let carol = by_certificate(ApiRole::Admin);
    let check = |door: &Door, connection: &ApiConnection, values: &[&str], expected: &str| {
        let found = match door.identify(connection, &headers(values), now) {
            Ok(caller) => format!("{} {}", caller.user, caller.role),
            Err(NotLetIn::Unauthenticated(why)) => format!("401 {why}"),
            Err(NotLetIn::NoRole(why)) => format!("403 {why}"),
        };
        assert!(found.contains(expected) && !found.contains(TOKEN), "{values:?}: {found}");
    };
    let good = format!("Bearer {TOKEN}");
    check(&door, &nobody, &[&good], "alice view");
    check(&door, &nobody, &[&format!("bearer {TOKEN}")], "alice view");
    check(&door, &carol, &[&good], "alice view");
    check(&door, &carol, &[], "carol admin");
    check(&door, &nobody, &[], "401 who calls is not known; send a token");
    for value in [
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        "Basic YTpi",
        "Bearer short",
        &format!("Bearer  {TOKEN}"),
        "Bearer \u{e9}",
    ] {
        check(&door, &carol, &[value], "401 the Authorization header is malformed");
    }
    check(&door, &nobody, &[&good, &good], "401 the Authorization header is malformed");
    check(&door, &carol, &["Bearer 0123456789abcdeF"], "401 this token is not known here");
    check(&closed, &carol, &[&good], "401 this server takes no tokens");
    let stranger = Introduction::Stranger { user: "dave".into(), advice: "do this".into() };
    check(&door, &ApiConnection::of(stranger), &[], "403 dave has no role here; do this");

    // A change of the file is in force at once; one that is no good is not.
    write(&path, "FEDCBA9876543210,bob,edit\n");
    check(&door, &nobody, &[&good], "401 this token is not known");
    check(&door, &nobody, &["Bearer FEDCBA9876543210"], "bob edit");
    write(&path, "nonsense");
    check(&door, &nobody, &["Bearer FEDCBA9876543210"], "bob edit");
    // Whoever takes the file away takes all tokens back.
    std::fs::remove_file(&path).unwrap();
    check(&door, &nobody, &["Bearer FEDCBA9876543210"], "401 this token is not known");
}

#[test]
fn a_certificate_is_good_until_it_expires() {
    let door = Door::open(&ApiOptions::default()).unwrap();
    let now = SystemTime::now();
    let mut connection = by_certificate(ApiRole::Edit);
    connection.ends = Some(now);
    assert!(door.identify(&connection, &HeaderMap::new(), now).is_ok());
    let later = now + Duration::from_secs(1);
    let told = door.identify(&connection, &HeaderMap::new(), later).unwrap_err().to_string();
    assert!(told.contains("has expired"), "{told}");
}
