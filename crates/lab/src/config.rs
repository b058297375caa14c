//! The documents of each cluster of the demo, as files that users can read, change and copy.

/// File name and content.
pub(crate) type ConfigFile = (&'static str, &'static str);

const MESH: ConfigFile = ("mesh.yaml", include_str!("../config/mesh.yaml"));
const SERVICES: ConfigFile = ("services.yaml", include_str!("../config/services.yaml"));
const GLOBAL: ConfigFile = ("global.yaml", include_str!("../config/global.yaml"));
const INGRESS: ConfigFile = ("ingress.yaml", include_str!("../config/ingress.yaml"));
const EAST_WEST: ConfigFile = ("east-west.yaml", include_str!("../config/east-west.yaml"));

const WEST: &[ConfigFile] = &[
    MESH,
    ("cluster.yaml", include_str!("../config/cluster-west.yaml")),
    SERVICES,
    GLOBAL,
    INGRESS,
    EAST_WEST,
];
const EAST: &[ConfigFile] = &[
    MESH,
    ("cluster.yaml", include_str!("../config/cluster-east.yaml")),
    SERVICES,
    GLOBAL,
    INGRESS,
    EAST_WEST,
];
const EDGE: &[ConfigFile] = &[
    MESH,
    ("cluster.yaml", include_str!("../config/cluster-edge.yaml")),
    ("global.yaml", include_str!("../config/global-edge.yaml")),
    ("gateway.yaml", include_str!("../config/gateway.yaml")),
];

/// The documents of `cluster`; empty for an unknown one.
pub(crate) fn documents(cluster: &str) -> &'static [ConfigFile] {
    match cluster {
        "west" => WEST,
        "east" => EAST,
        "edge" => EDGE,
        _ => &[],
    }
}
