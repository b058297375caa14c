#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod walks;

use super::{Catalog, Fault, INITIAL_VERSIONS_MAX, ServerSession};
use crate::TYPE_URL;
use crate::client;
use crate::proto::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, ProxyNode};
use crate::wire::{Any, Encoded, encode};
use model::authz::{Action, Policy};
use model::names::Names;
use model::service::Service;
use model::{Hostname, ObjectRef, Origin, Resource, ResourceKey, Subscription};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

/// A catalog and both ends of a stream; `held` is what the client's program runs.
struct World {
    members: HashMap<Subscription, Vec<Arc<Encoded>>>,
    implied: Vec<Subscription>,
    server: ServerSession,
    client: client::ClientSession,
    held: BTreeMap<String, Resource>,
    sent: Vec<String>,
}

impl Catalog for World {
    fn members(&self, subscription: &Subscription) -> Vec<Arc<Encoded>> {
        self.members.get(subscription).cloned().unwrap_or_default()
    }

    fn implied(&self) -> Vec<Subscription> {
        self.implied.clone()
    }
}

fn sub(text: &str) -> Subscription {
    Subscription::parse(text).unwrap()
}

fn service(host: &str, namespace: &str) -> Arc<Encoded> {
    let service = Service { namespace: namespace.into(), ..fixtures::mesh::service(host) };
    let host = service.host.clone();
    encode(&ResourceKey::Service(host), &Resource::Service(service))
}

fn names() -> Arc<Encoded> {
    encode(&ResourceKey::Names, &Resource::Names(Names::default()))
}

/// A resource that no client can read.
fn broken(key: ResourceKey) -> Arc<Encoded> {
    let type_url = "type.googleapis.com/leno.mesh.v1.Tomorrow".into();
    let any = Any::Received { type_url, value: names().any.value().clone() };
    Arc::new(Encoded { name: key.to_string().into(), key, version: "v9".into(), any })
}

fn new_session() -> ServerSession {
    ServerSession::new(|| SystemTime::UNIX_EPOCH)
}

impl World {
    fn new(members: &[(&str, Vec<Arc<Encoded>>)]) -> Self {
        let mut members: HashMap<_, _> =
            members.iter().map(|(text, members)| (sub(text), members.clone())).collect();
        members.insert(sub("mesh"), vec![names()]);
        Self {
            members,
            implied: vec![sub("mesh")],
            server: new_session(),
            client: client::ClientSession::new(),
            held: BTreeMap::new(),
            sent: vec![],
        }
    }

    fn on_server(&mut self, request: DeltaDiscoveryRequest) -> Option<DeltaDiscoveryResponse> {
        let mut server = std::mem::replace(&mut self.server, new_session());
        let response = server.on_request(request, self).unwrap();
        self.server = server;
        response
    }

    fn change(&mut self, text: &str, members: Vec<Arc<Encoded>>) -> Option<DeltaDiscoveryResponse> {
        self.members.insert(sub(text), members);
        self.touch(&[text])
    }

    fn touch(&mut self, texts: &[&str]) -> Option<DeltaDiscoveryResponse> {
        let touched: HashSet<_> = texts.iter().map(|text| sub(text)).collect();
        let mut server = std::mem::replace(&mut self.server, new_session());
        let response = server.on_change(&touched, self);
        self.server = server;
        response
    }

    /// The client takes a response; gives its confirmation.
    fn apply(&mut self, response: DeltaDiscoveryResponse) -> (client::Update, DeltaDiscoveryRequest) {
        self.sent.extend(response.resources.iter().map(|resource| resource.name.clone()));
        let update = self.client.on_response(response).unwrap();
        for (key, resource) in &update.upserts {
            self.held.insert(key.to_string(), resource.clone());
        }
        for key in &update.removed {
            self.held.remove(&key.to_string());
        }
        let ack = self.client.ack(&update.nonce, self.client.held_hash());
        (update, ack)
    }

    /// Lets both talk until nothing is left to say.
    fn settle(&mut self, mut response: Option<DeltaDiscoveryResponse>) -> Vec<client::Update> {
        let mut updates = vec![];
        while let Some(one) = response {
            let (update, ack) = self.apply(one);
            updates.push(update);
            response = self.on_server(ack);
        }
        updates
    }

    fn ask(&mut self, request: Option<DeltaDiscoveryRequest>) -> Vec<client::Update> {
        let response = self.on_server(request.unwrap());
        self.settle(response)
    }

    fn connect(&mut self) -> Vec<client::Update> {
        self.server = new_session();
        let hello = self.client.on_connect(ProxyNode { uid: "p1".into(), ..ProxyNode::default() });
        self.ask(Some(hello))
    }

