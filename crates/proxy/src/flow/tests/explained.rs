//! What `leno explain request` says of a request is what the gateway does with it, whatever the rules, filters,
//! policies and paths. Random, and the same in every run: what differs is printed with its number.

use super::bed::{Application, Proxy, SERVICE, fresh_ip, story};
use super::edge::{edge, rule};
use crate::testing::host;
use codec::Body;
use decide::Dice;
use decide::RequestView;
use decide::authz::{Facts, RemoteIp};
use decide::dice::Pcg;
use decide::explain::{Explanation, Verdict, explain};
use decide::plan::Scope;
use decide::route::Table;
use http::{Request, Response};
use model::authz::{Action, Cidr, Condition, ConditionKey, Glob, Operation, Policy, Rule, Source};
use model::filter::{
    DirectResponse, EchoRequestId, FilterConfig, HeaderEdit, PathRewrite, Redirect, RequestHeaders,
    ResponseHeaders, Rewrite,
};
use model::route::{PathMatch, RouteBackend, RouteMatch, RouteRule, StringMatch, ValueMatch};
use model::settings::{EscapedSlashesAction, Normalization, PathNormalization};
use model::{MeshSettings, ObjectRef, Origin, Resource, ResourceKey};
use std::sync::Arc;

const CONFIGURATIONS: u64 = 200;
const REQUESTS: u64 = 8;

const PATHS: [&str; 14] = [
    "/",
    "/a",
    "/a/b",
    "/A/b",
    "/a//b",
    "/a/../b",
    "/a/./b",
    "/a%2fb",
    "/a%2Fb/../c",
    "/a;x/b",
    "/b/%61",
    "/a%5cb",
    "/a%252fb",
    "/c/x?q=1",
];

fn one<'a, T>(of: &'a [T], dice: &mut Pcg) -> &'a T {
    &of[dice.below(of.len() as u64) as usize]
}

fn sometimes(dice: &mut Pcg) -> bool {
    dice.below(3) == 0
}

fn filter(dice: &mut Pcg) -> FilterConfig {
    let path = |dice: &mut Pcg| {
        let text = *one(&["/new", "/", "/a/b", "/x%2fy", ""], dice);
        match dice.below(2) {
            0 if !text.is_empty() => PathRewrite::Full(text.into()),
            _ => PathRewrite::Prefix(text.into()),
        }
    };
    let edit = |dice: &mut Pcg| {
        let names = ["x-a", "X-B", "x-new", "host", "connection", "x-leno-destination", "cookie"];
        let pair = |dice: &mut Pcg| ((*one(&names, dice)).into(), (*one(&["1", "2", "a b"], dice)).into());
        HeaderEdit {
            set: vec![pair(dice)],
            add: if sometimes(dice) { vec![pair(dice)] } else { Vec::new() },
            remove: if sometimes(dice) { vec![(*one(&names, dice)).into()] } else { Vec::new() },
        }
    };
    match dice.below(8) {
        0 => FilterConfig::Redirect(Redirect {
            scheme: sometimes(dice).then(|| "https".into()),
            hostname: sometimes(dice).then(|| "away.example".into()),
            port: sometimes(dice).then_some(8443),
            path: sometimes(dice).then(|| path(dice)),
            status: 302,
            ..Redirect::default()
        }),
        1 => FilterConfig::DirectResponse(DirectResponse { status: 410, body: "gone".into() }),
        2 => FilterConfig::EchoRequestId(EchoRequestId {}),
        3 => FilterConfig::ResponseHeaders(ResponseHeaders(edit(dice))),
        4 | 5 => FilterConfig::RequestHeaders(RequestHeaders(edit(dice))),
        _ => FilterConfig::Rewrite(Rewrite {
            hostname: sometimes(dice).then(|| "inside.example".into()),
            path: sometimes(dice).then(|| path(dice)),
        }),
    }
}

