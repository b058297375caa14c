//! Truth 2: a global name resolves to a mesh-only address, the same everywhere, and stays at home.

use crate::demo::{Demo, assert_no_failure};
use std::net::Ipv4Addr;

const NAME: &str = "web-api.mesh.internal";

fn resolve(demo: &Demo, host: &str, name: &str) -> Option<Ipv4Addr> {
    let output = demo.exec(host, &["getent", "ahostsv4", name]);
    String::from_utf8_lossy(&output.stdout).split_whitespace().next()?.parse().ok()
}

#[test]
fn t02_a_global_name_is_one_mesh_only_address_everywhere_and_stays_at_home() {
    let demo = Demo::start("t02");
    let address = resolve(&demo, "west/client", NAME).expect("the name resolves");
    println!("{NAME} is {address}");
    assert!((240..255).contains(&address.octets()[0]), "{address}");
    for host in ["west/web-api", "west/purchase-history", "east/client", "east/recommendation"] {
        assert_eq!(resolve(&demo, host, NAME), Some(address), "in {host}");
    }
    // After restarts it is still the same.
    for host in ["west/control", "west/client"] {
        demo.kill(host);
        demo.start_host(host);
    }
    assert_eq!(resolve(&demo, "west/client", NAME), Some(address), "after restarts");
    // Control runs: a name that does not exist has no address, and the address leads nowhere outside the mesh.
    assert_eq!(resolve(&demo, "west/client", "nobody.mesh.internal"), None);
    let reachable = demo.exec("mgmt", &["curl", "-s", "--max-time", "3", "http://172.30.0.32:80/"]);
    assert!(reachable.status.success(), "the management host reaches the edge's gateway");
    let outside = demo.exec("mgmt", &["curl", "-s", "--max-time", "3", &format!("http://{address}/")]);
    assert!(!outside.status.success(), "the address must be routable nowhere else");

    // Name servers of the application's own choice still answer for everybody else's names.
    crate::resolver::ask_in_lab(&demo, "west/client");

    let load = demo.load("west/client", 200, "5s", &[&format!("http://{NAME}/")]);
    let lines = wait_for_all(load, 1000);
    assert_no_failure(&lines);
    let at_home = lines
        .iter()
        .filter(|line| line.hops.len() == 3 && line.hops.iter().all(|hop| hop.cluster == "west"))
        .count();
    assert_eq!(at_home, 1000, "of 1000 requests");
}

fn wait_for_all(mut load: crate::demo::Load, count: usize) -> Vec<lab::load::LoadLine> {
    load.wait("all answers", |lines| lines.len() >= count);
    load.end()
}
