//! Layer 3. The contract of request filters and the one ordered list of them. Own crate: gateway and wasm plug in here without knowing the proxy.
