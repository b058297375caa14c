use crate::parse::documents;

/// What is said of an entry with this `spec`; empty: nothing.
fn check(spec: &str, expected: &str) {
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: e}}\nspec: {spec}\n"
    );
    let (objects, findings) = documents(&text, "f");
    let said: Vec<String> = findings.iter().map(|f| format!("{}; {}", f.cause, f.fix)).collect();
    let said = said.join("\n");
    assert_eq!(objects.is_empty(), !expected.is_empty(), "{spec}: {said}");
    assert!(if expected.is_empty() { said.is_empty() } else { said.contains(expected) }, "{spec}: {said}");
}

#[test]
fn each_resolution_has_what_it_needs() {
    let with = |rest: &str, expected: &str| {
        check(&format!("{{hosts: [a.example.com], ports: [{{number: 80, name: http}}], {rest}}}"), expected);
    };
    with("resolution: DNS", "");
    with("resolution: NONE, location: MESH_EXTERNAL", "");
    with(
        "resolution: STATIC, endpoints: [{address: 192.0.2.1, ports: {http: 8080}, locality: r/z, weight: 3}]",
        "",
    );
    with("resolution: STATIC, workloadSelector: {labels: {app: a}}", "");
    with("resolution: DNS_ROUND_ROBIN, endpoints: [{address: b.example.com}]", "");
    with("resolution: DYNAMIC_DNS", "");
    with("addresses: [10.0.0.0/8, 192.0.2.1, '2001:db8::/32'], exportTo: [.], subjectAltNames: [x]", "");
    with("resolution: STATIC", "`spec.endpoints` is missing with resolution STATIC");
    with("resolution: STATIC, endpoints: [{address: b.example.com}]", "is a name, with resolution STATIC");
    with("resolution: NONE, endpoints: [{address: 192.0.2.1}]", "cannot stand beside a resolution");
    with("resolution: DNS_ROUND_ROBIN, endpoints: [{address: a.b}, {address: c.d}]", "more than one entry");
    with("resolution: STATIC, endpoints: [{address: 'unix:///x'}]", "a Unix socket is not supported");
    with("resolution: STATIC, endpoints: [{address: 192.0.2.1, ports: {htp: 1}}]", "is the name of no port");
    with("addresses: [10.0.0.0/99]", "cannot be `10.0.0.0/99`");
}

#[test]
fn names_and_ports_mean_one_thing() {
    check("{hosts: ['*.example.com'], ports: [{number: 443, name: tls, protocol: TLS}]}", "");
    let wildcard = "{hosts: ['*.example.com'], resolution: DNS, ports: [{number: 443, name: tls}]}";
    check(wildcard, "has a wildcard, which no name server knows");
    check("{hosts: ['*'], ports: [{number: 443, name: tls}]}", "cannot be `*` alone");
    check("{hosts: [a.b], ports: []}", "`spec.ports` is empty");
    check("{hosts: [], ports: [{number: 443, name: tls}]}", "`spec.hosts` is empty");
    check("{hosts: [a.b, a.b], ports: [{number: 443, name: tls}]}", "`spec.hosts[1]` occurs twice");
    check("{hosts: [a.b], ports: [{number: 443, name: x, protocol: SPDY}]}", "cannot be `SPDY`");
    check("{hosts: [a.b], ports: [{number: 1, name: x}, {number: 1, name: y}]}", "1 occurs twice");
}
