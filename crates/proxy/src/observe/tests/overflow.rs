//! How many series there are.

use super::*;
use model::Hostname;
use model::service::Service;
use model::workload_host::workload_host;
use std::net::Ipv4Addr;

/// A service without anything but its host.
fn service_of(host: &Hostname) -> Service {
    Service {
        host: host.clone(),
        namespace: "".into(),
        name: "".into(),
        address: None,
        ports: Vec::new(),
        global: false,
        failover_order: Vec::new(),
        headless: None,
        external: None,
    }
}

#[test]
fn too_many_label_sets_end_in_the_overflow() {
    let observe = observe();
    let recorder = observe.recorder();
    for n in 0..metrics::SERIES_MAX + 10 {
        let name = host(&format!("h{n}.mesh"));
        recorder.request(&RequestRecord { host: Some(&name), ..request() });
    }
    let text = observe.render(1, 0);
    assert!(line(&text, "istio_requests_total", "reporter=\"overflow\"").ends_with(" 10"));
}

/// As for a Prometheus that calls each by its address.
#[test]
fn workloads_that_are_called_by_their_addresses_are_told_by_their_group() {
    let observe = observe();
    let recorder = observe.recorder();
    for n in 0..3 {
        let name = workload_host(Ipv4Addr::new(10, 0, 0, n).into()).unwrap();
        let group = Service { name: "api".into(), namespace: "shop".into(), ..service_of(&name) };
        recorder.request(&RequestRecord { host: Some(&name), service: Some(&group), ..request() });
        let (host, service) = (Some(&name), Some(&group));
        recorder.tcp(&TcpRecord { host, service, direction: Direction::Outbound, ..tcp() });
    }
    let text = observe.render(1, 0);
    let requests = line(&text, "istio_requests_total", "destination_service_name=\"api\"");
    assert!(requests.contains("destination_service=\"unknown\"") && requests.ends_with(" 3"), "{requests}");
    let connections = line(&text, "istio_tcp_connections_closed_total", "destination_service_name=\"api\"");
    assert!(connections.ends_with(" 3"), "{connections}");
}

/// Each worker has one series for each text, however many keys end in it and however often they come anew.
#[test]
fn the_overflow_is_one_series_and_not_memory_without_end() {
    let observe = observe();
    let recorder = observe.recorder();
    for n in 0..metrics::SERIES_MAX * 3 {
        let name = host(&format!("h{n}.mesh"));
        recorder.request(&RequestRecord { host: Some(&name), ..request() });
    }
    recorder.request(&RequestRecord { host: Some(&host("h1.mesh")), ..request() });
    let text = observe.render(1, 0);
    assert!(line(&text, "leno_metric_series ", "").ends_with(&format!(" {}", metrics::SERIES_MAX + 1)));
    let again = line(&text, "istio_requests_total", "destination_service=\"h1.mesh\"");
    assert!(again.ends_with(" 2"), "{again}");
}
