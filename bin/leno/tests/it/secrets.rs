//! Truth 7: no private key is ever written: not to files, logs, dumps, environments or arguments.

use crate::demo::{Demo, wait_until};
use crate::keys::{Searcher, plant};
use std::collections::{BTreeMap, HashSet};

/// Everything that the run created or shows: files, admin pages, environments and arguments of processes.
fn evidence(demo: &Demo) -> BTreeMap<String, Vec<u8>> {
    let mut found = demo.files();
    for host in demo.status().hosts {
        if host.processes.contains_key("proxy") {
            for page in ["/config_dump", "/certs", "/clusters", "/stats/prometheus"] {
                let answer = demo.client.get(&host.name, 15000, page).expect("an admin page");
                found.insert(format!("{}{page}", host.name), answer.body);
            }
        }
    }
    for process in demo.client.processes().expect("processes") {
        let arguments = process.arguments.join("\0").into_bytes();
        found.insert(format!("arguments of {}", process.pid), arguments);
        found.insert(format!("environment of {}", process.pid), process.environment);
    }
    found
}

/// Public keys of all certificates in `/certs` of every proxy, as uncompressed points.
fn issued(demo: &Demo) -> HashSet<Vec<u8>> {
    let mut publics = HashSet::new();
    for host in demo.status().hosts.iter().filter(|host| host.processes.contains_key("proxy")) {
        let page = demo.page(&host.name, 15000, "/certs");
        let value: serde_json::Value = serde_json::from_str(&page).expect("JSON");
        collect_public_keys(&value, &mut publics);
    }
    publics
}

fn collect_public_keys(value: &serde_json::Value, publics: &mut HashSet<Vec<u8>>) {
    match value {
        serde_json::Value::Object(fields) => {
            if let Some(hex) = fields.get("public_key").and_then(serde_json::Value::as_str) {
                publics.insert(from_hex(hex));
            }
            fields.values().for_each(|field| collect_public_keys(field, publics));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_public_keys(item, publics)),
        _ => {}
    }
}

fn from_hex(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(byte).collect()
}

#[test]
fn t07_no_private_key_is_written_anywhere() {
    let demo = Demo::start_with("t07", &["--certificate-ttl-s", "30"]);
    let mut publics = issued(&demo);
    let first = publics.len();
    let mut load = demo.load("west/client", 50, "60s", &["http://web-api.mesh.internal/"]);
    load.wait_for_more(50);
    wait_until("renewed certificates", || {
        publics.extend(issued(&demo));
        publics.len() > first + 3
    });
    load.end();
    // At least the 14 proxies, three clusters' intermediates and the root, and the renewals.
    assert!(publics.len() >= 18, "{} public keys were issued", publics.len());

    let evidence = evidence(&demo);
    let bytes: usize = evidence.values().map(Vec::len).sum();
    let mut searcher = Searcher::new(publics.clone());
    for (place, contents) in &evidence {
        assert_eq!(searcher.search(contents), None, "a private key in {place}");
    }
    println!("{} places, {bytes} bytes, {} scalars tried", evidence.len(), searcher.tried());
    assert!(evidence.len() > 50 && bytes > 100_000, "the search must have something to search");

    // The control run: a planted key is found, in a file and in an environment.
    let (scalar, public, pem) = plant();
    publics.insert(public);
    let planted = "/run/leno/planted";
    let search = |contents: &[u8]| {
        demo.client.write_file(planted, contents).expect("written");
        Searcher::new(publics.clone()).search(&demo.client.read_file(planted).expect("read"))
    };
    assert_eq!(search(&[b"\x00\x01", scalar.as_slice()].concat()), Some("raw"));
    assert_eq!(search(pem.as_bytes()), Some("base64"));
}
