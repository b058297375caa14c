//! What each field of a `VirtualService` comes out as, and where.

use super::*;
use model::route::{Parent, Precedence, RouteRule};

/// The rules of a parent's subscription, in order.
fn rules(subscription: &Subscription, world: &World) -> Vec<RouteRule> {
    let keys = members(subscription, world);
    let rules = keys.iter().filter_map(|key| match resource(key, world).unwrap() {
        Resource::Rule(rule) => Some(RouteRule::clone(&rule)),
        _ => None,
    });
    let mut rules: Vec<RouteRule> = rules.collect();
    rules.sort_by(|a, b| (&a.parent, a.index).cmp(&(&b.parent, b.index)));
    rules
}

fn of_host(world: &World) -> Vec<RouteRule> {
    rules(&Subscription::Host(Hostname::parse(HOST).unwrap()), world)
}

const LEADS: &str = "route: [{destination: {host: reviews}}]";

/// A field of a route, and what is in the rule that it makes (in the words of `Debug`, which are the model's).
const FIELDS: &[(&str, &str)] = &[
    ("name: r", "name: Some(\"r\")"),
    ("timeout: 1.5s", "request_timeout: Some(1.5s)"),
    ("match: [{uri: {exact: /a}}]", "path: Exact(\"/a\")"),
    ("match: [{uri: {prefix: /a}}]", "path: StringPrefix(\"/a\")"),
    ("match: [{uri: {regex: /a.*}}]", "path: Regex(Pattern(\"/a.*\"))"),
    ("match: [{uri: {exact: /a}, ignoreUriCase: true}]", "path: ExactIgnoreCase(\"/a\")"),
    ("match: [{uri: {prefix: /a}, ignoreUriCase: true}]", "path: StringPrefixIgnoreCase(\"/a\")"),
    ("match: [{scheme: {exact: https}}]", "scheme: Some(Exact(\"https\"))"),
    ("match: [{method: {regex: GET|PUT}}]", "method: Some(Regex(Pattern(\"GET|PUT\")))"),
    ("match: [{authority: {prefix: a.}}]", "authority: Some(Prefix(\"a.\"))"),
    (
        "match: [{headers: {X-User: {exact: b}}}]",
        "headers: [ValueMatch { name: \"x-user\", value: Exact(\"b\") }]",
    ),
    ("match: [{headers: {X-User: {}}}]", "headers: [ValueMatch { name: \"x-user\", value: Present }]"),
    (
        "match: [{queryParams: {User: {prefix: b}}}]",
        "query: [ValueMatch { name: \"User\", value: Prefix(\"b\") }]",
    ),
    (
        "match: [{withoutHeaders: {X-A: {}}}]",
        "without_headers: [ValueMatch { name: \"x-a\", value: Present }]",
    ),
    ("match: [{sourceNamespace: ns}]", "source: Some(SourceMatch { namespace: Some(\"ns\"), labels: [] })"),
    (
        "match: [{sourceLabels: {app: a}}]",
        "source: Some(SourceMatch { namespace: None, labels: [(\"app\", \"a\")] })",
    ),
    ("match: [{port: 9080, method: {exact: GET}}]", "method: Some(Exact(\"GET\"))"),
    ("match: [{gateways: [mesh], method: {exact: GET}}]", "method: Some(Exact(\"GET\"))"),
    ("rewrite: {uri: /b}", "StringPrefix(\"/b\")"),
    ("rewrite: {uri: /b}", "path: StringPrefix(\"/\")"),
    ("rewrite: {authority: b.example.com}", "hostname: Some(\"b.example.com\")"),
    (
        "rewrite: {uriRegexRewrite: {match: '/(a)', rewrite: '/b/\\1'}}",
        "Regex { pattern: Pattern(\"/(a)\"), substitution: \"/b/\\\\1\" }",
    ),
    ("headers: {request: {set: {x-a: b}}}", "RequestHeaders(HeaderEdit { set: [(\"x-a\", \"b\")]"),
    ("headers: {request: {set: {host: b.example.com}}}", "hostname: Some(\"b.example.com\")"),
    (
        "headers: {response: {remove: [x-a]}}",
        "ResponseHeaders(HeaderEdit { set: [], add: [], remove: [\"x-a\"] })",
    ),
    ("retries: {attempts: 3, perTryTimeout: 2s}", "backend_timeout: Some(2s)"),
    ("retries: {attempts: 3}", "attempts: 3"),
    ("retries: {attempts: 3, backoff: 7ms}", "backoff: 7ms"),
    (
        "retries: {attempts: 3}",
        "conditions: Some([ConnectFailure, RefusedStream, GrpcUnavailable, GrpcCancelled])",
    ),
    ("retries: {attempts: 3, retryOn: '5xx, 409'}", "conditions: Some([ServerError, RetriableStatusCodes])"),
    ("retries: {attempts: 3, retryOn: '5xx, 409'}", "codes: [409]"),
    ("retries: {attempts: 3, retryRemoteLocalities: true}", "hosts: NextPriority"),
    ("retries: {attempts: 3, retryIgnorePreviousHosts: false}", "hosts: Any"),
    (
        "fault: {delay: {fixedDelay: 5s, percentage: {value: 0.1}}}",
        "FaultDelay { fixed: 5s, share: Fraction { numerator: 1000, denominator: 1000000 } }",
    ),
    ("fault: {delay: {fixedDelay: 5s, percent: 10}}", "share: Fraction { numerator: 100000,"),
    ("fault: {abort: {httpStatus: 503, percentage: {value: 100}}}", "with: Http(503)"),
    ("fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}}", "with: Grpc(14)"),
    (
        "mirror: {host: reviews}",
        "Mirror(Mirror { host: Hostname(\"reviews.shop.svc.cluster.local\"), port: 9080",
    ),
    ("mirror: {host: reviews}, mirrorPercentage: {value: 50}", "share: Fraction { numerator: 500000,"),
    ("mirror: {host: reviews}, mirrorPercent: 50", "share: Fraction { numerator: 500000,"),
    (
        "mirrors: [{destination: {host: reviews}, percentage: {value: 1}}]",
        "share: Fraction { numerator: 10000,",
    ),
    (
        "corsPolicy: {allowOrigins: [{exact: https://a}, {prefix: b}]}",
        "allow_origins: [Exact(\"https://a\"), Prefix(\"b\")]",
    ),
    ("corsPolicy: {allowOrigin: ['*']}", "allow_origins: [Any]"),
    (
        "corsPolicy: {allowMethods: [GET], allowHeaders: [x-a], exposeHeaders: [x-b]}",
        "allow_methods: [\"GET\"], allow_headers: [\"x-a\"], expose_headers: [\"x-b\"]",
    ),
    ("corsPolicy: {maxAge: 24h, allowCredentials: true}", "allow_credentials: true, max_age_s: Some(86400)"),
    ("corsPolicy: {}", "unmatched_preflights: Forwarded"),
    ("corsPolicy: {unmatchedPreflights: IGNORE}", "unmatched_preflights: Answered"),
];

