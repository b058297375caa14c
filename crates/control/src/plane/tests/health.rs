//! What proxies tell of their applications, and where the endpoints are then.

use super::*;
use crate::presence::START_GRACE;
use model::probe::ApplicationHealth::{self, NotProbed, NotReady, Ready, Unknown};
use model::service::EndpointState;
use xds::wire::health_out;

const GROUP: &str = "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {name: a}\n\
                     spec: {template: {}, probe: {tcpSocket: {port: 80}}}\n";

/// A plane whose group `a` is probed, or not, and where one workload has joined.
fn joined(is_probed: bool) -> Plane {
    let mut plane = plane();
    let text =
        if is_probed { GROUP.to_owned() } else { GROUP.replace(", probe: {tcpSocket: {port: 80}}", "") };
    let (objects, findings) = api::parse::documents(&text, "a.yaml");
    assert_eq!(findings, []);
    files(&mut plane.objects, objects.into_iter().map(Arc::new).collect(), &[]);
    plane.sync_objects();
    plane.join(registration());
    plane
}

fn open(plane: &mut Plane, health: Option<ApplicationHealth>) -> u64 {
    let (tx, responses) = mpsc::channel(64);
    // Kept, so that the stream takes messages.
    std::mem::forget(responses);
    plane.open(proxy_stream(&tx), &Hello { health, ..Hello::default() }).unwrap()
}

fn tell(plane: &mut Plane, stream: u64, health: &ApplicationHealth) {
    let request = DeltaDiscoveryRequest { health: Some(health_out(health)), ..Default::default() };
    plane.request(stream, request).unwrap();
}

fn state(plane: &Plane) -> Option<EndpointState> {
    plane.world.workload("a").map(|workload| workload.state)
}

/// What `GET /leno/v1/status` says of the workload.
fn reported(plane: &Plane) -> serde_json::Value {
    let now = crate::task::Now { instant: Instant::now(), wall: UNIX_EPOCH };
    crate::status::report("status", plane, &[], now).unwrap()["proxies"][0]["application"].clone()
}

#[test]
fn a_workload_is_in_rotation_by_what_it_is_probed_for_and_what_its_proxy_knows() {
    for (is_probed, first, expected) in [
        (false, Some(Unknown), EndpointState::Ready),
        (true, Some(Unknown), EndpointState::Unready),
        (true, Some(NotReady("refused".into())), EndpointState::Unready),
        (true, Some(Ready), EndpointState::Ready),
        // Started from its last good configuration, which had no probe.
        (true, Some(NotProbed), EndpointState::Ready),
        // It does not know probes.
        (true, None, EndpointState::Ready),
    ] {
        let mut plane = joined(is_probed);
        let stream = open(&mut plane, first.clone());
        assert_eq!(state(&plane), Some(expected), "{is_probed}, {first:?}");
        for (told, expected) in [
            (NotReady("HTTP status 500".into()), EndpointState::Unready),
            (Ready, EndpointState::Ready),
            (NotReady("HTTP status 500".into()), EndpointState::Unready),
            (NotProbed, EndpointState::Ready),
        ] {
            tell(&mut plane, stream, &told);
            assert_eq!(state(&plane), Some(expected), "{is_probed}, {first:?}, then {told:?}");
        }
    }
}

#[test]
fn the_verdict_outlives_its_stream_and_the_control_plane() {
    let mut plane = joined(true);
    let stream = open(&mut plane, Some(Ready));
    plane.take_rows();
    tell(&mut plane, stream, &NotReady("refused".into()));
    let rows = plane.take_rows();
    assert_eq!(rows.len(), 1, "a verdict is stored");
    tell(&mut plane, stream, &NotReady("HTTP status 500".into()));
    assert_eq!(plane.take_rows(), [], "a cause is not");
    plane.close(stream, Instant::now());
    assert_eq!(state(&plane), Some(EndpointState::Unready));
    // Away for a moment: the next stream says nothing new.
    let stream = open(&mut plane, Some(Unknown));
    assert_eq!(state(&plane), Some(EndpointState::Unready));
    plane.close(stream, Instant::now());
    plane.expire(Instant::now() + START_GRACE, UNIX_EPOCH);
    assert_eq!(state(&plane), None, "without its proxy it is nowhere");

    let Some(Row::Put(_, _, value)) = rows.into_iter().next() else { panic!("no row") };
    let stored: Registration = serde_json::from_slice(&value).unwrap();
    assert!(stored.unready.is_some());
    let mut older: serde_json::Value = serde_json::from_slice(&value).unwrap();
    older.as_object_mut().unwrap().remove("unready");
    assert_eq!(serde_json::from_value::<Registration>(older).unwrap().unready, None, "rows of before");
}

#[test]
fn one_that_withdrew_is_draining_whatever_its_application_does() {
    let mut plane = joined(true);
    let stream = open(&mut plane, Some(NotReady("refused".into())));
    plane.withdraw_gone("a");
    assert_eq!(state(&plane), Some(EndpointState::Draining));
    tell(&mut plane, stream, &Ready);
    assert_eq!(state(&plane), Some(EndpointState::Draining));
}

#[test]
fn people_see_why_and_nothing_where_nothing_is_probed() {
    let mut plane = joined(true);
    let stream = open(&mut plane, Some(Unknown));
    assert_eq!(reported(&plane)["ready"], false);
    tell(&mut plane, stream, &NotReady("HTTP\nstatus 500".into()));
    assert_eq!(reported(&plane), serde_json::json!({ "ready": false, "cause": "HTTP status 500" }));
    tell(&mut plane, stream, &Ready);
    assert_eq!(reported(&plane), serde_json::json!({ "ready": true }));
    let mut plane = joined(false);
    open(&mut plane, Some(NotProbed));
    assert_eq!(reported(&plane), serde_json::Value::Null);
}

#[test]
fn what_has_no_reading_changes_nothing() {
    let mut plane = joined(true);
    let stream = open(&mut plane, Some(Ready));
    let health = xds::proto::ApplicationHealth { state: 99, cause: String::new() };
    let request = DeltaDiscoveryRequest { health: Some(health), ..Default::default() };
    plane.request(stream, request).unwrap();
    assert_eq!(state(&plane), Some(EndpointState::Ready));
}
