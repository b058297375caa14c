//! A key that a user brings in a Secret: it comes to the gateway of the mesh that names it, is replaced there while callers
//! come, and is to be found nowhere but in the document itself. Nobody else of the mesh gets it, whatever it says of itself.

use crate::demo::{DEADLINE, Demo, text, wait_until};
use crate::keys::Searcher;
use crate::secrets::evidence;
use identity::{Expect, Identity, Key, Svid};
use model::{Hostname, Subscription};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData};
use std::collections::HashSet;
use std::net::SocketAddr;
use xds::ProxyNode;
use xds::client::ClientSession;
use xds::grpc::{Channel, Join};

/// West's control plane, as its hosts reach it.
const CONTROL: ([u8; 4], u16) = ([10, 244, 0, 2], 15012);
const SECRET_FILE: &str = "shop-secret.yaml";
const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ingress, namespace: default}
spec:
  gatewayClassName: leno
  listeners:
  - {name: http, protocol: HTTP, port: 80}
  - {name: outside, protocol: HTTP, port: 8080}
  - {name: https, protocol: HTTPS, port: 443, hostname: shop.example, tls: {certificateRefs: [{name: shop}]}}
";

/// Signs certificates for the gateway.
struct ShopAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl ShopAuthority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        // Another name than the certificates below it have, which would be their own issuers.
        params.distinguished_name.push(DnType::CommonName, "Shop authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A Secret with a new certificate; that in base64, and the public key.
    fn secret(&self) -> (String, String, Vec<u8>) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["shop.example".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        // In one line each, as the search reads it too.
        let document = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: shop, namespace: default}}\ntype: kubernetes.io/tls\n\
             stringData: {{tls.crt: {certificate:?}, tls.key: {:?}}}\n",
            key.serialize_pem()
        );
        (document, inside(&certificate), key.der_bytes().to_vec())
    }
}

/// Asks the gateway again and again by HTTPS, from a host without a proxy; says what failed.
fn caller(demo: &Demo, authority: &str, times: u32) -> std::process::Output {
    let script = format!(
        "for i in $(seq {times}); do curl -sS -f -o /dev/null --max-time 20 --cacert {authority} --resolve \
         shop.example:443:10.244.0.3 https://shop.example/ || exit 1; done; echo served"
    );
    demo.exec("west/control", &["bash", "-c", &script])
}

/// What stands in the first certificate of a text, in base64.
fn inside(pem: &str) -> String {
    let after = pem.split("-----BEGIN CERTIFICATE-----").nth(1).unwrap_or_default();
    after.split("-----END").next().unwrap_or_default().split_whitespace().collect()
}

/// The certificate that the gateway shows, in base64.
fn shown(demo: &Demo, authority: &str) -> String {
    let resolve = "shop.example:443:10.244.0.3";
    let curl = ["curl", "-sS", "--max-time", "20", "-o", "/dev/null", "-w", "%{certs}"];
    let mut command = curl.to_vec();
    command.extend(["--cacert", authority, "--resolve", resolve, "https://shop.example/"]);
    let output = demo.exec("west/control", &command);
    let all = String::from_utf8_lossy(&output.stdout).into_owned();
    inside(&all)
}

/// What a member of a group is sent when it asks for what the ingress gateway gets, and says that it is of that group.
fn sent_to(demo: &Demo, group: &str) -> String {
    let token = demo.client.token("west", group).expect("a token");
    let this = std::env::current_exe().expect("this program");
    let variable = format!("ROGUE_TOKEN={token}");
    let asks = ["--exact", "gateway_keys::asks_from_inside_the_lab", "--ignored", "--nocapture"];
    let mut command = vec!["env", &variable, this.to_str().expect("UTF-8")];
    command.extend(asks);
    demo.run("west/control", &command)
}