/// The same of what stands instead of destinations, or of the destinations themselves.
const WAYS: &[(&str, &str)] = &[
    ("redirect: {uri: /b}", "path: Some(Full(\"/b\")), status: 301"),
    ("redirect: {prefixRewrite: /b}", "path: Some(StringPrefix(\"/b\"))"),
    ("redirect: {authority: b.com, scheme: https}", "scheme: Some(\"https\"), hostname: Some(\"b.com\")"),
    ("redirect: {port: 81}", "port: Some(81)"),
    ("redirect: {uri: /b}", "derived_port: Authority"),
    ("redirect: {derivePort: FROM_REQUEST_PORT}", "derived_port: Listener"),
    ("redirect: {derivePort: FROM_PROTOCOL_DEFAULT}", "derived_port: SchemeOrListener"),
    ("redirect: {redirectCode: 308}", "status: 308"),
    ("directResponse: {status: 503, body: {string: no}}", "DirectResponse { status: 503, body: \"no\" }"),
    ("route: [{destination: {host: reviews, port: {number: 9080}}}]", "port: 9080, weight: 1"),
    ("route: [{destination: {host: reviews}, weight: 30}, {destination: {host: reviews}}]", "weight: 30"),
    (
        "route: [{destination: {host: reviews}, headers: {request: {add: {x-a: b}}}}]",
        "filters: [RequestHeaders(RequestHeaders(HeaderEdit { set: [], add: [(\"x-a\", \"b\")]",
    ),
    (
        "headers: {response: {set: {x-a: b}}, request: {set: {host: c}}}, redirect: {uri: /b}",
        "filters: [ResponseHeaders(ResponseHeaders(HeaderEdit { set: [(\"x-a\", \"b\")], add: [], remove: [] })), Redirect",
    ),
    (
        "headers: {response: {set: {x-a: b}}}, directResponse: {status: 200}",
        "filters: [ResponseHeaders(ResponseHeaders(HeaderEdit { set: [(\"x-a\", \"b\")], add: [], remove: [] })), Direct",
    ),
    // What a destination says of headers comes first, as in Envoy.
    (
        "headers: {request: {set: {x-a: b, host: c}}}, route: [{destination: {host: reviews}, headers: {request: {remove: [x-a]}}}]",
        "filters: [RequestHeaders(RequestHeaders(HeaderEdit { set: [], add: [], remove: [\"x-a\"] })), \
         RequestHeaders(RequestHeaders(HeaderEdit { set: [(\"x-a\", \"b\")], add: [], remove: [] }))]",
    ),
    (
        "headers: {request: {set: {x-a: b, host: c}}}, route: [{destination: {host: reviews}, headers: {request: {remove: [x-a]}}}]",
        "filters: [Rewrite(Rewrite { hostname: Some(\"c\"), path: None })], backends",
    ),
    ("route: [{destination: {host: gone}}]", "host: Some(Hostname(\"gone.shop.svc.cluster.local\"))"),
];