    fn subscribe(&mut self, texts: &[&str]) -> Vec<client::Update> {
        let subs: Vec<_> = texts.iter().map(|text| sub(text)).collect();
        let request = self.client.subscribe(&subs);
        self.ask(request)
    }

    #[track_caller]
    fn holds(&self, expected: &[&str]) {
        assert_eq!(self.held.keys().collect::<Vec<_>>(), expected);
    }

    #[track_caller]
    fn synced(&self, expected: bool) {
        assert_eq!(self.server.status().synced, expected, "{:?}", self.server.status());
    }

    fn take_sent(&mut self) -> Vec<String> {
        std::mem::take(&mut self.sent)
    }
}

#[test]
fn the_first_response_brings_what_is_implied_and_lists_it() {
    let mut world = World::new(&[]);
    world.synced(false);
    let updates = world.connect();
    assert_eq!(updates[0].implied, [sub("mesh")]);
    assert_eq!(updates[0].answered, [sub("mesh")]);
    world.holds(&["names"]);
    world.synced(true);
    assert_eq!(world.server.node().unwrap().uid, "p1");
}

#[test]
fn one_request_for_many_names_is_answered_by_one_response() {
    let a = || vec![service("a.x", "n"), service("shared.x", "n")];
    let mut world = World::new(&[("host/a.x", a()), ("host/b.x", vec![service("shared.x", "n")])]);
    world.connect();
    world.take_sent();
    let updates = world.subscribe(&["host/a.x", "host/b.x"]);
    assert_eq!(updates.len(), 1);
    assert_eq!(updates[0].answered, [sub("host/a.x"), sub("host/b.x")]);
    assert_eq!(world.take_sent(), ["service/a.x", "service/shared.x"], "a shared resource travels once");
    world.synced(true);
}

#[test]
fn an_unknown_host_is_answered_as_absent_and_appears_later() {
    let mut world = World::new(&[]);
    world.connect();
    let updates = world.subscribe(&["host/nope.x"]);
    assert_eq!(
        (updates[0].absent.as_slice(), updates[0].answered.as_slice()),
        (&[sub("host/nope.x")][..], &[sub("host/nope.x")][..])
    );
    world.synced(true);
    assert_eq!(world.touch(&["host/nope.x"]), None, "still absent is no news");
    let response = world.change("host/nope.x", vec![service("nope.x", "n")]);
    world.settle(response);
    world.holds(&["names", "service/nope.x"]);
    let response = world.change("host/nope.x", vec![]);
    assert_eq!(response.as_ref().unwrap().removed_resources, ["service/nope.x", "host/nope.x"]);
    let updates = world.settle(response);
    assert_eq!(updates[0].absent, [sub("host/nope.x")]);
    world.holds(&["names"]);
}

#[test]
fn a_change_brings_only_what_differs() {
    let mut world = World::new(&[("host/a.x", vec![service("a.x", "n"), service("b.x", "n")])]);
    world.connect();
    world.subscribe(&["host/a.x"]);
    world.take_sent();
    let response = world.change("host/a.x", vec![service("a.x", "n"), service("b.x", "other")]);
    world.settle(response);
    assert_eq!(world.take_sent(), ["service/b.x"]);
    assert_eq!(world.touch(&["host/a.x", "host/unrelated.x"]), None);
    world.synced(true);
}

#[test]
fn a_shared_resource_stays_until_its_last_subscription_goes() {
    let shared = || service("shared.x", "n");
    let mut world =
        World::new(&[("host/a.x", vec![service("a.x", "n"), shared()]), ("host/b.x", vec![shared()])]);
    world.connect();
    world.subscribe(&["host/a.x", "host/b.x"]);
    let request = world.client.unsubscribe(&[sub("host/a.x")]);
    world.ask(request);
    world.holds(&["names", "service/shared.x"]);
    let request = world.client.unsubscribe(&[sub("host/b.x")]);
    world.ask(request);
    world.holds(&["names"]);
    world.synced(true);
    assert_eq!(world.change("host/a.x", vec![]), None, "nobody asks for it any more");
}

#[test]
fn a_resource_may_move_between_subscriptions_without_a_removal() {
    let moved = || service("moved.x", "n");
    let mut world = World::new(&[
        ("host/a.x", vec![service("a.x", "n"), moved()]),
        ("host/b.x", vec![service("b.x", "n")]),
    ]);
    world.connect();
    world.subscribe(&["host/a.x", "host/b.x"]);
    world.members.insert(sub("host/a.x"), vec![service("a.x", "n")]);
    world.members.insert(sub("host/b.x"), vec![service("b.x", "n"), moved()]);
    assert_eq!(world.touch(&["host/a.x", "host/b.x"]), None);
    world.holds(&["names", "service/a.x", "service/b.x", "service/moved.x"]);
}

