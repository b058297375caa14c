//! Bookinfo, Istio's sample application: what its rules make of requests, one document after the other, as its pages apply them.
//! Whole objects and values are Istio's; workloads of their names and labels stand for its Deployments, which run on
//! Kubernetes alone.

use super::*;
use decide::dice::Pcg;
use decide::route::{SourceWorkload, Table};
use decide::{RequestView, split};
use model::filter::{AbortStatus, FilterConfig};
use model::route::RouteRule;
use std::collections::BTreeMap;
use std::time::Duration;

const VERSIONS: [(&str, &[&str]); 4] =
    [("productpage", &["v1"]), ("details", &["v1"]), ("reviews", &["v1", "v2", "v3"]), ("ratings", &["v1"])];
const REQUESTS: u32 = 10_000;

/// Services, groups and a workload of each version; `destination-rule-all.yaml`.
fn bookinfo(documents: &[String]) -> World {
    let mut text = String::new();
    for (service, versions) in VERSIONS {
        text += &format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {service}, namespace: shop, labels: {{app: {service}, service: {service}}}}}\nspec: {{ports: [{{port: 9080, name: http}}], selector: {{app: {service}}}}}\n"
        );
        for version in versions {
            text += &format!(
                "---\napiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {{name: {service}-{version}, namespace: shop}}\nspec: {{metadata: {{labels: {{app: {service}, version: {version}}}}}, template: {{serviceAccount: bookinfo-{service}}}}}\n"
            );
        }
    }
    let subsets = [
        ("productpage", &["v1"][..]),
        ("reviews", &["v1", "v2", "v3"]),
        ("ratings", &["v1", "v2", "v2-mysql", "v2-mysql-vm"]),
        ("details", &["v1", "v2"]),
    ];
    for (service, names) in subsets {
        let subset = |name: &&str| format!("{{name: {name}, labels: {{version: {name}}}}}");
        let subsets = names.iter().map(subset).collect::<Vec<_>>().join(", ");
        text += &rule(service, "shop", &format!("{{host: {service}, subsets: [{subsets}]}}"));
    }
    let mut world = world(&(text + &documents.concat()));
    for (service, versions) in VERSIONS {
        for version in versions {
            let group = format!("{service}-{version}");
            world.apply(WorldChange::Workload(workload(&group, "shop", &group, EndpointState::Ready)));
        }
    }
    world
}

/// `virtual-service-all-v1.yaml`.
fn all_v1() -> Vec<String> {
    let v1 = |service: &str| to(service, "", &[("v1", None)]);
    ["productpage", "reviews", "ratings", "details"].map(v1).into()
}

/// A route of a service to these subsets, by weight if one is given; `special` are routes before it.
fn to(service: &str, special: &str, subsets: &[(&str, Option<u32>)]) -> String {
    let destination = |(subset, weight): &(&str, Option<u32>)| {
        let weight = weight.map(|weight| format!(", weight: {weight}")).unwrap_or_default();
        format!("{{destination: {{host: {service}, subset: {subset}}}{weight}}}")
    };
    let destinations = subsets.iter().map(destination).collect::<Vec<_>>().join(", ");
    route(service, "shop", &format!("{{hosts: [{service}], http: [{special}{{route: [{destinations}]}}]}}"))
}

/// Without one object, and with another instead.
fn with(mut documents: Vec<String>, service: &str, document: String) -> Vec<String> {
    documents.retain(|one| !one.contains(&format!("hosts: [{service}]")));
    documents.push(document);
    documents
}

/// The rule for a request to a service, and how many of many go to the workloads of each version.
fn decided(world: &World, service: &str, user: Option<&str>) -> (RouteRule, BTreeMap<String, u32>) {
    let host = Hostname::parse(&format!("{service}.shop.svc.cluster.local")).unwrap();
    let rules =
        members(&Subscription::Host(host), world).into_iter().filter_map(|key| match resource(&key, world) {
            Some(Resource::Rule(rule)) => Some(rule),
            _ => None,
        });
    let table = Table::compile(rules);
    let headers: Vec<(String, String)> =
        user.iter().map(|user| ("end-user".to_owned(), (*user).to_owned())).collect();
    let request = RequestView {
        method: "GET",
        host: "reviews:9080",
        path: "/reviews/0",
        readings: &[],
        query: None,
        headers: &headers,
    };
    let source = SourceWorkload { namespace: "shop", labels: &[] };
    let rule = table.find(9080, &source, &request).unwrap().unwrap().rule;
    let mut dice = Pcg::new(7);
    let mut picked = vec![0; rule.backends.len()];
    for _ in 0..REQUESTS {
        picked[split::pick(&rule.backends, &mut dice).unwrap()] += 1;
    }
    let workloads = |host: &Hostname| {
        let keys = members(&Subscription::Host(host.clone()), world).into_iter();
        let slices = keys.filter_map(|key| match resource(&key, world) {
            Some(Resource::Slice(slice)) => Some(slice),
            _ => None,
        });
        let uids =
            slices.flat_map(|slice| slice.endpoints.iter().map(|e| e.uid.to_string()).collect::<Vec<_>>());
        uids.collect::<Vec<_>>().join(" ")
    };
    let hosts = rule.backends.iter().map(|backend| workloads(backend.host.as_ref().unwrap()));
    let counts = hosts.zip(picked).collect();
    (RouteRule::clone(rule), counts)
}

