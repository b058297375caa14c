//! Rules for connections and datagrams.

use super::policy::{cidr_in, cidr_out};
use super::route::{backend_in, backend_out, host_match_in, host_match_out};
use super::{DecodeError, host, list, needed, origin_in, origin_out, small};
use crate::proto::leno::mesh::v1 as p;
use model::l4_route::{L4Match, L4Rule};
use model::route::Parent;

pub(super) fn l4_rule_out(rule: &L4Rule) -> p::L4Rule {
    let parent = match &rule.parent {
        Parent::Service { host, port } => {
            p::l4_rule::Parent::Service(p::ServiceParent { host: host.to_string(), port: (*port).into() })
        }
        Parent::Gateway { namespace, name, listener } => p::l4_rule::Parent::Gateway(p::GatewayParent {
            namespace: namespace.to_string(),
            name: name.to_string(),
            listener: listener.to_string(),
        }),
    };
    p::L4Rule {
        parent: Some(parent),
        origin: Some(origin_out(&rule.origin)),
        index: rule.index,
        created_s: rule.created_s,
        consumer: rule.consumer.as_deref().map(Into::into),
        matches: rule.matches.iter().map(match_out).collect(),
        backends: rule.backends.iter().map(backend_out).collect(),
    }
}

pub(super) fn l4_rule_in(rule: p::L4Rule) -> Result<L4Rule, DecodeError> {
    let parent = match needed("parent", &rule.parent)? {
        p::l4_rule::Parent::Service(parent) => Parent::Service {
            host: host("parent.host", &parent.host)?,
            port: small("parent.port", parent.port)?,
        },
        p::l4_rule::Parent::Gateway(parent) => Parent::Gateway {
            namespace: parent.namespace.as_str().into(),
            name: parent.name.as_str().into(),
            listener: parent.listener.as_str().into(),
        },
    };
    Ok(L4Rule {
        parent,
        origin: origin_in(&rule.origin)?,
        index: rule.index,
        created_s: rule.created_s,
        consumer: rule.consumer.as_deref().map(Into::into),
        matches: list("matches", &rule.matches, match_in)?,
        backends: list("backends", &rule.backends, backend_in)?,
    })
}

fn match_out(matching: &L4Match) -> p::L4Match {
    p::L4Match {
        server_names: matching.server_names.iter().map(host_match_out).collect(),
        destinations: matching.destinations.iter().map(cidr_out).collect(),
        sources: matching.sources.iter().map(cidr_out).collect(),
        port: matching.port.into(),
    }
}

fn match_in(matching: &p::L4Match) -> Result<L4Match, DecodeError> {
    Ok(L4Match {
        server_names: list("server_names", &matching.server_names, host_match_in)?,
        destinations: list("destinations", &matching.destinations, cidr_in)?,
        sources: list("sources", &matching.sources, cidr_in)?,
        port: small("port", matching.port)?,
    })
}
