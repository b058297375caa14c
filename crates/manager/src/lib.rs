//! Layer 5. The management plane of many clusters. Own crate: its own program.
