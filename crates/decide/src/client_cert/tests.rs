use super::{CLIENT_CERT_BYTES_MAX, CertificateFacts, element, forwarding, joined};
use model::client_traffic::ClientCertDetail::{Cert, Chain, Dns, Subject, Uri};
use model::client_traffic::ForwardClientCertMode::{
    self, AlwaysForwardOnly, AppendForward, ForwardOnly, Sanitize, SanitizeSet,
};

const CAME: &str = "By=spiffe://other;Hash=00";
const OWN: &str = "Hash=ff;URI=spiffe://me";

/// What is sent of [`CAME`] and [`OWN`] by a caller with a valid certificate, and by one without.
#[test]
fn each_mode_keeps_and_adds_what_its_name_says() {
    let check = |mode: ForwardClientCertMode, proven: Option<&str>, unproven: Option<&str>| {
        for (is_proven, expected) in [(true, proven), (false, unproven)] {
            let sent = joined(forwarding(mode, is_proven), Some(CAME.as_bytes()), Some(OWN.as_bytes()));
            assert_eq!(sent.as_deref(), expected.map(str::as_bytes), "{mode:?} {is_proven}");
        }
    };
    let both = format!("{CAME},{OWN}");
    check(Sanitize, None, None);
    check(ForwardOnly, Some(CAME), None);
    check(AppendForward, Some(&both), None);
    check(SanitizeSet, Some(OWN), None);
    check(AlwaysForwardOnly, Some(CAME), Some(CAME));
}

#[test]
fn what_is_too_long_is_the_proxys_own_word_alone() {
    let long = vec![b'x'; CLIENT_CERT_BYTES_MAX];
    let sent = joined(forwarding(AppendForward, true), Some(&long), Some(OWN.as_bytes()));
    assert_eq!(sent.as_deref(), Some(OWN.as_bytes()));
    assert_eq!(
        joined(forwarding(AppendForward, true), None, Some(OWN.as_bytes())).as_deref(),
        Some(OWN.as_bytes())
    );
}

#[test]
fn an_element_has_the_details_in_envoys_order() {
    let (uris, dns) = (["spiffe://a/b".to_owned(), "https://x/;By=y".to_owned()], ["a.example".to_owned()]);
    let facts = CertificateFacts {
        by: Some("spiffe://own"),
        sha256: "0a",
        pem: "-A B+/=\n",
        chain_pem: "c",
        subject: "CN=Joe \"J\",O=\u{fc}\\",
        uris: &uris,
        dns: &dns,
    };
    assert_eq!(element(&[], &facts), "By=spiffe://own;Hash=0a");
    assert_eq!(
        element(&[Cert, Chain, Subject, Uri, Dns], &facts),
        "By=spiffe://own;Hash=0a;Cert=\"-A%20B%2B%2F%3D%0A\";Chain=\"c\";\
         Subject=\"CN=Joe \\\"J\\\",O=?\\\\\";URI=spiffe://a/b;URI=\"https://x/;By=y\";DNS=a.example"
    );
    assert_eq!(
        element(&[Subject], &CertificateFacts { sha256: "1", ..CertificateFacts::default() }),
        "Hash=1;Subject=\"\""
    );
}
