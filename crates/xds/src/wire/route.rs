//! Route rules and gateways.

use super::{DecodeError, bad, host, ip_in, ip_out, list, needed, origin_in, origin_out};
use super::{duration_in, duration_out, pairs_in, pairs_out, small, tls, within};
use crate::proto::leno::mesh::v1 as p;
use model::Hostname;
use model::client_traffic::ClientTraffic;
use model::filter::FilterConfig;
use model::listener::{Gateway, GatewayListener, ListenerProtocol};
use model::route::{
    ExtraConditions, GrpcMethodMatch, HostMatch, Parent, PathMatch, Pattern, Precedence, RetryCondition,
    RetryHosts, RetryPolicy, RouteBackend, RouteMatch, RouteRule, SourceMatch, StringMatch, ValueMatch,
};
use std::sync::Arc;

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
        retry: rule.retry.as_deref().map(retry_out),
        name: rule.name.as_ref().map(|name| name.to_string()),
        in_written_order: match rule.precedence {
            Precedence::Specific => None,
            Precedence::Written => Some(p::Present {}),
        },
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
        name: rule.name.as_deref().map(Into::into),
        precedence: match rule.in_written_order {
            None => Precedence::Specific,
            Some(p::Present {}) => Precedence::Written,
        },
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

fn retry_out(retry: &RetryPolicy) -> p::RetryPolicy {
    let names = |conditions: &Vec<RetryCondition>| p::RetryConditions {
        names: conditions.iter().map(|condition| condition.name().to_owned()).collect(),
    };
    p::RetryPolicy {
        attempts: retry.attempts,
        codes: retry.codes.iter().map(|code| (*code).into()).collect(),
        backoff: Some(duration_out(retry.backoff)),
        conditions: retry.conditions.as_ref().map(names),
        hosts: match retry.hosts {
            RetryHosts::NotTried => None,
            RetryHosts::Any => Some(p::RetryHosts::Any.into()),
            RetryHosts::NextPriority => Some(p::RetryHosts::NextPriority.into()),
        },
    }
}

fn retry_in(retry: &p::RetryPolicy) -> Result<RetryPolicy, DecodeError> {
    let condition = |name: &String| {
        RetryCondition::by_name(name).ok_or_else(|| bad("", format!("not a condition: {name:?}")))
    };
    let conditions = |conditions: &p::RetryConditions| list("conditions", &conditions.names, condition);
    Ok(RetryPolicy {
        attempts: retry.attempts,
        codes: list("codes", &retry.codes, |code| small("", *code))?,
        backoff: duration_in("backoff", needed("backoff", &retry.backoff)?)?,
        conditions: retry.conditions.as_ref().map(conditions).transpose()?,
        hosts: match retry.hosts.map(p::RetryHosts::try_from) {
            None => RetryHosts::NotTried,
            Some(Ok(p::RetryHosts::Any)) => RetryHosts::Any,
            Some(Ok(p::RetryHosts::NextPriority)) => RetryHosts::NextPriority,
            Some(_) => return Err(bad("hosts", "of an unknown kind")),
        },
    })
}

