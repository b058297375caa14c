//! Layer 5. The control plane of one cluster. Own crate: its own program.
