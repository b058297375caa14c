//! Headless services: peers that find and call one another by their own addresses, themselves included, in STRICT mode.

use crate::demo::{Demo, wait_until};
use lab::protocol::Manner;
use std::collections::BTreeSet;

const NAME: &str = "peers.default.svc.cluster.local";
/// Those of the label that serve something, and where they are. `client` has it, too.
const PEERS: [(&str, &str); 3] =
    [("web-api", "10.244.0.11"), ("recommendation", "10.244.0.12"), ("purchase-history", "10.244.0.13")];
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: peers, namespace: default}\nspec:\n  \
    clusterIP: None\n  selector: {version: v1}\n  ports: [{name: http, port: 8080}]\n";

fn resolve(demo: &Demo, host: &str, name: &str) -> BTreeSet<String> {
    let output = demo.exec(host, &["getent", "ahostsv4", name]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// The identities that were proved to the application of a host.
fn callers(demo: &Demo, host: &str) -> BTreeSet<String> {
    let lines = demo.access_log(host).into_iter().filter(|line| line["direction"] == "inbound");
    lines.filter_map(|line| line["source_principal"].as_str().map(str::to_owned)).collect()
}

#[test]
fn peers_call_one_another_and_themselves_by_address() {
    let demo = Demo::start("hdls");
    demo.configure("west", "peers.yaml", Some(SERVICE));
    let hosts = PEERS.map(|(peer, _)| format!("west/{peer}"));
    let are_found = |host: &String| {
        let addresses = resolve(&demo, host, NAME);
        PEERS.iter().all(|(_, address)| addresses.contains(*address))
    };
    wait_until("all peers are found", || hosts.iter().all(are_found));
    for host in &hosts {
        for (_, address) in PEERS {
            let (status, body) = demo.curl(host, &[&format!("http://{address}:8080/")]);
            assert_eq!(status, 200, "{host} calls {address}: {body}");
        }
    }
    // A call of oneself does not leave the host: it needs no certificate.
    for (own, _) in PEERS {
        for (peer, _) in PEERS.into_iter().filter(|(peer, _)| *peer != own) {
            let identity = format!("spiffe://leno.demo/ns/default/sa/{peer}");
            wait_until("who called is proved", || callers(&demo, &format!("west/{own}")).contains(&identity));
        }
    }
}

#[test]
fn each_peer_has_a_name_as_long_as_it_is_there() {
    let demo = Demo::start("hdln");
    demo.configure("west", "peers.yaml", Some(SERVICE));
    let registered = demo.proxy("west", "purchase-history");
    let name = registered["uid"].as_str().and_then(|name| name.rsplit('/').next()).expect("a name");
    let own = format!("{name}.{NAME}");
    wait_until("it is found by its name", || resolve(&demo, "west/web-api", &own).len() == 1);
    let answer = demo.answer("west/web-api", &[&format!("http://{own}:8080/")]);
    assert_eq!(answer.hops[0].service, "purchase-history");
    let all = resolve(&demo, "west/web-api", NAME);
    let address = resolve(&demo, "west/web-api", &own);
    assert!(address.is_subset(&all), "{address:?} of {all:?}");

    demo.scale("west/purchase-history", 0, Manner::Graceful);
    wait_until("it is no longer told", || resolve(&demo, "west/web-api", NAME) == &all - &address);
    assert_eq!(resolve(&demo, "west/web-api", &own), BTreeSet::new());
}
