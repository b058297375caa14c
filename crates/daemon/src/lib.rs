//! Layer 3. How every process starts, reports, drains and stops. Own crate: shared by programs that must not know each other.
