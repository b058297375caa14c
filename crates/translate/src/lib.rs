//! Layer 2, pure. What users wrote, who is there and what other clusters offer, to the model that proxies
//! get: which resources exist, which belong to which subscription, and what is wrong.
//!
//! No clock, no socket, no task: [`World`] changes only by [`World::apply`], and [`members`] and
//! [`resource`] depend on their arguments alone. Read `world`, `units`, then `resources`.

mod addresses;
mod backend_tls;
mod names;
mod outside;
mod ports;
mod probe;
pub mod resources;
pub mod shorthand;
mod slices;
mod units;
pub mod world;

pub use resources::{ProxyKey, gateways, members, resource, visible};
pub use units::CompiledGroup;
pub use world::inputs::{JoinedWorkload, LocalCluster};
pub use world::{Touched, World, WorldChange};