#[test]
fn a_key_of_a_secret_is_at_its_gateway_and_nowhere_else() {
    let demo = Demo::start("gateway-keys");
    let authority = ShopAuthority::new();
    let bundle = demo.write_in_host("west/control", "shop-ca.pem", &authority.pem);
    let ingress = demo
        .files()
        .into_iter()
        .find_map(|(path, content)| {
            path.ends_with("/west/control/leno/config/ingress.yaml").then_some(content)
        })
        .expect("the ingress of west");
    let ingress = String::from_utf8(ingress).expect("a text");
    // Group and route stay, the gateway gets a listener more.
    let rest = ingress.split("---\n").filter(|document| !document.contains("kind: Gateway\n"));
    let documents: Vec<&str> = rest.chain([GATEWAY]).collect();
    let (first, certificate, public) = authority.secret();
    let mut publics = HashSet::from([public]);
    demo.configure("west", SECRET_FILE, Some(&first));
    demo.change("west", "ingress", || demo.configure("west", "ingress.yaml", Some(&documents.join("---\n"))));
    wait_until("the gateway serves HTTPS", || shown(&demo, &bundle) == certificate);

    // Replaced while callers come: nobody is turned away.
    let served = std::thread::scope(|scope| {
        let calling = scope.spawn(|| caller(&demo, &bundle, 150));
        for _ in 0..3 {
            let (document, certificate, public) = authority.secret();
            publics.insert(public);
            demo.configure("west", SECRET_FILE, Some(&document));
            wait_until("the new certificate is shown", || shown(&demo, &bundle) == certificate);
        }
        calling.join().expect("the caller")
    });
    assert_eq!(String::from_utf8_lossy(&served.stdout), "served\n", "{}", text(&served));

    // Whoever may have it gets it over the same stream, others do not.
    let gateway = sent_to(&demo, "ingress");
    assert!(gateway.contains("got key-pair/default/shop\n"), "{gateway}");
    for group in ["client", "east-west"] {
        let other = sent_to(&demo, group);
        assert!(
            !other.contains("key-pair") && !other.contains("gateway/default/ingress"),
            "{group}: {other}"
        );
        assert!(other.contains("end\n"), "{group}: {other}");
    }

    let mut searcher = Searcher::new(publics);
    let is_document = |place: &str| place.ends_with(SECRET_FILE);
    let all = evidence(&demo);
    for (place, contents) in all.iter().filter(|(place, _)| !is_document(place)) {
        assert_eq!(searcher.search(contents), None, "a private key in {place}");
    }
    // The control run of the search: where it is meant to be, it is found.
    let found =
        all.iter().filter(|(place, _)| is_document(place)).all(|(_, text)| searcher.search(text).is_some());
    assert!(found && all.keys().any(|place| is_document(place)), "the search finds nothing at all");
    for host in ["west/ingress", "west/east-west", "edge/gateway"] {
        let knows = demo.page(host, 15000, "/certs").contains("Secret/shop.default");
        assert_eq!(knows, host == "west/ingress", "{host}");
    }
}

#[test]
#[ignore = "a program of its own, run inside a lab by sent_to"]
fn asks_from_inside_the_lab() {
    let token = std::env::var("ROGUE_TOKEN").expect("set by sent_to");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(DEADLINE, ask(token)).await.expect("answered in time") });
}

async fn ask(token: String) {
    let control: SocketAddr = CONTROL.into();
    let pin = ca::token::JoinToken::parse(&token).expect("a token").root_pin();
    let tls = Identity::new(Vec::new()).client_config(Expect::PinnedRoot(pin), &[b"h2"]);
    let channel = Channel::connect(control, tls).await.expect("connected");
    let key = Key::generate().expect("a key");
    let join = Join { token, csr: key.csr().expect("a CSR"), ..Join::default() };
    let joined = channel.join(&join).await.expect("joined");
    let identity = Identity::new(joined.bundles.clone());
    identity.install(Svid::new(key, joined.chain.clone()).expect("an identity"));
    let own = identity.id().expect("an identity");
    let expect = Expect::Control { trust_domain: own.trust_domain, cluster: joined.cluster.clone().into() };
    let channel = Channel::connect(control, identity.client_config(expect, &[b"h2"])).await;
    let mut link = channel.expect("connected").open_ads();
    let mut session = ClientSession::new();
    let host = |name: &str| Subscription::Host(Hostname::parse(name).expect("a host"));
    session.subscribe(&[host("web-api.mesh.internal")]);
    let mut request = session.on_connect(ProxyNode {
        uid: joined.uid,
        namespace: "default".to_owned(),
        group: "ingress".to_owned(),
        addresses: Vec::new(),
        version: "rogue".to_owned(),
    });
    let wanted = ["gateway/default/ingress", "key-pair/default/shop", "*"].map(str::to_owned);
    request.resource_names_subscribe.extend(wanted);
    link.tx.send(request).await.expect("sent");
    // Asked for behind the rest: when it is answered that there is none, the rest has been answered too.
    let nobody = "nobody.mesh.internal";
    let last = session.subscribe(&[host(nobody)]).expect("a request");
    link.tx.send(last).await.expect("sent");
    while let Some(response) = link.rx.recv().await {
        let Ok(response) = response.inspect_err(|status| println!("refused {status}")) else { break };
        response.resources.iter().for_each(|resource| println!("got {}", resource.name));
        let is_last = response.removed_resources.iter().any(|name| name.contains(nobody));
        // It does not use what it gets, and says that it does.
        let Ok(update) = session.on_response(response) else { break };
        link.tx.send(session.ack(&update.nonce, session.held_hash())).await.expect("sent");
        if is_last {
            break;
        }
    }
    println!("end");
}
