//! Layer 5. Test hosts from namespaces, clusters on them, faults, load, the demo. Own crate: its own program.
