//! Route rules and gateways.

use super::{DecodeError, bad, host, ip_in, ip_out, list, needed, origin_in, origin_out};
use super::{duration_in, duration_out, small, tls, within};
use crate::proto::leno::mesh::v1 as p;
use model::Hostname;
use model::filter::FilterConfig;
use model::listener::{Gateway, GatewayListener, ListenerProtocol};
use model::route::{
    HostMatch, Parent, PathMatch, Pattern, RetryPolicy, RouteBackend, RouteMatch, RouteRule, StringMatch,
    ValueMatch,
};

pub(crate) fn rule_out(rule: &RouteRule) -> p::RouteRule {
    let parent = match &rule.parent {
        Parent::Service { host, port } => {
            p::route_rule::Parent::Service(p::ServiceParent { host: host.to_string(), port: (*port).into() })
        }
        Parent::Gateway { namespace, name, listener } => p::route_rule::Parent::Gateway(p::GatewayParent {
            namespace: namespace.to_string(),
            name: name.to_string(),
            listener: listener.to_string(),
        }),
    };
    p::RouteRule {
        parent: Some(parent),
        origin: Some(origin_out(&rule.origin)),
        index: rule.index,
        created_s: rule.created_s,
        consumer: rule.consumer.as_deref().map(Into::into),
        hosts: rule.hosts.iter().map(host_match_out).collect(),
        matches: rule.matches.iter().map(match_out).collect(),
        filters: rule.filters.iter().map(filter_out).collect(),
        backends: rule.backends.iter().map(backend_out).collect(),
        request_timeout: rule.request_timeout.map(duration_out),
        backend_timeout: rule.backend_timeout.map(duration_out),
        retry: rule.retry.as_ref().map(|retry| p::RetryPolicy {
            attempts: retry.attempts,
            codes: retry.codes.iter().map(|code| (*code).into()).collect(),
            backoff: Some(duration_out(retry.backoff)),
        }),
    }
}

pub(crate) fn rule_in(rule: p::RouteRule) -> Result<RouteRule, DecodeError> {
    let parent = match needed("parent", &rule.parent)? {
        p::route_rule::Parent::Service(parent) => Parent::Service {
            host: host("parent.host", &parent.host)?,
            port: small("parent.port", parent.port)?,
        },
        p::route_rule::Parent::Gateway(parent) => Parent::Gateway {
            namespace: parent.namespace.as_str().into(),
            name: parent.name.as_str().into(),
            listener: parent.listener.as_str().into(),
        },
    };
    let duration = |field, duration: &Option<p::Duration>| {
        duration.as_ref().map(|duration| duration_in(field, duration)).transpose()
    };
    Ok(RouteRule {
        parent,
        origin: origin_in(&rule.origin)?,
        index: rule.index,
        created_s: rule.created_s,
        consumer: rule.consumer.as_deref().map(Into::into),
        hosts: list("hosts", &rule.hosts, host_match_in)?,
        matches: list("matches", &rule.matches, match_in)?,
        filters: list("filters", &rule.filters, |filter| filter_in(filter))?,
        backends: list("backends", &rule.backends, backend_in)?,
        request_timeout: duration("request_timeout", &rule.request_timeout)?,
        backend_timeout: duration("backend_timeout", &rule.backend_timeout)?,
        retry: rule.retry.as_ref().map(|retry| within("retry", retry_in(retry)).map(Box::new)).transpose()?,
    })
}

fn retry_in(retry: &p::RetryPolicy) -> Result<RetryPolicy, DecodeError> {
    Ok(RetryPolicy {
        attempts: retry.attempts,
        codes: list("codes", &retry.codes, |code| small("", *code))?,
        backoff: duration_in("backoff", needed("backoff", &retry.backoff)?)?,
    })
}

