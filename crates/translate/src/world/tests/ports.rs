//! Ports of services, and of the global services that stand on them.

use super::*;
use model::Code;

#[test]
fn services_behind_one_host_that_disagree_on_a_port_are_told() {
    let check = |a: &str, b: &str, ports: &str, expected: &[&str]| {
        let service = |name: &str, ports: &str| {
            format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}, ports: [{ports}]}}\n---\n"
            )
        };
        let mut world = world(&format!(
            "{}{}apiVersion: leno.dev/v1alpha1\nkind: GlobalService\nmetadata: {{name: g}}\nspec:\n  hosts: [g.mesh.internal]\n  ports: [{ports}]\n  backends:\n    - service: {{name: a}}\n    - service: {{name: b}}\n",
            service("a", a),
            service("b", b)
        ));
        let said = |world: &mut World| {
            let findings = world.findings().into_iter().filter(|finding| finding.code == Code::PortConflict);
            findings.map(|finding| (finding.origin.line, finding.cause)).collect::<Vec<_>>()
        };
        let expected: Vec<(u32, String)> = expected
            .iter()
            .map(|text| text.split_once(' ').unwrap())
            .map(|(line, cause)| (line.parse().unwrap(), format!("{cause}, where all requests go")))
            .collect();
        assert_eq!(said(&mut world), expected, "{a} | {b} | {ports}");
        world.apply(WorldChange::ObjectGone(ObjectRef::new("Service", "default", "b")));
        assert_eq!(said(&mut world), [], "one alone agrees with itself");
    };
    check("{port: 80, targetPort: 8080}", "{port: 80, targetPort: 8080}", "", &[]);
    let differ = "19 Service/b.default maps port 80 to 9090, but Service/a.default to 8080";
    check("{port: 80, targetPort: 8080}", "{port: 80, targetPort: 9090}", "", &[differ]);
    check("{port: 80, targetPort: 8080}", "{port: 80, targetPort: 9090}", "{port: 80}", &[differ]);
    check("{port: 80, targetPort: 8080}", "{port: 80, targetPort: 9090}", "{port: 80, targetPort: 7}", &[]);
    check(
        "{port: 80}",
        "{port: 81}",
        "",
        &[
            "18 Service/a.default has no port 81, but Service/b.default maps it to 81",
            "19 Service/b.default has no port 80, but Service/a.default maps it to 80",
        ],
    );
    // A port that the host does not have concerns nobody.
    check("{port: 80}", "{name: x, port: 80}, {name: y, port: 81}", "{port: 80}", &[]);
}

#[test]
fn a_route_on_a_tcp_port_is_told_that_it_has_no_effect() {
    let check = |ports: &str, parent: &str, expected: &[&str]| {
        let mut world = world(&format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: db}}\nspec: {{selector: {{app: db}}, ports: [{ports}]}}\n---\napiVersion: leno.dev/v1alpha1\nkind: GlobalService\nmetadata: {{name: db}}\nspec:\n  hosts: [db.mesh.internal]\n  backends:\n    - service: {{name: db}}\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec:\n  parentRefs:\n    - {{{parent}, name: db}}\n  rules:\n    - backendRefs: [{{name: db, port: 5432}}]\n"
        ));
        let findings = world.findings().into_iter().filter(|finding| finding.code == Code::Ignored);
        let said: Vec<(u32, String)> = findings.map(|finding| (finding.origin.line, finding.cause)).collect();
        let cause = |text: &&str| (19, format!("{text} is TCP, where no HTTPRoute has an effect"));
        assert_eq!(said, expected.iter().map(cause).collect::<Vec<_>>(), "{ports} | {parent}");
    };
    let (service, global) = ("group: \"\", kind: Service", "group: leno.dev, kind: GlobalService");
    let tcp = "{name: tcp, port: 5432}";
    check(tcp, service, &["each port of parent Service/db.default"]);
    check(tcp, global, &["each port of parent GlobalService/db.default"]);
    check(tcp, &format!("{service}, port: 5432"), &["port 5432 of parent Service/db.default"]);
    check("{name: http, port: 5432}", service, &[]);
    // An undeclared one may turn out to be HTTP, but one of a database's own number does not.
    check("{port: 5433}", global, &[]);
    check("{port: 5432}", global, &["each port of parent GlobalService/db.default"]);
    let both = "{name: tcp, port: 5432}, {name: http, port: 80}";
    check(both, service, &[]);
    check(both, &format!("{service}, port: 80"), &[]);
    check(both, &format!("{service}, port: 5432"), &["port 5432 of parent Service/db.default"]);
    // A port that is not there is another finding.
    check(tcp, &format!("{service}, port: 81"), &[]);
}
