//! Layer 3. The contract between planes: protobuf, delta protocol as sans-IO machines, tonic shells. Own crate: generated code, compiled once.
