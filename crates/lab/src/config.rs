//! The documents of each cluster of the demo, as files that users can read, change and copy.

/// File name and content.
pub type Document = (&'static str, &'static str);

const MESH: Document = ("mesh.yaml", include_str!("../config/mesh.yaml"));
const SERVICES: Document = ("services.yaml", include_str!("../config/services.yaml"));
const GLOBAL: Document = ("global.yaml", include_str!("../config/global.yaml"));
const INGRESS: Document = ("ingress.yaml", include_str!("../config/ingress.yaml"));
const EAST_WEST: Document = ("east-west.yaml", include_str!("../config/east-west.yaml"));

const WEST: &[Document] = &[
    MESH,
    ("cluster.yaml", include_str!("../config/cluster-west.yaml")),
    SERVICES,
    GLOBAL,
    INGRESS,
    EAST_WEST,
];
const EAST: &[Document] = &[
    MESH,
    ("cluster.yaml", include_str!("../config/cluster-east.yaml")),
    SERVICES,
    GLOBAL,
    INGRESS,
    EAST_WEST,
];
const EDGE: &[Document] = &[
    MESH,
    ("cluster.yaml", include_str!("../config/cluster-edge.yaml")),
    ("global.yaml", include_str!("../config/global-edge.yaml")),
    ("gateway.yaml", include_str!("../config/gateway.yaml")),
];

/// The documents of `cluster`; empty for an unknown one.
pub fn documents(cluster: &str) -> &'static [Document] {
    match cluster {
        "west" => WEST,
        "east" => EAST,
        "edge" => EDGE,
        _ => &[],
    }
}