#[test]
fn every_field_of_a_route_is_in_its_rule() {
    let fields = FIELDS.iter().map(|(field, expected)| (format!("{LEADS}, {field}"), *expected));
    let ways = WAYS.iter().map(|(way, expected)| ((*way).to_owned(), *expected));
    for (text, expected) in fields.chain(ways) {
        let world = shop(&route("v", "shop", &format!("{{hosts: [reviews], http: [{{{text}}}]}}")));
        let rules = of_host(&world);
        let found = format!("{:?}", rules.first());
        assert!(rules.len() == 1 && found.contains(expected), "{text}: no {expected} in {found}");
        assert_eq!(rules[0].precedence, Precedence::Written);
    }
}

#[test]
fn a_route_is_where_its_matches_are() {
    let check = |text: &str, expected: usize| {
        let world = shop(&route("v", "shop", &format!("{{hosts: [reviews], http: [{{{LEADS}, {text}}}]}}")));
        assert_eq!(of_host(&world).len(), expected, "{text}");
    };
    check("match: [{port: 80}]", 0);
    check("match: [{port: 80}, {port: 9080}]", 1);
    check("match: [{gateways: [g]}]", 0);
    check("match: [{gateways: [g, mesh]}]", 1);
}

#[test]
fn routes_count_in_the_order_in_which_they_are_written_and_keep_their_places_in_the_file() {
    let spec = format!(
        "\n  hosts: [reviews]\n  http:\n  - {{{LEADS}, match: [{{uri: {{prefix: /}}}}]}}\n  - {{{LEADS}, match: [{{uri: {{exact: /a}}}}]}}\n"
    );
    let world = shop(&route("v", "shop", &spec));
    let places: Vec<(u32, u32)> = of_host(&world).iter().map(|rule| (rule.index, rule.origin.line)).collect();
    assert_eq!(places.len(), 2);
    assert_eq!((places[0].0, places[1].0, places[1].1 - places[0].1), (0, 1, 1));
}

#[test]
fn an_export_is_a_rule_for_callers_of_that_namespace() {
    let check = |export: &str, expected: &[Option<&str>]| {
        let spec = format!("{{hosts: [reviews], exportTo: [{export}], http: [{{{LEADS}}}]}}");
        let world = shop(&route("v", "shop", &spec));
        let found = of_host(&world);
        let consumers: Vec<Option<&str>> = found.iter().map(|rule| rule.consumer.as_deref()).collect();
        assert_eq!(consumers, expected, "{export}");
    };
    check("'*'", &[None]);
    check("'.'", &[Some("shop")]);
    check("a, b", &[Some("a"), Some("b")]);
    check("'~'", &[]);
}