fn random_rule(index: u32, dice: &mut Pcg) -> RouteRule {
    let path = match dice.below(4) {
        0 => PathMatch::Exact((*one(&["/a", "/a/b", "/b"], dice)).into()),
        _ => PathMatch::Prefix((*one(&["", "/a", "/a/b", "/b", "/c"], dice)).into()),
    };
    let header = ValueMatch { name: "x-a".into(), value: StringMatch::Exact("1".into()) };
    let matches = RouteMatch {
        path,
        method: sometimes(dice).then(|| StringMatch::Exact((*one(&["GET", "POST"], dice)).into())),
        headers: if sometimes(dice) { vec![header] } else { Vec::new() },
        ..RouteMatch::default()
    };
    let known = || RouteBackend::new(Some(host(SERVICE)), 80, 1);
    let backends = match dice.below(8) {
        0 => Vec::new(),
        1 => vec![RouteBackend { weight: 0, ..known() }],
        _ => vec![known()],
    };
    let filters = (0..dice.below(3)).map(|_| filter(dice)).collect();
    RouteRule { matches: vec![matches], filters, backends, ..rule(index, "") }
}

fn random_policy(number: u64, dice: &mut Pcg) -> Policy {
    let object = ObjectRef::new("AuthorizationPolicy", "default", &format!("p{number}"));
    let rule = match dice.below(5) {
        0 => Rule {
            to: vec![Operation { methods: vec![Glob::parse("POST")], ..Operation::default() }],
            ..Rule::default()
        },
        1 => Rule {
            when: vec![Condition {
                key: ConditionKey::Header("x-a".into()),
                values: vec![Glob::parse("1")],
                not_values: Vec::new(),
            }],
            ..Rule::default()
        },
        2 => Rule {
            from: vec![Source { ip_blocks: vec![Cidr::parse("192.0.2.0/24").unwrap()], ..Source::default() }],
            ..Rule::default()
        },
        _ => Rule {
            to: vec![Operation {
                paths: vec![Glob::parse(one::<&str>(&["/a*", "/b", "*/b", "/a/b*"], dice))],
                ..Operation::default()
            }],
            ..Rule::default()
        },
    };
    let action = *one(&[Action::Allow, Action::Deny, Action::Deny, Action::Audit], dice);
    let origin = Origin { object, file: "".into(), line: 0 };
    Policy { origin, action, rules: vec![rule], dry_run: sometimes(dice) }
}

fn random_paths(dice: &mut Pcg) -> PathNormalization {
    PathNormalization {
        normalization: *one(
            &[
                Normalization::None,
                Normalization::Base,
                Normalization::MergeSlashes,
                Normalization::DecodeAndMergeSlashes,
            ],
            dice,
        ),
        escaped_slashes: *one(
            &[
                EscapedSlashesAction::KeepUnchanged,
                EscapedSlashesAction::RejectRequest,
                EscapedSlashesAction::UnescapeAndRedirect,
                EscapedSlashesAction::UnescapeAndForward,
            ],
            dice,
        ),
    }
}

/// Says in its headers what it was asked.
fn echo(request: Request<Body>) -> Response<Body> {
    let target = request.uri().path_and_query().unwrap().as_str().to_owned();
    let mut response = Response::builder().header("x-target", target);
    for name in ["host", "x-a", "x-b", "x-new", "cookie"] {
        let values: Vec<String> = request.headers().get_all(name).iter().map(|v| format!("{v:?}")).collect();
        response = response.header(format!("got-{name}"), values.join(","));
    }
    response.body(Body::empty()).unwrap()
}

/// What became of a request, as the gateway answered.
fn done(response: &Response<String>) -> String {
    let header = |name: &str| response.headers().get(name).map_or("", |value| value.to_str().unwrap());
    match response.headers().contains_key("x-target") {
        true => {
            let got = ["host", "x-a", "x-b", "x-new", "cookie"].map(|name| header(&format!("got-{name}")));
            format!("sent {} {got:?}", header("x-target"))
        }
        false => format!("{} {}", response.status().as_u16(), header("location")),
    }
}