#[test]
fn a_reconnect_brings_only_differences() {
    let mut world =
        World::new(&[("host/a.x", vec![service("a.x", "n"), service("b.x", "n"), service("c.x", "n")])]);
    world.connect();
    world.subscribe(&["host/a.x"]);
    world.take_sent();
    world.client.on_disconnect();
    assert_eq!(world.client.subscribe(&[sub("host/late.x")]), None, "said at the next connection");
    world.members.insert(sub("host/a.x"), vec![service("a.x", "n"), service("b.x", "changed")]);
    let updates = world.connect();
    assert_eq!(world.take_sent(), ["service/b.x"]);
    assert!(updates[0].answered.contains(&sub("host/a.x")) && updates[0].absent == [sub("host/late.x")]);
    world.holds(&["names", "service/a.x", "service/b.x"]);
    world.synced(true);
    world.connect();
    assert_eq!(world.take_sent(), Vec::<String>::new(), "nothing changed, nothing sent");
    world.synced(true);
}

#[test]
fn what_was_kept_on_disk_is_not_sent_again() {
    let a = service("a.x", "n");
    let mut world = World::new(&[("host/a.x", vec![a.clone()])]);
    world.client = client::ClientSession::restore([(a.key.clone(), a.version.clone())]);
    world.client.subscribe(&[sub("host/a.x")]);
    world.connect();
    assert_eq!(world.take_sent(), ["names"]);
    world.synced(true);
}

#[test]
fn a_refused_resource_is_reported_never_synced_and_the_last_good_one_stays() {
    let key = ResourceKey::Service(Hostname::parse("a.x").unwrap());
    let mut world = World::new(&[("host/a.x", vec![service("a.x", "good")])]);
    world.connect();
    world.subscribe(&["host/a.x"]);
    let good = world.held["service/a.x"].clone();
    let response = world.change("host/a.x", vec![broken(key), service("b.x", "n")]);
    let updates = world.settle(response);
    assert_eq!(updates[0].refused[0].0, "service/a.x");
    assert_eq!(world.held["service/a.x"], good);
    world.holds(&["names", "service/a.x", "service/b.x"]);
    world.synced(false);
    assert!(world.server.status().last_error.unwrap().contains("service/a.x"));

    let response = world.change("mesh", vec![]);
    world.settle(response);
    world.synced(false);
    let response = world.change("host/a.x", vec![service("a.x", "mended"), service("b.x", "n")]);
    world.settle(response);
    world.synced(true);
    assert_eq!(world.server.status().last_error, None);
}

#[test]
fn what_cannot_be_put_in_force_is_told_until_it_can() {
    let mut world = World::new(&[("host/a", vec![service("a", "one")])]);
    let request = world.client.on_connect(ProxyNode::default());
    let response = world.on_server(request).unwrap();
    let nonce = response.nonce.clone();
    world.client.on_response(response).unwrap();
    let unmet = BTreeMap::from([("gateway/ns/edge".to_owned(), "port in use".to_owned())]);
    assert!(world.client.complain(unmet.clone()) && !world.client.complain(unmet));
    let applied = world.client.held_hash();
    assert!(world.on_server(world.client.ack(&nonce, applied)).is_none());
    let status = world.server.status();
    assert_eq!((status.synced, status.last_error.as_deref()), (false, Some("gateway/ns/edge: port in use")));
    // Nothing was sent meanwhile: the same response is judged once more.
    assert!(world.client.complain(BTreeMap::new()));
    assert!(world.on_server(world.client.ack(&nonce, applied)).is_none());
    let status = world.server.status();
    assert_eq!((status.synced, status.last_error), (true, None));
}

fn policy(action: Action) -> Arc<Encoded> {
    let origin = Origin { object: ObjectRef::new("AuthorizationPolicy", "n", "p"), file: "".into(), line: 0 };
    let policy = Policy { origin, action, rules: vec![], dry_run: false };
    encode(&ResourceKey::Policy("n".into(), "p".into()), &Resource::Policy(policy))
}