#[test]
fn a_wildcard_is_for_the_services_that_it_covers_and_stands_back_for_who_names_one() {
    let more = "---\napiVersion: v1\nkind: Service\nmetadata: {name: ratings, namespace: shop}\nspec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}\n";
    let wide = route(
        "wide",
        "shop",
        &format!("{{hosts: ['*.shop.svc.cluster.local'], http: [{{{LEADS}, name: wide}}]}}"),
    );
    let own = route("own", "shop", &format!("{{hosts: [reviews], http: [{{{LEADS}, name: own}}]}}"));
    let world = shop(&[more, &wide, &own].concat());
    let names = |host: &str| {
        let found = rules(&Subscription::Host(Hostname::parse(host).unwrap()), &world);
        found.into_iter().filter_map(|rule| rule.name.map(|name| name.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(names(HOST), ["own"]);
    assert_eq!(names("ratings.shop.svc.cluster.local"), ["wide"]);
}

#[test]
fn the_gateway_api_goes_before_istio_and_that_is_told() {
    let route_of_gateway_api = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: h, namespace: shop}\nspec: {parentRefs: [{group: '', kind: Service, name: reviews}], rules: [{backendRefs: [{name: reviews, port: 9080}]}]}\n";
    let own = route("v", "shop", &format!("{{hosts: [reviews], http: [{{{LEADS}}}]}}"));
    let mut world = shop(&[own.as_str(), route_of_gateway_api].concat());
    let kinds: Vec<String> = of_host(&world).iter().map(|rule| rule.origin.object.kind.to_string()).collect();
    assert_eq!(kinds, ["HTTPRoute"]);
    let told = said(&mut world, Code::RouteConflict);
    assert!(told.len() == 1 && told[0].contains("HTTPRoute/h.shop is attached to it"), "{told:?}");
    world.apply(WorldChange::ObjectGone(ObjectRef::new("HTTPRoute", "shop", "h")));
    assert_eq!(of_host(&world).len(), 1);
    assert_eq!(said(&mut world, Code::RouteConflict), [] as [&str; 0]);
}

#[test]
fn what_is_delegated_is_merged_and_conflicts_are_told() {
    let root = format!(
        "{{hosts: [reviews], http: [{{match: [{{uri: {{prefix: /a}}, headers: {{x-a: {{exact: b}}}}}}], delegate: {{name: leaf, namespace: team}}, timeout: 3s, name: root}}, {{{LEADS}}}]}}"
    );
    let check = |leaf: &str, expected: &[(&str, &str, Option<u64>)], conflicts: usize| {
        let mut world = shop(&[route("v", "shop", &root), route("leaf", "team", leaf)].concat());
        let found = of_host(&world);
        let seen: Vec<(String, String, Option<u64>)> = found
            .iter()
            .map(|rule| {
                let paths =
                    rule.matches.iter().map(|one| format!("{:?}", one.path)).collect::<Vec<_>>().join(" ");
                let name = rule.name.as_deref().unwrap_or_default().to_owned();
                (name, paths, rule.request_timeout.map(|limit| limit.as_secs()))
            })
            .collect();
        let expected: Vec<(String, String, Option<u64>)> = expected
            .iter()
            .map(|(name, path, limit)| ((*name).to_owned(), (*path).to_owned(), *limit))
            .collect();
        assert_eq!(seen, expected, "{leaf}");
        let told = said(&mut world, Code::RouteConflict);
        assert_eq!(told.len(), conflicts, "{leaf}: {told:?}");
    };
    let leads = "route: [{destination: {host: reviews.shop.svc.cluster.local}}]";
    let last = ("", "", None);
    check(&format!("{{http: [{{{leads}}}]}}"), &[("root", "StringPrefix(\"/a\")", Some(3)), last], 0);
    check(
        &format!(
            "{{http: [{{match: [{{uri: {{prefix: /a/b}}}}, {{uri: {{exact: /ac}}}}], {leads}, timeout: 1s, name: leaf}}]}}"
        ),
        &[("root-leaf", "StringPrefix(\"/a/b\") Exact(\"/ac\")", Some(1)), last],
        0,
    );
    check(&format!("{{http: [{{match: [{{uri: {{prefix: /b}}}}], {leads}}}]}}"), &[last], 1);
    check(&format!("{{http: [{{match: [{{headers: {{x-a: {{exact: c}}}}}}], {leads}}}]}}"), &[last], 1);
    // Names of one label are Services of the namespace of who writes them.
    let mut world = shop(
        &[route("v", "shop", &root), route("leaf", "team", &format!("{{http: [{{{LEADS}}}]}}"))].concat(),
    );
    let told = said(&mut world, Code::ReferenceNotFound);
    assert!(told.len() == 1 && told[0].contains("reviews.team.svc.cluster.local"), "{told:?}");
    let private = format!("{{exportTo: ['.'], http: [{{{leads}}}]}}");
    let mut world = shop(&[route("v", "shop", &root), route("leaf", "team", &private)].concat());
    assert!(said(&mut world, Code::ReferenceNotFound)[0].contains("is not exported to namespace shop"));
    let mut world = shop(&route("v", "shop", &root));
    assert!(said(&mut world, Code::ReferenceNotFound)[0].contains("VirtualService/leaf.team does not exist"));
}

#[test]
fn what_does_not_exist_is_told_and_its_share_gets_a_503() {
    let check = |text: &str, code: Code, expected: &str| {
        let mut world =
            shop(&route("v", "shop", &format!("{{hosts: [reviews], http: [{{route: [{text}]}}]}}")));
        let told = said(&mut world, code);
        assert!(told.len() == 1 && told[0].contains(expected), "{text}: {told:?}");
        assert!(of_host(&world)[0].backends[0].host.is_some(), "{text}");
    };
    check(
        "{destination: {host: gone}}",
        Code::ReferenceNotFound,
        "destination gone.shop.svc.cluster.local is no service",
    );
    check("{destination: {host: reviews, port: {number: 81}}}", Code::PortNotFound, "has no port 81");
    check(
        "{destination: {host: reviews, subset: v9}}",
        Code::ReferenceNotFound,
        "has a subset `v9`: requests to it get a 503",
    );
}

const GATEWAY: &str = "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: front, namespace: shop}\nspec: {selector: {istio: ingressgateway}, servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ['*']}, {port: {number: 8081, name: more, protocol: HTTP}, hosts: ['other/*.example.com', './shop.example.com'], tls: {httpsRedirect: true}}]}\n";

fn gateway(namespace: &str, name: &str) -> Subscription {
    Subscription::Gateway { namespace: namespace.into(), name: name.into() }
}

/// Listener and hosts of the rules of a gateway.
fn at_gateway(subscription: &Subscription, world: &World) -> Vec<String> {
    let of = |rule: &RouteRule| match &rule.parent {
        Parent::Gateway { listener, .. } => format!("{listener} {:?}", rule.hosts),
        Parent::Service { .. } => "mesh".to_owned(),
    };
    rules(subscription, world).iter().map(of).collect()
}

#[test]
fn servers_are_listeners_of_the_proxies_that_the_selector_finds() {
    let own = route(
        "v",
        "shop",
        &format!("{{hosts: [shop.example.com, reviews], gateways: [front], http: [{{{LEADS}}}]}}"),
    );
    let group = "---\napiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {name: ingress, namespace: edge}\nspec: {metadata: {labels: {istio: ingressgateway}}, template: {serviceAccount: ingress}}\n";
    let shop_host = "Exact(Hostname(\"shop.example.com\"))";
    let all = [
        format!("shop.front.0.0 [{shop_host}, Exact(Hostname(\"reviews.shop.svc.cluster.local\"))]"),
        format!("shop.front.1.1 [{shop_host}]"),
    ];
    let mut world = shop(&[GATEWAY, &own].concat());
    // No group has the labels yet: a proxy that is a gateway and nothing else serves it under its own name.
    assert_eq!(at_gateway(&gateway("shop", "front"), &world), all);
    add(&mut world, group);
    assert_eq!(at_gateway(&gateway("shop", "front"), &world), [] as [&str; 0]);
    assert_eq!(at_gateway(&gateway("edge", "ingress"), &world), all);
    assert_eq!(of_host(&world).len(), 0, "it is for the gateway alone");
    let key = ResourceKey::Gateway("edge".into(), "ingress".into());
    let Some(Resource::Gateway(found)) = resource(&key, &world) else { panic!("no {key}") };
    let ports: Vec<u16> = found.listeners.iter().map(|listener| listener.port).collect();
    assert_eq!(ports, [8080, 8081, 8081]);
    let proxy = ProxyKey { namespace: "edge".into(), group: "ingress".into() };
    assert!(visible(&proxy, &world).contains(&gateway("edge", "ingress")));
    let redirected = rules(&gateway("edge", "ingress"), &world).pop().unwrap();
    assert!(format!("{:?}", redirected.filters).contains("scheme: Some(\"https\")"), "{redirected:?}");
}

#[test]
fn a_gateway_that_is_not_there_or_not_for_the_host_is_told() {
    let mut world = shop(
        &[
            GATEWAY,
            &route("a", "shop", &format!("{{hosts: [a.com], gateways: [frnt], http: [{{{LEADS}}}]}}")),
        ]
        .concat(),
    );
    let told = said(&mut world, Code::ParentNotFound);
    assert!(
        told.len() == 1 && told[0].contains("gateway Gateway.networking.istio.io/frnt.shop does not exist"),
        "{told:?}"
    );
    let narrow = GATEWAY.replace("hosts: ['*']", "hosts: [x.com]");
    let mut world = shop(
        &[narrow, route("a", "shop", &format!("{{hosts: [a.com], gateways: [front], http: [{{{LEADS}}}]}}"))]
            .concat(),
    );
    let told = said(&mut world, Code::ParentNotFound);
    assert!(told.len() == 1 && told[0].contains("is for a host that is named here"), "{told:?}");
}

#[test]
fn connections_follow_the_routes_for_them() {
    let db = "---\napiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: shop}\nspec: {selector: {app: reviews}, ports: [{name: tcp-db, port: 5432}]}\n";
    let spec = "{hosts: [db], tls: [{match: [{sniHosts: [db], port: 5432}], route: [{destination: {host: reviews, port: {number: 9080}}}]}], tcp: [{match: [{destinationSubnets: [10.0.0.0/8], sourceSubnet: 10.1.0.0/16}], route: [{destination: {host: db}, weight: 3}, {destination: {host: reviews}, weight: 1}]}, {match: [{port: 1}], route: [{destination: {host: db}}]}, {match: [{sourceLabels: {a: b}}], route: [{destination: {host: db}}]}, {route: [{destination: {host: db}}]}]}";
    let mut world = shop(&[db, &route("v", "shop", spec)].concat());
    let keys = members(&Subscription::Host(Hostname::parse("db.shop.svc.cluster.local").unwrap()), &world);
    let found: Vec<_> = keys
        .iter()
        .filter_map(|key| match resource(key, &world).unwrap() {
            Resource::L4Rule(rule) => Some((rule.index, rule.matches.len(), rule.backends.len())),
            _ => None,
        })
        .collect();
    assert_eq!(found, [(0, 1, 1), (1, 1, 2), (4, 0, 1)]);
    assert_eq!(said(&mut world, Code::Ignored).len(), 1);
}

#[test]
fn retries_after_an_arrival_are_told_once_where_a_method_never_gets_them() {
    let check = |http: &str, expected: usize| {
        let mut world = shop(&route("own", "shop", &format!("{{hosts: [reviews], http: [{http}]}}")));
        let told = said(&mut world, Code::Ignored);
        let of_retries = told.iter().filter(|said| said.contains("not idempotent")).count();
        assert_eq!(of_retries, expected, "{http}: {told:?}");
    };
    let retries = |on: &str| format!("retries: {{attempts: 2, retryOn: '{on}'}}");
    for on in ["5xx", "gateway-error", "reset", "retriable-4xx", "503"] {
        check(&format!("{{{LEADS}, {}}}", retries(on)), 1);
    }
    check(&format!("{{{LEADS}, {}}}", retries("connect-failure,refused-stream,unavailable")), 0);
    check(&format!("{{{LEADS}, retries: {{attempts: 0}}}}"), 0);
    let get = "match: [{method: {exact: GET}}]";
    check(&format!("{{{get}, {LEADS}, {}}}", retries("5xx")), 0);
    let post = "match: [{method: {exact: GET}}, {method: {exact: POST}}]";
    check(&format!("{{{post}, {LEADS}, {}}}, {{{LEADS}, {}}}", retries("5xx"), retries("reset")), 1);
}
