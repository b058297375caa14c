//! The ten truths of the mesh, each as a test with real processes in network namespaces.
//!
//! Every test starts a lab of its own (`leno demo --detach`), drives it as a user would, and ends it. Each
//! truth has a control run that breaks it and must be caught, so that a test that sees nothing cannot pass.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test may panic")]

mod bare; // a host without the demo
mod demo; // a running lab
mod hosts; // bare hosts, driven by a script
mod keys; // finds private keys in bytes
mod outside;
mod pcap; // reads captures
mod resolver; // name servers on a captured host
mod rogue; // a member that keeps its key
mod traces; // what a demo leaves behind

mod api; // who may call a control plane
mod authz; // 9: authorization, live
mod entry; // 1: from outside to both clusters
mod examples;
mod failover; // 3 and 4: to the other cluster and back
mod gateway; // leno gateway, without a mesh
mod gateway_keys; // keys of Secrets at gateways of the mesh
mod headless; // peers by their own addresses
mod issuers; // planes outside of the demo
mod install; // from bare hosts, as docs/install-vms.md says
mod ipv6; // hosts of either family
mod life; // the demo comes and goes without a trace
mod long; // calls that outlive certificates
mod memory; // what a proxy costs
mod names; // 2: global names and mesh-only addresses
mod probes; // 3, where the application hangs and its proxy does not
mod planes; // 5: control and management planes die and return
mod readme; // the README's commands and what they print
mod routes; // 8: routes and retries, live
mod secrets; // 7: no private key anywhere
mod shares; // what is done to a share of requests
mod status; // 10: who runs what
mod settings; // options from files and from the environment
mod state; // what a control plane keeps
mod tls_gateways; // certificates of users, as docs/tls-gateways.md says
mod usage; // exit codes for wrong usage and for help
mod vault; // Vault as the issuer
mod wire; // 6: nothing in plaintext, nobody without an identity
mod modes; // 6, where a PeerAuthentication says otherwise