#[test]
fn a_policy_that_was_never_readable_denies_everything_until_mended_or_removed() {
    let key = ResourceKey::Policy("n".into(), "p".into());
    let mut world = World::new(&[("inbound/n/g", vec![broken(key)])]);
    world.implied.push(sub("inbound/n/g"));
    world.connect();
    let Resource::Policy(stand_in) = &world.held["policy/n/p"] else { panic!("not a policy") };
    assert_eq!((stand_in.action, stand_in.rules.len()), (Action::Deny, 1));
    world.synced(false);
    let response = world.change("inbound/n/g", vec![policy(Action::Allow)]);
    world.settle(response);
    let Resource::Policy(mended) = &world.held["policy/n/p"] else { panic!("not a policy") };
    assert_eq!(mended.action, Action::Allow);
    world.synced(true);
}

#[test]
fn a_refused_resource_that_went_away_while_disconnected_is_forgotten() {
    let key = ResourceKey::Policy("n".into(), "p".into());
    let mut world = World::new(&[("inbound/n/g", vec![broken(key)])]);
    world.implied.push(sub("inbound/n/g"));
    world.connect();
    world.client.on_disconnect();
    world.members.insert(sub("inbound/n/g"), vec![]);
    world.connect();
    world.holds(&["names"]);
    world.synced(true);
}

#[test]
fn while_a_response_is_in_flight_changes_wait_and_come_together() {
    let mut world =
        World::new(&[("host/a.x", vec![service("a.x", "1")]), ("host/b.x", vec![service("b.x", "1")])]);
    world.connect();
    world.subscribe(&["host/a.x", "host/b.x"]);
    let first = world.change("host/a.x", vec![service("a.x", "2")]).unwrap();
    assert_eq!(world.change("host/a.x", vec![service("a.x", "3")]), None);
    assert_eq!(world.change("host/b.x", vec![service("b.x", "2")]), None);
    let request = world.client.subscribe(&[sub("host/c.x")]).unwrap();
    assert_eq!(world.on_server(request), None);
    world.synced(false);
    world.take_sent();
    let (_, ack) = world.apply(first);
    let second = world.on_server(ack).unwrap();
    assert_eq!(second.resources.len(), 2);
    assert_eq!(second.absent, ["host/c.x"]);
    world.settle(Some(second));
    assert_eq!(world.take_sent(), ["service/a.x", "service/a.x", "service/b.x"]);
    world.synced(true);
}

#[test]
fn implied_subscriptions_change_while_connected() {
    let mut world = World::new(&[("gateway/n/g", vec![service("behind.x", "n")])]);
    world.connect();
    world.implied.push(sub("gateway/n/g"));
    let response = world.touch(&[]);
    let updates = world.settle(response);
    assert_eq!(updates[0].implied, [sub("mesh"), sub("gateway/n/g")]);
    world.holds(&["names", "service/behind.x"]);
    world.implied.pop();
    let response = world.touch(&[]);
    let updates = world.settle(response);
    assert_eq!(updates[0].implied, [sub("mesh")]);
    world.holds(&["names"]);
    world.synced(true);
}

#[test]
fn what_is_implied_and_asked_for_needs_both_to_go() {
    let mut world = World::new(&[("host/a.x", vec![service("a.x", "n")])]);
    world.implied.push(sub("host/a.x"));
    world.connect();
    world.subscribe(&["host/a.x"]);
    let request = world.client.unsubscribe(&[sub("host/a.x")]).unwrap();
    assert_eq!(world.on_server(request), None);
    world.holds(&["names", "service/a.x"]);
    world.implied.pop();
    let response = world.touch(&[]);
    world.settle(response);
    world.holds(&["names"]);
}

#[test]
fn what_a_client_claims_to_hold_teaches_it_nothing() {
    let hidden = service("hidden.test", "n");
    let mut world = World::new(&[("host/hidden.test", vec![hidden.clone()])]);
    let mut hello = world.client.on_connect(ProxyNode::default());
    for (name, version) in
        [(&*hidden.name, &*hidden.version), ("service/hidden.test2", "v"), ("no name at all", "v")]
    {
        hello.initial_resource_versions.insert(name.into(), version.into());
    }
    let response = world.on_server(hello).unwrap();
    let mut removed = response.removed_resources.clone();
    removed.sort();
    assert_eq!(removed, ["no name at all", "service/hidden.test", "service/hidden.test2"]);
    assert!(response.resources.iter().all(|resource| resource.name != *hidden.name));
    // It holds what it was sent and nothing else, whatever it said at first.
    world.settle(Some(response));
    world.holds(&["names"]);
    world.synced(true);
}

#[test]
fn a_wrong_applied_hash_is_not_synced() {
    let mut world = World::new(&[("host/a.x", vec![service("a.x", "n")])]);
    world.connect();
    let request = world.client.subscribe(&[sub("host/a.x")]).unwrap();
    let response = world.on_server(request).unwrap();
    let before = world.client.held_hash();
    let update = world.client.on_response(response).unwrap();
    let stale = world.client.ack(&update.nonce, before);
    assert_eq!(world.on_server(stale), None);
    world.synced(false);
    assert_eq!(world.server.status().last_error, None);
    let late = world.client.ack("", world.client.held_hash());
    world.on_server(late);
    world.synced(true);
}

