//! Truth 8: splits, matches, timeouts and retries take effect at once; a broken file changes nothing.

use crate::demo::{Demo, assert_no_failure, text, wait_until};
use lab::load::LoadLine;

const URL: &str = "http://web-api.mesh.internal/";
const V2: &str = "west/recommendation-v2";

fn route(rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: recommendation\n  \
         namespace: default\nspec:\n  parentRefs:\n  - group: leno.dev\n    kind: GlobalService\n    \
         name: recommendation\n  rules:\n{rules}"
    )
}

const SPLIT: &str = "  - matches:\n    - headers: [{name: x-version, value: v2}]\n    backendRefs:\n    \
                     - {name: recommendation-v2, port: 80}\n  - backendRefs:\n    \
                     - {name: recommendation, port: 80, weight: 90}\n    \
                     - {name: recommendation-v2, port: 80, weight: 10}\n";

fn version(line: &LoadLine) -> Option<&str> {
    line.hops.iter().find(|hop| hop.service == "recommendation").map(|hop| hop.version.as_str())
}

fn apply(demo: &Demo, yaml: &str) -> std::process::Output {
    let path = demo.write_in_host("west/control", "applied.yaml", yaml);
    demo.leno("west", &["apply", "--wait", "-f", &path])
}

#[test]
fn t08_routes_take_effect_live_without_a_failed_request() {
    let demo = Demo::start("t08");
    demo.scale(V2, 1, lab::protocol::Manner::Graceful);
    let mut load = demo.load("west/client", 200, "120s", &[URL]);
    load.wait_for_more(200);
    let before = load.seen().len();
    assert!(load.seen().iter().all(|line| version(line) == Some("v1")), "all v1 at first");

    let output = apply(&demo, &route(SPLIT));
    assert!(output.status.success(), "{}", text(&output));
    let split_from = load.seen().len();
    load.wait_for_more(2000);
    let lines = load.seen()[split_from..].to_vec();
    let v2 = lines.iter().filter(|line| version(line) == Some("v2")).count();
    let share = v2 as f64 / lines.len() as f64;
    println!("{before} before; then {v2} of {} to v2", lines.len());
    // 10 % of 2,000 with standard deviation 0.7 %: six of them on either side.
    assert!((0.06..0.14).contains(&share), "{share}");

    // A header match sends all of its requests to v2.
    for _ in 0..20 {
        let answer = demo.answer("west/client", &["-H", "x-version: v2", URL]);
        assert_eq!(answer.hops[1].version, "v2", "{answer:?}");
    }
    // Writing the file into the configuration directory does the same as applying it.
    let output = demo.leno("west", &["delete", "httproute/recommendation"]);
    assert!(output.status.success(), "{}", text(&output));
    let all_v1 = "  - backendRefs:\n    - {name: recommendation, port: 80}\n";
    demo.change("west", "web-api", || demo.configure("west", "route.yaml", Some(&route(all_v1))));
    for _ in 0..20 {
        let answer = demo.answer("west/client", &["-H", "x-version: v2", URL]);
        assert_eq!(answer.hops[1].version, "v1", "{answer:?}");
    }
    assert_no_failure(&load.end());
}

#[test]
fn t08_a_timeout_and_a_retry_take_effect() {
    let demo = Demo::start("t08t");
    let slow = ["-H", "x-demo-fault: recommendation delay 2000"];
    let (status, _) = demo.curl("west/client", &[slow[0], slow[1], URL]);
    assert_eq!(status, 200, "without a timeout the slow answer arrives");
    let timeout =
        "  - timeouts: {request: 300ms}\n    backendRefs:\n    - {name: recommendation, port: 80}\n";
    // Its proxy calls recommendation, so it is the one that must know of the rules.
    let change = |rules: &str| {
        demo.change("west", "web-api", || demo.configure("west", "route.yaml", Some(&route(rules))));
    };
    change(timeout);
    for _ in 0..5 {
        // web-api passes on what its next service's proxy answered.
        assert_eq!(demo.curl("west/client", &[slow[0], slow[1], URL]).0, 504);
    }

    let flaky = ["-H", "x-demo-fault: recommendation status 503 every 2"];
    let failures = |count: usize| {
        (0..count).filter(|_| demo.curl("west/client", &[flaky[0], flaky[1], URL]).0 != 200).count()
    };
    assert_eq!(failures(20), 10, "the control run: without a retry every second request fails");
    let retry = "  - retry: {codes: [503], attempts: 3, backoff: 5ms}\n    backendRefs:\n    \
                 - {name: recommendation, port: 80}\n";
    change(retry);
    // Nearly each of these needs a retry, and a fifth of the other requests is room enough for them.
    let mut load = demo.load("west/client", 50, "120s", &[URL]);
    load.wait_for_more(400);
    assert_eq!(failures(40), 0, "of 40 requests with a retry");
    assert_no_failure(&load.end());
}

#[test]
fn t08_a_broken_file_is_refused_with_its_place_and_the_last_good_one_stays() {
    let demo = Demo::start("t08b");
    demo.scale(V2, 1, lab::protocol::Manner::Graceful);
    let to_v2 = "  - backendRefs:\n    - {name: recommendation-v2, port: 80}\n";
    demo.configure("west", "route.yaml", Some(&route(to_v2)));
    let answers_v2 = || demo.answer("west/client", &[URL]).hops[1].version == "v2";
    wait_until("v2 answers", answers_v2);

    let broken = route("  - backendRefs:\n    - {name: recommendation, prot: 80}\n");
    let line = broken.lines().position(|line| line.contains("prot:")).expect("the line") + 1;
    demo.configure("west", "route.yaml", Some(&broken));
    let place = format!("route.yaml:{line}");
    let mut said = String::new();
    wait_until("the finding names object, file and line, cause and fix", || {
        let output = demo.leno("west", &["analyze"]);
        said = text(&output);
        output.status.code() == Some(79) && said.contains(&place)
    });
    for part in ["HTTPRoute", "recommendation", "prot", "port"] {
        assert!(said.contains(part), "{part} in: {said}");
    }
    for _ in 0..20 {
        assert!(answers_v2(), "the last good configuration stays in force");
    }

    // Applied over the API it is refused too, and nothing is sent.
    let output =
        apply(&demo, &broken.replace("name: recommendation\n  namespace", "name: other\n  namespace"));
    assert_eq!(output.status.code(), Some(65), "{}", text(&output));
    assert!(text(&output).contains("prot"), "{}", text(&output));
    // Mended, it takes effect.
    let to_v1 = "  - backendRefs:\n    - {name: recommendation, port: 80}\n";
    demo.change("west", "web-api", || demo.configure("west", "route.yaml", Some(&route(to_v1))));
    for _ in 0..20 {
        assert!(!answers_v2(), "v1 answers");
    }
}
