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
        let said = |world: &World| {
            let findings = world.findings().into_iter().filter(|finding| finding.code == Code::PortConflict);
            findings.map(|finding| (finding.origin.line, finding.cause)).collect::<Vec<_>>()
        };
        let expected: Vec<(u32, String)> = expected
            .iter()
            .map(|text| text.split_once(' ').unwrap())
            .map(|(line, cause)| (line.parse().unwrap(), format!("{cause}, where all requests go")))
            .collect();
        assert_eq!(said(&world), expected, "{a} | {b} | {ports}");
        world.apply(Change::ObjectGone(ObjectRef::new("Service", "default", "b")));
        assert_eq!(said(&world), [], "one alone agrees with itself");
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
