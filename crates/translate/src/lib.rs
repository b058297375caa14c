//! Layer 2, pure. Users' objects to the model. Own crate so that the compiler keeps time and sockets out.
