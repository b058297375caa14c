//! Truth 7: no private key is ever written: not to files, logs, dumps, environments or arguments.

use crate::demo::{Demo, wait_until};
use crate::keys::{Searcher, plant};
use std::collections::{BTreeMap, HashSet};

/// Everything that the run created or shows: files, admin pages, environments and arguments of processes.
pub(crate) fn evidence(demo: &Demo) -> BTreeMap<String, Vec<u8>> {
    let mut found = demo.files();
    for host in demo.status().hosts {
        if host.processes.contains_key("proxy") {
            for page in [
                "/config_dump",
                "/certs",
                "/clusters",
                "/listeners",
                "/server_info",
                "/ready",
                "/help",
                "/stats/prometheus",
            ] {
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

/// Where control planes and the manager show their own certificates.
const PLANES: [(&str, &str); 4] = [
    ("west/control", "10.244.0.2:15012"),
    ("east/control", "10.244.0.2:15012"),
    ("edge/control", "172.30.0.31:15012"),
    ("mgmt", "172.30.0.2:15012"),
];

/// Public keys of the chain that a server shows, its own first. It wants a certificate of the caller, but
/// shows its own before.
fn shown_by(demo: &Demo, host: &str, address: &str) -> Vec<Vec<u8>> {
    let url = format!("https://{address}/");
    let output = demo.exec(host, &["curl", "-sk", "--http2", "--max-time", "10", "-w", "%{certs}", &url]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let of = |pem: &str| public_key(&from_base64(pem.split("-----END").next().unwrap_or_default()));
    let chain: Vec<_> = text.split("-----BEGIN CERTIFICATE-----").skip(1).map(of).collect();
    assert!(!chain.is_empty(), "{host} shows no certificate: {}", crate::demo::text(&output));
    chain
}

fn from_base64(text: &str) -> Vec<u8> {
    use base64::Engine;
    let text: String = text.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
}

/// The P-256 point in a certificate: after the curve's name (RFC 5480) comes a bit string of 65 bytes.
fn public_key(der: &[u8]) -> Vec<u8> {
    const BEFORE: [u8; 13] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00];
    let at = der.windows(BEFORE.len()).position(|window| window == BEFORE).expect("a P-256 key");
    der[at + BEFORE.len()..][..65].to_vec()
}

/// Public keys of all certificates that proxies know and that planes show, as uncompressed points.
fn issued(demo: &Demo) -> HashSet<Vec<u8>> {
    let mut publics = HashSet::new();
    for (host, address) in PLANES {
        publics.extend(shown_by(demo, host, address));
    }
    publics.extend(known_to_proxies(demo));
    publics
}

/// Those in `/certs` of every proxy.
fn known_to_proxies(demo: &Demo) -> HashSet<Vec<u8>> {
    let mut publics = HashSet::new();
    for host in demo.status().hosts.iter().filter(|host| host.processes.contains_key("proxy")) {
        let page = demo.page(&host.name, 15000, "/certs");
        let value: serde_json::Value = serde_json::from_str(&page).expect("JSON");
        collect_public_keys(&value, &mut publics);
    }
    publics
}

pub(crate) fn collect_public_keys(value: &serde_json::Value, publics: &mut HashSet<Vec<u8>>) {
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
    // At least the 13 proxies, three clusters' intermediates, the root, the planes' own four, and renewals.
    let proxies = demo.status().hosts.iter().filter(|host| host.processes.contains_key("proxy")).count();
    assert_eq!(proxies, 13);
    assert!(publics.len() >= proxies + 3 + 1 + PLANES.len() + 3, "{} public keys", publics.len());
    // The manager's own certificate is another one than those of all proxies.
    let of_proxies = known_to_proxies(&demo);
    for (host, address) in PLANES {
        assert!(!of_proxies.contains(&shown_by(&demo, host, address)[0]), "the key of {host} is its own");
    }

    let all = evidence(&demo);
    let bytes: usize = all.values().map(Vec::len).sum();
    let mut searcher = Searcher::new(publics.clone());
    for (place, contents) in &all {
        assert_eq!(searcher.search(contents), None, "a private key in {place}");
    }
    println!("{} places, {bytes} bytes, {} scalars tried", all.len(), searcher.tried());
    assert!(all.len() > 50 && bytes > 100_000, "the search must have something to search");

    // Nor may others of the host read what is written: configuration, registrations, logs.
    let find = ["find", "/run/leno", "-type", "f", "-perm", "/077", "-not", "-name", "resolv.conf"];
    for host in demo.status().hosts {
        let open = demo.exec(&host.name, &find);
        assert!(open.status.success(), "{}", crate::demo::text(&open));
        assert_eq!(String::from_utf8_lossy(&open.stdout), "", "files of {} that others may read", host.name);
    }

    // The control run: a planted key is found in a file, in an environment and in an argument.
    let (scalar, public, pem) = plant();
    publics.insert(public);
    let find = || {
        let places = evidence(&demo);
        let search = |(place, contents): (&String, &Vec<u8>)| {
            Some((place.clone(), Searcher::new(publics.clone()).search(contents)?))
        };
        places.iter().filter_map(search).collect::<Vec<_>>()
    };
    let planted = "/run/leno/planted";
    for (contents, form) in
        [([b"\x00\x01", scalar.as_slice()].concat(), "raw"), (pem.clone().into_bytes(), "base64")]
    {
        demo.client.write_file(planted, &contents).expect("written");
        assert_eq!(find(), [(planted.to_owned(), form)]);
    }
    demo.client.write_file(planted, b"nothing").expect("written");
    let hex: String = scalar.iter().map(|byte| format!("{byte:02x}")).collect();
    let variable = format!("PLANTED={hex}");
    let in_environment =
        demo.client.spawn("west/client", &["env", &variable, "sleep", "600"]).expect("started");
    wait_until("the key in an environment is found", || {
        find() == [(format!("environment of {}", in_environment.pid), "hex")]
    });
    drop(in_environment);
    let in_arguments =
        demo.client.spawn("west/client", &["sh", "-c", "sleep 600; :", &hex]).expect("started");
    wait_until("the key in an argument is found", || {
        find() == [(format!("arguments of {}", in_arguments.pid), "hex")]
    });
}
