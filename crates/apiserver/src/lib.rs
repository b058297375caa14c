//! Layer 4. The Kubernetes-shaped API and its store for meshes without Kubernetes. Own crate: redb and axum stay here.
