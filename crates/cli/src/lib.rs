//! Layer 5. Commands and printing. Own crate: holds no state and no heavy dependency.
