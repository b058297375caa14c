use crate::parse::documents;

/// Such a name would be looked up as a workload's, and nobody would find the service.
#[test]
fn names_that_mean_something_in_each_cluster_are_refused() {
    let found = |host: &str| {
        let text = format!(
            "apiVersion: leno.dev/v1alpha1\nkind: GlobalService\nmetadata: {{name: g}}\nspec: {{hosts: [{host}], backends: [{{service: {{name: a}}}}]}}\n"
        );
        documents(&text, "f").1.iter().map(ToString::to_string).collect::<String>()
    };
    assert_eq!(found("workload.mesh.internal"), "");
    for host in ["ip-10-0-0-1.workload.leno", "a.workload.leno", "a.b.backend.leno", "a.b.svc.cluster.local"]
    {
        let said = found(host);
        assert!(said.contains("lies below a suffix of Leno's own"), "{host}: {said}");
    }
}
