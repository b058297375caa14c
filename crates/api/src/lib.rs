//! Layer 1. What users write: kinds, parsing with spans, findings. Own crate so that foreign formats stay out of the model.
