//! Ports of which nobody says what they speak: servers that speak first are heard before their clients have said
//! anything, at both proxies, and HTTP is still HTTP. Nothing here can wait for a timer: no client speaks before it has
//! heard the server.

use super::bed::{Application, Authority, Proxy, fresh_ip, inbound_port, native, story};
use super::mesh::{Cluster, client, deny_client};
use crate::accept::listen;
use model::authz::{Action, Glob, Operation, Rule};
use model::service::Protocol::Undeclared;
use model::{ObjectRef, Origin, Policy, Resource, ResourceKey};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpListener;
use tokio::task::spawn_local;

/// A dialogue, first what the server says.
struct Dialogue {
    greeting: &'static [u8],
    question: &'static [u8],
    answer: &'static [u8],
}

/// SMTP, MySQL, and one of PostgreSQL's, whose client speaks first.
const DIALOGUES: [Dialogue; 3] = [
    Dialogue {
        greeting: b"220 mail.example ESMTP\r\n",
        question: b"EHLO there\r\n",
        answer: b"250 there\r\n",
    },
    Dialogue {
        greeting: b"\x4a\0\0\0\x0a8.0.36\0",
        question: b"\x20\0\0\x01\x85",
        answer: b"\x07\0\0\x02\0",
    },
    Dialogue { greeting: b"", question: b"\0\0\0\x08\x04\xd2\x16\x2f", answer: b"N" },
];

/// Holds each dialogue with whoever comes, and says goodbye after the client's end.
fn serve(listener: TcpListener, dialogue: &'static Dialogue) {
    spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            spawn_local(async move {
                let Dialogue { greeting, question, answer } = dialogue;
                let mut heard = vec![0; question.len()];
                let held = async {
                    stream.write_all(greeting).await?;
                    stream.read_exact(&mut heard).await?;
                    stream.write_all(answer).await?;
                    stream.read_to_end(&mut heard).await?;
                    stream.write_all(b"bye").await
                };
                let _ = held.await;
            });
        }
    });
}

async fn hold(mut caller: DuplexStream, dialogue: &Dialogue) {
    let Dialogue { greeting, question, answer } = dialogue;
    let mut heard = vec![0; greeting.len()];
    caller.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, *greeting);
    caller.write_all(question).await.unwrap();
    let mut heard = vec![0; answer.len()];
    caller.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, *answer);
    caller.shutdown().await.unwrap();
    let mut heard = Vec::new();
    caller.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"bye", "what comes after the client's end is not lost");
}

/// A policy that looks at requests, so that the callee looks for HTTP.
fn deny_private() -> (ResourceKey, Resource) {
    let (key, mut policy) = deny_client();
    if let Resource::Policy(policy) = &mut policy {
        policy.rules[0].from.clear();
    }
    (key, policy)
}

fn allow_http_alone() -> (ResourceKey, Resource) {
    let object = ObjectRef::new("AuthorizationPolicy", "default", "http");
    let to = Operation { methods: vec![Glob::parse("GET")], ..Operation::default() };
    let rule = Rule { from: Vec::new(), to: vec![to], when: Vec::new() };
    let origin = Origin { object, file: "".into(), line: 0 };
    let policy = Policy { origin, action: Action::Allow, rules: vec![rule], dry_run: false };
    (ResourceKey::Policy("default".into(), "http".into()), Resource::Policy(policy))
}

#[test]
fn servers_that_speak_first_are_heard_through_the_mesh() {
    for dialogue in &DIALOGUES {
        story(async move {
            let authority = Authority::new();
            let ip = fresh_ip();
            let listener = listen(SocketAddr::new(ip, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            serve(listener, dialogue);
            let east = Cluster::start(&authority, "east", ip, port, Undeclared);
            let proxy = client(&authority, Undeclared, vec![east.endpoint("east")]);
            hold(proxy.call_tcp(), dialogue).await;
            assert!(proxy.logged().iter().all(|line| line["response_flags"] == "-"), "{:?}", proxy.logged());
        });
    }
}

/// DENY by path lets no opaque bytes pass (no path of theirs is known to be another one), ALLOW by method neither:
/// there, nothing of a server that speaks first may get out.
#[test]
fn where_a_policy_asks_for_http_no_greeting_gets_out() {
    for policy in [deny_private(), allow_http_alone()] {
        story(async move {
            let authority = Authority::new();
            let ip = fresh_ip();
            let listener = listen(SocketAddr::new(ip, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            serve(listener, &DIALOGUES[0]);
            let east = Cluster::start(&authority, "east", ip, port, Undeclared);
            east.workload.apply(vec![policy]);
            let proxy = client(&authority, Undeclared, vec![east.endpoint("east")]);
            let mut caller = proxy.call_tcp();
            caller.write_all(DIALOGUES[0].question).await.unwrap();
            let mut heard = Vec::new();
            let _ = caller.read_to_end(&mut heard).await;
            assert_eq!(heard, b"");
        });
    }
}

/// Whoever wins, the way that was opened for opaque bytes or the request.
#[test]
fn http_is_still_served_as_requests() {
    story(async {
        let authority = Authority::new();
        let ip = fresh_ip();
        let application = Application::named(ip, "east");
        let east = Cluster::start(&authority, "east", ip, application.address.port(), Undeclared);
        east.workload.apply(vec![deny_private()]);
        let proxy = client(&authority, Undeclared, vec![east.endpoint("east")]);
        for _ in 0..3 {
            let mut caller = proxy.call().await;
            assert_eq!(caller.get("/").await.body(), "east");
            assert_eq!(caller.get("/private").await.status(), 403);
        }
    });
}

#[test]
fn http_hears_that_the_server_is_down() {
    story(async {
        let authority = Authority::new();
        let ip = fresh_ip();
        let nobody = Application::nobody(ip).await;
        let workload =
            Proxy::at(ip, "west", authority.identity("shop"), vec![inbound_port(nobody.port(), Undeclared)]);
        workload.serve_mesh();
        let proxy = client(&authority, Undeclared, vec![native("west", ip)]);
        let mut caller = proxy.call().await;
        assert_eq!(caller.get("/").await.status(), 503);
        let silent = client(&authority, Undeclared, Vec::new());
        assert_eq!(silent.call().await.get("/").await.status(), 503);
    });
}
