//! Layer 4. The data plane. Own crate: the small leno-proxy binary is made of it alone.
