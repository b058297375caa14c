//! Layer 4. What runs with privileges on a host: traffic capture and its undo. Own crate: privileges in one place.
