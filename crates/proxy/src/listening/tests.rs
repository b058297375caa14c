use super::{ListenPlace, Listening};
use daemon::Readiness;
use std::collections::HashSet;
use std::net::SocketAddr;

fn address(port: u16) -> ListenPlace {
    ListenPlace::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn ports<const N: usize>(ports: [u16; N]) -> HashSet<ListenPlace> {
    ports.map(address).into()
}

#[test]
fn ready_when_every_worker_has_opened_everything() {
    let ready = Readiness::new();
    let listening = Listening::new(2, ready.gate("listening"));
    listening.want(ports([1]), false);
    listening.started();
    listening.opened(address(1));
    listening.started();
    assert!(!ready.is_ready());
    listening.opened(address(1));
    assert!(ready.is_ready());
}

#[test]
fn not_ready_while_something_cannot_be_opened_at_first_and_ready_still_when_that_comes_later() {
    let ready = Readiness::new();
    let listening = Listening::new(1, ready.gate("listening"));
    listening.want(ports([1]), true);
    listening.started();
    listening.opened(address(1));
    assert!(!ready.is_ready(), "one of two listeners cannot be opened");
    listening.want(ports([1, 2]), false);
    assert!(!ready.is_ready());
    listening.opened(address(2));
    assert!(ready.is_ready());
    listening.want(ports([1, 2, 3]), true);
    assert!(ready.is_ready(), "what was open is open");
}

#[test]
fn outside_a_mesh_nobody_is_ready_who_listens_on_nothing() {
    let ready = Readiness::new();
    let listening = Listening::new(1, ready.gate("listening")).outside_a_mesh();
    listening.started();
    listening.want(ports([]), false);
    assert!(!ready.is_ready());
    listening.want(ports([1]), false);
    assert!(!ready.is_ready());
    listening.opened(address(1));
    assert!(ready.is_ready());
    listening.want(ports([]), false);
    listening.closed(address(1));
    assert!(!ready.is_ready());
}
