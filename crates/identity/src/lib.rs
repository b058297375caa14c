//! Layer 3. SVIDs, trust bundles, the TLS verifier and resolver, rotation. Own crate: security invariants in one place.
