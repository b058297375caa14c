//! Layer 1, pure. Every decision on a request. Own crate so that the compiler keeps sockets, clocks and locks out.