pub(super) fn host_match_out(host: &HostMatch) -> p::HostMatch {
    use p::host_match::Match;
    let matching = match host {
        HostMatch::Exact(host) => Match::Exact(host.to_string()),
        HostMatch::Suffix(host) => Match::Suffix(host.to_string()),
    };
    p::HostMatch { r#match: Some(matching) }
}

pub(super) fn host_match_in(matching: &p::HostMatch) -> Result<HostMatch, DecodeError> {
    use p::host_match::Match;
    Ok(match needed("match", &matching.r#match)? {
        Match::Exact(text) => HostMatch::Exact(host("exact", text)?),
        Match::Suffix(text) => HostMatch::Suffix(host("suffix", text)?),
    })
}

fn match_out(matching: &RouteMatch) -> p::RouteMatch {
    use p::path_match::Match;
    let path = match &matching.path {
        PathMatch::Exact(path) => Match::Exact(path.to_string()),
        PathMatch::Prefix(path) => Match::Prefix(path.to_string()),
        PathMatch::Regex(pattern) => Match::Regex(pattern.0.to_string()),
    };
    p::RouteMatch {
        path: Some(p::PathMatch { r#match: Some(path) }),
        method: matching.method.as_ref().map(|method| method.to_string()),
        headers: matching.headers.iter().map(value_out).collect(),
        query: matching.query.iter().map(value_out).collect(),
    }
}

fn match_in(matching: &p::RouteMatch) -> Result<RouteMatch, DecodeError> {
    use p::path_match::Match;
    let path = match needed("path.match", &needed("path", &matching.path)?.r#match)? {
        Match::Exact(path) => PathMatch::Exact(path.as_str().into()),
        Match::Prefix(path) => PathMatch::Prefix(path.as_str().into()),
        Match::Regex(text) => PathMatch::Regex(Pattern(text.as_str().into())),
    };
    Ok(RouteMatch {
        path,
        method: matching.method.as_deref().map(Into::into),
        headers: list("headers", &matching.headers, value_in)?,
        query: list("query", &matching.query, value_in)?,
    })
}

fn value_out(value: &ValueMatch) -> p::ValueMatch {
    use p::value_match::Match;
    let matching = match &value.value {
        StringMatch::Exact(text) => Match::Exact(text.to_string()),
        StringMatch::Regex(pattern) => Match::Regex(pattern.0.to_string()),
    };
    p::ValueMatch { name: value.name.to_string(), r#match: Some(matching) }
}

fn value_in(value: &p::ValueMatch) -> Result<ValueMatch, DecodeError> {
    use p::value_match::Match;
    let matching = match needed("match", &value.r#match)? {
        Match::Exact(text) => StringMatch::Exact(text.as_str().into()),
        Match::Regex(text) => StringMatch::Regex(Pattern(text.as_str().into())),
    };
    Ok(ValueMatch { name: value.name.as_str().into(), value: matching })
}

/// JSON, so that a filter's configuration has one form and needs nothing here.
fn filter_out(filter: &FilterConfig) -> String {
    // Texts and numbers only: nothing of it cannot be written. An empty text is refused where it is read.
    serde_json::to_string(filter).unwrap_or_default()
}

fn filter_in(filter: &str) -> Result<FilterConfig, DecodeError> {
    serde_json::from_str(filter)
        .map_err(|error| DecodeError { field: String::new(), what: error.to_string() })
}

pub(super) fn backend_out(backend: &RouteBackend) -> p::RouteBackend {
    p::RouteBackend {
        host: backend.host.as_ref().map(Hostname::to_string),
        port: backend.port.into(),
        weight: backend.weight,
    }
}

pub(super) fn backend_in(backend: &p::RouteBackend) -> Result<RouteBackend, DecodeError> {
    Ok(RouteBackend {
        host: backend.host.as_deref().map(|text| host("host", text)).transpose()?,
        port: small("port", backend.port)?,
        weight: backend.weight,
    })
}

pub(crate) fn gateway_out(gateway: &Gateway) -> p::Gateway {
    let listener = |listener: &GatewayListener| p::GatewayListener {
        name: listener.name.to_string(),
        port: listener.port.into(),
        protocol: listener_protocol_out(listener.protocol),
        host: listener.host.as_ref().map(host_match_out),
        address: listener.address.map(ip_out).unwrap_or_default(),
        tls: listener.tls.as_deref().map(tls::listener_out).unwrap_or_default(),
    };
    p::Gateway {
        namespace: gateway.namespace.to_string(),
        name: gateway.name.to_string(),
        listeners: gateway.listeners.iter().map(listener).collect(),
    }
}

fn listener_protocol_out(protocol: ListenerProtocol) -> i32 {
    match protocol {
        ListenerProtocol::Http => p::ListenerProtocol::Http,
        ListenerProtocol::Https => p::ListenerProtocol::Https,
        ListenerProtocol::Tls => p::ListenerProtocol::Tls,
        ListenerProtocol::Tcp => p::ListenerProtocol::Tcp,
        ListenerProtocol::Udp => p::ListenerProtocol::Udp,
    }
    .into()
}

fn listener_protocol_in(protocol: i32) -> Result<ListenerProtocol, DecodeError> {
    Ok(match p::ListenerProtocol::try_from(protocol) {
        Ok(p::ListenerProtocol::Http) => ListenerProtocol::Http,
        Ok(p::ListenerProtocol::Https) => ListenerProtocol::Https,
        Ok(p::ListenerProtocol::Tls) => ListenerProtocol::Tls,
        Ok(p::ListenerProtocol::Tcp) => ListenerProtocol::Tcp,
        Ok(p::ListenerProtocol::Udp) => ListenerProtocol::Udp,
        Err(_) => return Err(bad("protocol", format!("unknown value {protocol}"))),
    })
}

pub(crate) fn gateway_in(gateway: p::Gateway) -> Result<Gateway, DecodeError> {
    let listener = |listener: &p::GatewayListener| {
        Ok(GatewayListener {
            name: listener.name.as_str().into(),
            port: small("port", listener.port)?,
            protocol: listener_protocol_in(listener.protocol)?,
            host: listener.host.as_ref().map(|host| within("host", host_match_in(host))).transpose()?,
            address: match listener.address.is_empty() {
                true => None,
                false => Some(ip_in("address", &listener.address)?),
            },
            tls: tls::listener_in(&listener.tls)?,
        })
    };
    Ok(Gateway {
        namespace: gateway.namespace.into(),
        name: gateway.name.into(),
        listeners: list("listeners", &gateway.listeners, listener)?,
    })
}
