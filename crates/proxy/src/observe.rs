//! What is told about traffic: Istio-named metrics and the access log.
//!
//! Each worker has its own [`Recorder`] and is the only writer of its counters, so recording is a hash
//! lookup and a few plain additions; [`Observe`] adds the workers up when somebody asks. Recording is one
//! call by `flow` (`exchange`), wherever a request ends. No private data beyond what the log names.

mod access_log;
mod inbound;
mod labels;
mod metrics;
mod record;
mod recorder;
mod render;
mod series;
#[cfg(test)]
mod tests;

pub use access_log::AccessLog;
pub use inbound::{OpenPlaintext, WorkerInbound};
pub use labels::Own;
pub(crate) use metrics::MirrorOutcome;
pub use metrics::Observe;
pub use record::{
    Direction, L4Transport, OutsideCluster, RequestProtocol, RequestRecord, Security, TcpRecord,
};
pub use recorder::Recorder;
pub(crate) use render::{application, outside_validity};
