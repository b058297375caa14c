//! Layer 2, pure. What users wrote, who is there and what other clusters offer, to the model that proxies
//! get: which resources exist, which belong to which subscription, and what is wrong.
//!
//! No clock, no socket, no task: [`World`] changes only by [`World::apply`], and [`members`] and
//! [`resource`] depend on their arguments alone. Read `world`, then `resources`.

mod addresses;
mod gateways;
mod hosts;
mod names;
mod policies;
mod ports;
mod problems;
pub mod resources;
mod routes;
mod settings;
pub mod shorthand;
mod slices;
pub mod world;

pub use resources::{ProxyKey, members, resource, visible};
pub use world::{Change, ClusterPlace, Group, Registration, Touched, World};
