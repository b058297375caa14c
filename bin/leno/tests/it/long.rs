//! What takes longer than the certificates of its proxies live has them prove themselves anew, also through a gateway.

use crate::demo::{Demo, text, wait_until};
use lab::protocol::Manner;

/// Tunnels that west's recommendation has been given so far through east's gateway to purchase-history.
fn tunnels(demo: &Demo) -> f64 {
    let labels = ["source_workload=\"recommendation\"", "destination_service_name=\"purchase-history\""];
    demo.metric("east/east-west", 15000, "istio_tcp_connections_opened_total", &labels)
}

#[test]
fn a_long_call_to_another_cluster_has_its_proxies_prove_themselves_anew() {
    let demo = Demo::start_with("long", &["--certificate-ttl-s", "30"]);
    demo.scale("west/purchase-history", 0, Manner::Graceful);
    std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            let fault = "x-demo-fault: purchase-history delay 45000";
            let url = "http://recommendation.mesh.internal/";
            demo.exec("west/client", &["curl", "-sS", "--fail", "--max-time", "60", "-H", fault, url])
        });
        wait_until("the call is on its way", || tunnels(&demo) >= 1.0);
        // Nobody else calls, so the second one is there for its handshakes alone.
        wait_until("its proxies have met anew", || tunnels(&demo) >= 2.0);
        assert!(!call.is_finished(), "while it goes on");
        let output = call.join().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        assert!(text(&output).contains("\"cluster\":\"east\""), "{}", text(&output));
    });
    let log = demo.client.log("west/recommendation", "proxy").expect("a log");
    assert!(!log.contains("could not be proved anew"), "{log}");
}
