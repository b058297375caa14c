use super::*;
use model::Resource;
use std::path::Path;

fn options(dir: &Path, listen: &str) -> manager::Options {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    manager::Options {
        listen: listen.parse().unwrap(),
        issuer: Default::default(),
        certificate: Default::default(),
        state_dir: dir.join("manager"),
        api: vec![BindAddress::Unix(dir.join("manager.sock"))],
        api_access: Default::default(),
        metrics: any,
    }
}

async fn start_manager(bench: &Bench, listen: &str) -> manager::start::ManagementPlane {
    let seams = manager::Seams {
        clock: bench.clock.clone(),
        issuer: Some(Arc::new(TestRoot(bench.root.clone(), "", bench.clock.clone(), Duration::ZERO))),
    };
    let listen = listen.to_owned();
    // The port of the one before may be in its last moments.
    until("the management plane listens", async || {
        let seams = manager::Seams { clock: seams.clock.clone(), issuer: seams.issuer.clone() };
        manager::start::start(options(bench.path(), &listen), seams).await.ok()
    })
    .await
}

const EAST_WEST: &str = "
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: { name: eastwest, namespace: default }
spec:
  metadata: { labels: { app: eastwest } }
  template: { serviceAccount: eastwest }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: eastwest, namespace: default }
spec:
  gatewayClassName: leno-east-west
  listeners: [{ name: mesh, port: 15008, protocol: TLS }]
";

fn cluster(name: &str, gateway: &str) -> String {
    format!(
        "{MESH}\n---\n{EAST_WEST}\n---\napiVersion: leno.dev/v1alpha1\nkind: Cluster\nmetadata: {{ name: {name} }}\nspec:\n  network: {name}\n  gateways: [\"{gateway}\"]\n"
    )
}

async fn manager_metric(running: &manager::start::ManagementPlane, name: &str) -> f64 {
    let (_, body) = http(running.metrics, "GET", "/metrics", "").await;
    let line =
        body.lines().find(|line| line.split([' ', '{']).next() == Some(name) && !line.starts_with('#'));
    line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// The weight with which `plane` knows `web.mesh.internal` of `other`.
async fn weight(running: &ControlPlane, other: &str) -> Option<u64> {
    let view = get_json(api(running), "/leno/v1/clusters").await;
    let other =
        view["others"].as_array().unwrap().iter().find(|cluster| cluster["cluster"] == *other)?.clone();
    other["exports"].as_array().unwrap().iter().find(|e| e["host"] == "web.mesh.internal")?["weight"].as_u64()
}

async fn start_both(bench: &Bench, manager: SocketAddr) -> [ControlPlane; 2] {
    let start = async |name, gateway| {
        let config = bench.path().join(format!("{name}-config"));
        std::fs::create_dir_all(&config).unwrap();
        std::fs::write(config.join("mesh.yaml"), cluster(name, gateway)).unwrap();
        bench.start_cluster(name, &config, Some(manager)).await
    };
    [start("west", "172.30.0.11").await, start("east", "172.30.0.21").await]
}

#[tokio::test]
async fn a_management_plane_that_forgot_takes_no_cluster_away() {
    let bench = Bench::new();
    let management = start_manager(&bench, "127.0.0.1:0").await;
    let address = management.control;
    let [west, east] = start_both(&bench, address).await;
    until("west knows of none in east", async || weight(&west, "east").await.filter(|w| *w == 0)).await;
    let mut web = Proxy::join(&bench, &east, "web").await;
    let nonce = web.take().await;
    web.ack(&nonce).await;
    until("west knows of one in east", async || weight(&west, "east").await.filter(|w| *w == 1)).await;

    management.stop().await;
    east.stop().await;
    std::fs::remove_dir_all(bench.path().join("manager")).unwrap();
    let management = start_manager(&bench, &address.to_string()).await;
    until("west was told that there is no east", async || {
        (metric(&west, "leno_control_remote_kept_total").await == 1.0).then_some(())
    })
    .await;
    assert_eq!(weight(&west, "east").await, Some(1));
    west.stop().await;
    let config = bench.path().join("west-config");
    let west = bench.start_cluster("west", &config, Some(address)).await;
    assert_eq!(weight(&west, "east").await, Some(1), "not kept over a restart");
    west.stop().await;
    management.stop().await;
}

#[tokio::test]
async fn clusters_hear_of_each_other_and_a_return_sends_nothing() {
    let bench = Bench::new();
    let management = start_manager(&bench, "127.0.0.1:0").await;
    let address = management.control;
    let planes = start_both(&bench, address).await;
    let (west, east) = (&planes[0], &planes[1]);
    let mut web = Proxy::join(&bench, east, "web").await;
    let nonce = web.take().await;
    web.ack(&nonce).await;
    until("west knows of one in east", async || weight(west, "east").await.filter(|w| *w == 1)).await;
    until("east knows of none in west", async || weight(east, "west").await.filter(|w| *w == 0)).await;

    let mut client = Proxy::join(&bench, west, "client").await;
    client.subscribe("web.mesh.internal").await;
    client.run_until(|held| endpoints(held, "web.mesh.internal").len() == 1).await;
    let slice = client.held.values().find_map(|resource| match resource {
        Resource::Slice(slice) => slice.endpoints.first(),
        _ => None,
    });
    assert_eq!(slice.unwrap().reach, model::service::Reach::Gateway);

    let sent = metric(west, "leno_control_resources_sent_total").await;
    let remote = metric(west, "leno_control_remote_received_total").await;
    management.stop().await;
    until("the link is down", async || {
        (metric(west, "leno_control_manager_connected").await == 0.0).then_some(())
    })
    .await;
    assert_eq!(weight(west, "east").await, Some(1), "the last view is gone");
    let management = start_manager(&bench, &address.to_string()).await;
    until("both reported again", async || {
        (manager_metric(&management, "leno_manager_reports_total").await >= 2.0).then_some(())
    })
    .await;
    assert_eq!(manager_metric(&management, "leno_manager_report_changes_total").await, 0.0);
    assert_eq!(manager_metric(&management, "leno_manager_resources_sent_total").await, 0.0);
    assert_eq!(metric(west, "leno_control_resources_sent_total").await, sent);
    assert_eq!(metric(west, "leno_control_remote_received_total").await, remote);

    // The control run: what did change arrives.
    web.channel.clone().unwrap().withdraw(&web.joined.uid, Duration::from_millis(50)).await.unwrap();
    client.run_until(|held| endpoints(held, "web.mesh.internal").is_empty()).await;
    assert!(manager_metric(&management, "leno_manager_resources_sent_total").await >= 1.0);
    let view: serde_json::Value =
        serde_json::from_str(&http(management.api[0].clone(), "GET", "/leno/v1/clusters", "").await.1)
            .unwrap();
    let names: Vec<_> = view["clusters"].as_array().unwrap().iter().map(|c| c["cluster"].clone()).collect();
    assert_eq!(names, ["east", "west"]);
    for plane in planes {
        plane.stop().await;
    }
    management.stop().await;
}