#[test]
fn a_long_complaint_is_cut_off() {
    let mut world = World::new(&[]);
    world.connect();
    let response = world.change("mesh", vec![service("a.test", "n")]).unwrap();
    let nack = world.client.nack(&response.nonce, "x".repeat(10 * super::NACK_MESSAGE_CHARS_MAX));
    world.on_server(nack);
    let kept = world.server.status().last_error.unwrap();
    assert_eq!(kept.chars().count(), super::NACK_MESSAGE_CHARS_MAX);
}

#[test]
fn a_stale_nonce_confirms_nothing() {
    let mut world = World::new(&[("host/a.x", vec![service("a.x", "n")])]);
    world.connect();
    let request = world.client.subscribe(&[sub("host/a.x")]).unwrap();
    let response = world.on_server(request).unwrap();
    let stale = world.client.ack("1", world.client.held_hash());
    assert_eq!(world.on_server(stale), None);
    world.synced(false);
    world.settle(Some(response));
    world.synced(true);
}

#[test]
fn a_response_of_another_type_is_refused_whole() {
    let mut world = World::new(&[]);
    world.connect();
    let request = world.client.subscribe(&[sub("host/a.x")]).unwrap();
    let mut response = world.on_server(request).unwrap();
    response.type_url = "type.googleapis.com/envoy.config.cluster.v3.Cluster".into();
    let refusal = world.client.on_response(response).unwrap_err();
    world.on_server(*refusal.request);
    world.synced(false);
    assert!(world.server.status().last_error.is_some());
}

#[test]
fn content_under_another_name_is_refused() {
    let other = service("b.x", "n");
    let key = ResourceKey::Service(Hostname::parse("a.x").unwrap());
    let disguised = Arc::new(Encoded {
        name: key.to_string().into(),
        key,
        version: other.version.clone(),
        any: other.any.clone(),
    });
    let mut world = World::new(&[("host/a.x", vec![disguised])]);
    world.connect();
    let updates = world.subscribe(&["host/a.x"]);
    assert_eq!(updates[0].refused.len(), 1);
    world.holds(&["names"]);
}

#[test]
fn a_name_that_the_server_cannot_read_is_absent() {
    let mut world = World::new(&[]);
    world.connect();
    let request = DeltaDiscoveryRequest {
        type_url: TYPE_URL.into(),
        resource_names_subscribe: vec!["tomorrow/x".into()],
        ..DeltaDiscoveryRequest::default()
    };
    assert_eq!(world.on_server(request).unwrap().absent, ["tomorrow/x"]);
}

#[test]
fn asking_again_is_answered_again() {
    let mut world = World::new(&[("host/a.x", vec![service("a.x", "n")])]);
    world.connect();
    world.subscribe(&["host/a.x"]);
    world.take_sent();
    let again = DeltaDiscoveryRequest {
        resource_names_subscribe: vec!["host/a.x".into()],
        ..DeltaDiscoveryRequest::default()
    };
    let response = world.on_server(again).unwrap();
    assert_eq!((response.answered.len(), response.resources.len()), (1, 0));
}

#[test]
fn what_is_too_much_ends_the_stream() {
    let world = World::new(&[]);
    let versions = (0..=INITIAL_VERSIONS_MAX).map(|i| (format!("service/{i}"), String::new())).collect();
    let hello =
        DeltaDiscoveryRequest { initial_resource_versions: versions, ..DeltaDiscoveryRequest::default() };
    assert_eq!(new_session().on_request(hello, &world), Err(Fault::TooManyVersions));
    let many = (0..=super::SUBSCRIPTIONS_MAX).map(|i| format!("host/h{i}")).collect();
    let hello = DeltaDiscoveryRequest { resource_names_subscribe: many, ..DeltaDiscoveryRequest::default() };
    assert_eq!(new_session().on_request(hello, &world), Err(Fault::TooManySubscriptions));
    let other = DeltaDiscoveryRequest { type_url: "x".into(), ..DeltaDiscoveryRequest::default() };
    assert_eq!(new_session().on_request(other, &world), Err(Fault::TypeUrl("x".into())));
}

#[test]
fn nothing_is_said_before_the_client_spoke() {
    let mut world = World::new(&[]);
    assert_eq!(world.touch(&["mesh"]), None);
    world.synced(false);
}
