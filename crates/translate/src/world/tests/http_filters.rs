//! The filters of an HTTPRoute's rules and backends, as they become the model's.

use super::*;
use model::filter::{FilterConfig, Fraction, OriginMatch, PathRewrite};
use model::route::RouteRule;

const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 80}]}
";

/// The only rule of a route to the service `shop`, with these lines in it.
fn rule_with(lines: &str) -> RouteRule {
    let mut world = world(SHOP);
    add(
        &mut world,
        &format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec:\n  \
             parentRefs: [{{group: \"\", kind: Service, name: shop}}]\n  rules:\n  - name: main\n{lines}"
        ),
    );
    let host = Subscription::Host(model::Hostname::parse("shop.default.svc.cluster.local").unwrap());
    let rules = members(&host, &world).into_iter().filter_map(|key| match resource(&key, &world) {
        Some(Resource::Rule(rule)) => Some(RouteRule::clone(&rule)),
        _ => None,
    });
    let rules: Vec<_> = rules.collect();
    assert_eq!(rules.len(), 1, "{:?}", world.findings());
    rules[0].clone()
}

#[test]
fn copies_and_pages_are_as_the_route_says() {
    let rule = rule_with(
        "    filters:
    - {type: RequestMirror, requestMirror: {backendRef: {name: shop, port: 80}, percent: 5}}
    - {type: RequestMirror, requestMirror: {backendRef: {name: shop, port: 80}, fraction: {numerator: 2}}}
    - {type: RequestMirror, requestMirror: {backendRef: {name: shop, port: 80}, fraction: {numerator: 1, denominator: 3}}}
    - {type: RequestMirror, requestMirror: {backendRef: {name: shop, port: 80}}}
    - {type: RequestMirror, requestMirror: {backendRef: {name: gone, port: 80}}}
    - type: CORS
      cors:
        allowOrigins: ['https://a.com:443', 'http://*.a.com:8080', 'https://*']
        allowMethods: [PUT]
        allowCredentials: true
    backendRefs: [{name: shop, port: 80}]
",
    );
    assert_eq!(rule.name.as_deref(), Some("main"));
    let shares = rule.filters.iter().filter_map(|filter| match filter {
        FilterConfig::Mirror(mirror) => Some((mirror.share, &*mirror.host_suffix)),
        _ => None,
    });
    let shares: Vec<_> = shares.collect();
    let part = |numerator, denominator| Fraction { numerator, denominator };
    assert_eq!(shares, [(part(5, 100), ""), (part(2, 100), ""), (part(1, 3), ""), (Fraction::ALL, "")]);
    let FilterConfig::Cors(cors) = &rule.filters[0] else { panic!("browsers are answered first") };
    let wildcard =
        |before: &str, after: &str| OriginMatch::Wildcard { before: before.into(), after: after.into() };
    assert_eq!(
        cors.allow_origins,
        [
            OriginMatch::Exact("https://a.com".into()),
            wildcard("http://", ".a.com:8080"),
            wildcard("https://", "")
        ]
    );
    assert_eq!((cors.allow_credentials, cors.max_age_s), (true, Some(5)));
}

#[test]
fn a_backend_has_filters_of_its_own() {
    let rule = rule_with(
        "    backendRefs:
    - name: shop
      port: 80
      filters:
      - {type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /x}}}
    - {name: shop, port: 80, weight: 3}
",
    );
    let FilterConfig::Rewrite(rewrite) = &rule.backends[0].filters[0] else { panic!("{:?}", rule.backends) };
    assert_eq!(rewrite.path, Some(PathRewrite::Full("/x".into())));
    assert!(rule.filters.is_empty() && rule.backends[1].filters.is_empty());
}
