//! Layer 1. Bytes and messages: HTTP/1, HTTP/2, tunnels, relay. Own crate so that only it names hyper and h2.