/// The same, as it is explained.
fn told(explanation: &Explanation, asked: &RequestView<'_>) -> String {
    if let Some(reason) = explanation.refusal {
        return format!("{} ", reason.row().status);
    }
    if let Some(reply) = &explanation.reply {
        return format!("{} {}", reply.status, reply.location().unwrap_or_default());
    }
    let sent = explanation.sent.as_ref().unwrap();
    let got = ["host", "x-a", "x-b", "x-new", "cookie"].map(|name| {
        let mut values = Vec::new();
        match sent.headers.get(name) {
            _ if name == "host" => values.push(sent.host.clone()),
            Some(changed) => {
                values.extend(changed.iter().map(|value| String::from_utf8(value.clone()).unwrap()))
            }
            None => asked.headers.visit(name, &mut |v| values.push(String::from_utf8(v.to_vec()).unwrap())),
        }
        values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(",")
    });
    let query = asked.query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("sent {}{query} {got:?}", sent.forwarded)
}

#[test]
fn what_is_explained_is_what_the_gateway_does() {
    story(async {
        let application = Application::start(fresh_ip(), echo);
        let mut dice = Pcg::new(8);
        let (mut sent, mut answered, mut refused) = (0, 0, 0);
        for number in 0..CONFIGURATIONS {
            let rules: Vec<RouteRule> =
                (0..1 + dice.below(5) as u32).map(|index| random_rule(index, &mut dice)).collect();
            let policies: Vec<Arc<Policy>> =
                (0..dice.below(4) / 2).map(|number| Arc::new(random_policy(number, &mut dice))).collect();
            let how = random_paths(&mut dice);
            let proxy = edge(rules.clone(), &[application.address]);
            configure(&proxy, &policies, how);
            let table = Table::compile(rules.into_iter().map(Arc::new));
            let mut caller = proxy.enter().await;
            for _ in 0..REQUESTS {
                let (method, target) = (*one(&["GET", "POST"], &mut dice), *one(&PATHS, &mut dice));
                let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
                let mut headers = vec![("host".to_owned(), "shop.example".to_owned())];
                for name in ["x-a", "x-b"] {
                    if sometimes(&mut dice) {
                        headers.push((name.to_owned(), (*one(&["1", "2"], &mut dice)).to_owned()));
                    }
                }
                let mut request = Request::builder().method(method).uri(target);
                for (name, value) in &headers {
                    request = request.header(name, value);
                }
                let response = caller.send(request.body(Body::empty()).unwrap()).await;
                if response.headers().get("connection").is_some_and(|value| value == "close") {
                    caller = proxy.enter().await;
                }
                let asked = RequestView {
                    method,
                    host: "shop.example",
                    path,
                    readings: &[],
                    query,
                    headers: &headers,
                };
                let peer_ip = Some("192.0.2.7".parse().unwrap());
                let facts = Facts { peer: None, peer_ip, remote_ip: RemoteIp::Peer, port: 80, http: None };
                let scope = Scope {
                    table: &table,
                    called: None,
                    port: 80,
                    source: Default::default(),
                    policies: &policies,
                    facts,
                };
                let explanation = explain(&scope, &asked, how);
                let what = format!("{number}: {method} {target} {headers:?} {explanation:?}");
                assert_eq!(done(&response), told(&explanation, &asked), "{what}");
                let is_denied =
                    explanation.entry.as_ref().is_some_and(|entry| entry.verdict != Verdict::Allowed);
                assert!(!is_denied || explanation.refusal.is_some(), "{what}");
                sent += usize::from(explanation.sent.is_some());
                answered += usize::from(explanation.reply.is_some());
                refused += usize::from(explanation.refusal.is_some());
            }
        }
        // It has seen enough of each.
        assert!(sent > 200 && answered > 100 && refused > 400, "{sent} {answered} {refused}");
    });
}

fn configure(proxy: &Proxy, policies: &[Arc<Policy>], path: PathNormalization) {
    let settings = MeshSettings { path, ..MeshSettings::default() };
    let mut resources = vec![(ResourceKey::Settings, Resource::Settings(settings))];
    for policy in policies {
        let (gateway, name) = (("default".into(), "edge".into()), policy.origin.object.name.clone());
        let key = ResourceKey::GatewayPolicy { gateway, namespace: "default".into(), name };
        resources.push((key, Resource::Policy((**policy).clone())));
    }
    proxy.apply(resources);
}