pub(super) fn host_match_out(host: &HostMatch) -> p::HostMatch {
    use p::host_match::Match;
    let matching = match host {
        HostMatch::Exact(host) => Match::Exact(host.to_string()),
        HostMatch::Suffix(host) => Match::Suffix(host.to_string()),
        HostMatch::Ending(text) => Match::Ending(text.to_string()),
    };
    p::HostMatch { r#match: Some(matching) }
}

pub(super) fn host_match_in(matching: &p::HostMatch) -> Result<HostMatch, DecodeError> {
    use p::host_match::Match;
    Ok(match needed("match", &matching.r#match)? {
        Match::Exact(text) => HostMatch::Exact(host("exact", text)?),
        Match::Suffix(text) => HostMatch::Suffix(host("suffix", text)?),
        Match::Ending(text) => HostMatch::Ending(text.as_str().into()),
    })
}

fn match_out(matching: &RouteMatch) -> p::RouteMatch {
    use p::path_match::Match;
    let path = match &matching.path {
        PathMatch::Exact(path) => Match::Exact(path.to_string()),
        PathMatch::Prefix(path) => Match::Prefix(path.to_string()),
        PathMatch::Regex(pattern) => Match::Regex(pattern.0.to_string()),
        PathMatch::StringPrefix(path) => Match::StringPrefix(path.to_string()),
        PathMatch::ExactIgnoreCase(path) => Match::ExactIgnoreCase(path.to_string()),
        PathMatch::StringPrefixIgnoreCase(path) => Match::StringPrefixIgnoreCase(path.to_string()),
        PathMatch::Grpc(method) => Match::Grpc(grpc_out(method)),
    };
    let (method, method_match) = match &matching.method {
        None => (None, None),
        Some(StringMatch::Exact(method)) => (Some(method.to_string()), None),
        Some(other) => (None, Some(unnamed_out(other))),
    };
    p::RouteMatch {
        path: Some(p::PathMatch { r#match: Some(path) }),
        method,
        headers: matching.headers.iter().map(value_out).collect(),
        query: matching.query.iter().map(value_out).collect(),
        method_match,
        extra: matching.extra.as_deref().map(extra_out),
    }
}

fn match_in(matching: &p::RouteMatch) -> Result<RouteMatch, DecodeError> {
    use p::path_match::Match;
    let path = match needed("path.match", &needed("path", &matching.path)?.r#match)? {
        Match::Exact(path) => PathMatch::Exact(path.as_str().into()),
        Match::Prefix(path) => PathMatch::Prefix(path.as_str().into()),
        Match::Regex(text) => PathMatch::Regex(Pattern(text.as_str().into())),
        Match::StringPrefix(path) => PathMatch::StringPrefix(path.as_str().into()),
        Match::ExactIgnoreCase(path) => PathMatch::ExactIgnoreCase(path.as_str().into()),
        Match::StringPrefixIgnoreCase(path) => PathMatch::StringPrefixIgnoreCase(path.as_str().into()),
        Match::Grpc(method) => PathMatch::Grpc(Box::new(within("path.grpc", grpc_in(method))?)),
    };
    let method = match (&matching.method, &matching.method_match) {
        (None, None) => None,
        (Some(method), None) => Some(StringMatch::Exact(method.as_str().into())),
        (None, Some(method)) => Some(within("method_match", string_in(method))?),
        (Some(_), Some(_)) => return Err(bad("method_match", "stands beside `method`")),
    };
    Ok(RouteMatch {
        path,
        method,
        headers: list("headers", &matching.headers, value_in)?,
        query: list("query", &matching.query, value_in)?,
        extra: matching
            .extra
            .as_ref()
            .map(|extra| within("extra", extra_in(extra)).map(Box::new))
            .transpose()?,
    })
}

fn grpc_out(method: &GrpcMethodMatch) -> p::GrpcMethodMatch {
    let text = |part: &Option<Arc<str>>| part.as_deref().map(str::to_owned);
    let expression = |part: &Option<Pattern>| part.as_ref().map(|pattern| pattern.0.to_string());
    match method {
        GrpcMethodMatch::Exact { service, method } => p::GrpcMethodMatch {
            exact_service: text(service),
            exact_method: text(method),
            ..p::GrpcMethodMatch::default()
        },
        GrpcMethodMatch::Regex { service, method } => p::GrpcMethodMatch {
            regex_service: expression(service),
            regex_method: expression(method),
            ..p::GrpcMethodMatch::default()
        },
    }
}

fn grpc_in(wire: &p::GrpcMethodMatch) -> Result<GrpcMethodMatch, DecodeError> {
    let text = |part: &Option<String>| part.as_deref().map(Arc::from);
    let expression = |part: &Option<String>| part.as_deref().map(|text| Pattern(text.into()));
    let has_exact = wire.exact_service.is_some() || wire.exact_method.is_some();
    let has_regex = wire.regex_service.is_some() || wire.regex_method.is_some();
    match (has_exact, has_regex) {
        (true, true) => Err(bad("regex_service", "stands beside names")),
        (_, true) => Ok(GrpcMethodMatch::Regex {
            service: expression(&wire.regex_service),
            method: expression(&wire.regex_method),
        }),
        (_, false) => Ok(GrpcMethodMatch::Exact {
            service: text(&wire.exact_service),
            method: text(&wire.exact_method),
        }),
    }
}

fn extra_out(extra: &ExtraConditions) -> p::ExtraConditions {
    let source = |source: &SourceMatch| p::SourceMatch {
        namespace: source.namespace.as_ref().map(|namespace| namespace.to_string()),
        labels: pairs_out(&source.labels),
    };
    p::ExtraConditions {
        without_headers: extra.without_headers.iter().map(value_out).collect(),
        scheme: extra.scheme.as_ref().map(unnamed_out),
        authority: extra.authority.as_ref().map(unnamed_out),
        port: extra.port.map(Into::into),
        source: extra.source.as_ref().map(source),
    }
}

fn extra_in(extra: &p::ExtraConditions) -> Result<ExtraConditions, DecodeError> {
    let string = |field, value: &Option<p::ValueMatch>| {
        value.as_ref().map(|value| within(field, string_in(value))).transpose()
    };
    let source = |source: &p::SourceMatch| SourceMatch {
        namespace: source.namespace.as_deref().map(Into::into),
        labels: pairs_in(&source.labels),
    };
    Ok(ExtraConditions {
        without_headers: list("without_headers", &extra.without_headers, value_in)?,
        scheme: string("scheme", &extra.scheme)?,
        authority: string("authority", &extra.authority)?,
        port: extra.port.map(|port| small("port", port)).transpose()?,
        source: extra.source.as_ref().map(source),
    })
}

fn unnamed_out(value: &StringMatch) -> p::ValueMatch {
    use p::value_match::Match;
    let matching = match value {
        StringMatch::Exact(text) => Match::Exact(text.to_string()),
        StringMatch::Regex(pattern) => Match::Regex(pattern.0.to_string()),
        StringMatch::Prefix(text) => Match::Prefix(text.to_string()),
        StringMatch::Present => Match::Present(p::Present {}),
    };
    p::ValueMatch { name: String::new(), r#match: Some(matching) }
}

fn string_in(value: &p::ValueMatch) -> Result<StringMatch, DecodeError> {
    use p::value_match::Match;
    Ok(match needed("match", &value.r#match)? {
        Match::Exact(text) => StringMatch::Exact(text.as_str().into()),
        Match::Regex(text) => StringMatch::Regex(Pattern(text.as_str().into())),
        Match::Prefix(text) => StringMatch::Prefix(text.as_str().into()),
        Match::Present(p::Present {}) => StringMatch::Present,
    })
}

fn value_out(value: &ValueMatch) -> p::ValueMatch {
    p::ValueMatch { name: value.name.to_string(), ..unnamed_out(&value.value) }
}

fn value_in(value: &p::ValueMatch) -> Result<ValueMatch, DecodeError> {
    Ok(ValueMatch { name: value.name.as_str().into(), value: string_in(value)? })
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
        filters: backend.filters.iter().map(filter_out).collect(),
    }
}

pub(super) fn backend_in(backend: &p::RouteBackend) -> Result<RouteBackend, DecodeError> {
    Ok(RouteBackend {
        host: backend.host.as_deref().map(|text| host("host", text)).transpose()?,
        port: small("port", backend.port)?,
        weight: backend.weight,
        filters: list("filters", &backend.filters, |filter| filter_in(filter))?.into(),
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
        client: listener.client.as_deref().map(client_out).unwrap_or_default(),
    };
    p::Gateway {
        namespace: gateway.namespace.to_string(),
        name: gateway.name.to_string(),
        listeners: gateway.listeners.iter().map(listener).collect(),
    }
}

fn client_out(client: &ClientTraffic) -> String {
    // Texts and lists only: nothing of it cannot be written. An empty text would mean that nothing is said, a brace is
    // refused.
    serde_json::to_string(client).unwrap_or_else(|_| "{".to_owned())
}

fn client_in(text: &str) -> Result<Option<Arc<ClientTraffic>>, DecodeError> {
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(text).map(Some).map_err(|error| bad("client", error.to_string()))
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
            client: client_in(&listener.client)?,
        })
    };
    Ok(Gateway {
        namespace: gateway.namespace.into(),
        name: gateway.name.into(),
        listeners: list("listeners", &gateway.listeners, listener)?,
    })
}