/// Each of these has its share of the requests, in percent, within six standard deviations; nobody else has any.
fn check(world: &World, service: &str, user: Option<&str>, shares: &[(&str, u32)]) -> RouteRule {
    let (rule, counts) = decided(world, service, user);
    let names: Vec<String> = shares.iter().map(|(version, _)| format!("{service}-{version}")).collect();
    assert_eq!(counts.keys().cloned().collect::<Vec<_>>(), names, "{user:?}");
    for ((_, percent), count) in shares.iter().zip(counts.values()) {
        let (share, all) = (f64::from(*percent) / 100.0, f64::from(REQUESTS));
        let deviation = (all * share * (1.0 - share)).sqrt();
        let off = (f64::from(*count) - all * share).abs();
        assert!(off <= 6.0 * deviation, "{service} {percent} %: {count} of {REQUESTS}");
    }
    rule
}

const JASON: &str = "match: [{headers: {end-user: {exact: jason}}}]";

#[test]
fn every_page_of_the_sample_sends_requests_where_it_says() {
    let mut world = bookinfo(&all_v1());
    for (service, _) in VERSIONS {
        check(&world, service, None, &[("v1", 100)]);
    }
    // Subsets that the sample has for other pages have no workloads, which is told; nothing else is.
    let told: Vec<String> = world.findings().iter().map(ToString::to_string).collect();
    assert!(told.iter().all(|one| one.contains("selects no WorkloadGroup")), "{told:?}");

    // virtual-service-reviews-test-v2.yaml
    let jason = format!("{{{JASON}, route: [{{destination: {{host: reviews, subset: v2}}}}]}}, ");
    let test_v2 = to("reviews", &jason, &[("v1", None)]);
    let world = bookinfo(&with(all_v1(), "reviews", test_v2));
    check(&world, "reviews", Some("jason"), &[("v2", 100)]);
    check(&world, "reviews", Some("else"), &[("v1", 100)]);
    check(&world, "reviews", None, &[("v1", 100)]);

    // virtual-service-reviews-50-v3.yaml, -80-20, -90-10, -v2-v3, -v3
    let pages: [&[(&str, u32)]; 4] = [
        &[("v1", 50), ("v3", 50)],
        &[("v1", 80), ("v2", 20)],
        &[("v1", 90), ("v2", 10)],
        &[("v2", 50), ("v3", 50)],
    ];
    for shares in pages {
        let weighted: Vec<_> = shares.iter().map(|(version, weight)| (*version, Some(*weight))).collect();
        let world = bookinfo(&with(all_v1(), "reviews", to("reviews", "", &weighted)));
        check(&world, "reviews", None, shares);
    }
    let world = bookinfo(&with(all_v1(), "reviews", to("reviews", "", &[("v3", None)])));
    check(&world, "reviews", Some("jason"), &[("v3", 100)]);

    // virtual-service-reviews-jason-v2-v3.yaml
    let world = bookinfo(&with(all_v1(), "reviews", to("reviews", &jason, &[("v3", None)])));
    check(&world, "reviews", Some("jason"), &[("v2", 100)]);
    check(&world, "reviews", None, &[("v3", 100)]);
}

#[test]
fn faults_and_copies_are_for_whom_the_sample_says() {
    let faults = |fault: &str| {
        let jason =
            format!("{{{JASON}, fault: {fault}, route: [{{destination: {{host: ratings, subset: v1}}}}]}}, ");
        bookinfo(&with(all_v1(), "ratings", to("ratings", &jason, &[("v1", None)])))
    };
    let fault = |rule: &RouteRule| {
        rule.filters.iter().find_map(|filter| match filter {
            FilterConfig::Fault(fault) => Some((**fault).clone()),
            _ => None,
        })
    };
    // virtual-service-ratings-test-delay.yaml
    let world = faults("{delay: {percentage: {value: 100.0}, fixedDelay: 7s}}");
    let delay = fault(&check(&world, "ratings", Some("jason"), &[("v1", 100)])).unwrap().delay.unwrap();
    assert_eq!((delay.fixed, delay.share.numerator), (Duration::from_secs(7), delay.share.denominator));
    assert_eq!(fault(&check(&world, "ratings", None, &[("v1", 100)])), None);
    // virtual-service-ratings-test-abort.yaml
    let world = faults("{abort: {percentage: {value: 100.0}, httpStatus: 500}}");
    let abort = fault(&check(&world, "ratings", Some("jason"), &[("v1", 100)])).unwrap().abort.unwrap();
    assert_eq!((abort.with, abort.share.numerator), (AbortStatus::Http(500), abort.share.denominator));
    assert_eq!(fault(&check(&world, "ratings", None, &[("v1", 100)])), None);
    // The page on mirroring, here of reviews.
    let mirrored = route(
        "reviews",
        "shop",
        "{hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v1}, weight: 100}], mirror: {host: reviews, subset: v2}, mirrorPercentage: {value: 100.0}}]}",
    );
    let world = bookinfo(&with(all_v1(), "reviews", mirrored));
    let rule = check(&world, "reviews", None, &[("v1", 100)]);
    let copies = rule.filters.iter().filter_map(|filter| match filter {
        FilterConfig::Mirror(mirror) => Some((mirror.host.to_string(), mirror.share.numerator)),
        _ => None,
    });
    let copies: Vec<_> = copies.collect();
    let host = "v2.reviews.shop.svc.cluster.local.subset.leno";
    assert_eq!(copies, [(host.to_owned(), 1_000_000)]);
}
