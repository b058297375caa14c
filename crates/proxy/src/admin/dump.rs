//! JSON of the configuration in force and of the certificates. Written by hand, field by field: what is not
//! named here is not shown.

use crate::edge_tls::certificates::ListenerCertificates;
use crate::snapshot::{HostEntry, LocalNode, Snapshot};
use decide::l4_route::L4Table;
use decide::route::Table;
use identity::Identity;
use model::filter::FilterConfig;
use model::hex::hex;
use model::l4_route::L4Rule;
use model::listener_tls::{CertificateRef, ListenerTls};
use model::probe::{ProbeAction, ReadinessProbe};
use model::route::RouteRule;
use model::service::Endpoint;
use model::time::rfc3339_ms;
use model::{Hostname, MeshSettings, Policy, SpiffeId};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;

/// `/config_dump`.
pub(super) fn config(me: &LocalNode, snapshot: &Snapshot) -> Value {
    let mut hosts: Vec<_> = snapshot.hosts().collect();
    hosts.sort_by(|a, b| a.service.host.cmp(&b.service.host));
    json!({
        "node": node(me),
        "epoch": snapshot.epoch,
        "names": {
            "suffixes": snapshot.names.suffixes.iter().map(|s| s.to_string()).collect::<Vec<_>>(),
            "shared_suffixes": snapshot.names.shared_suffixes.iter().map(|s| s.to_string()).collect::<Vec<_>>(),
            "hosts": snapshot.names.hosts.iter().map(Hostname::as_str).collect::<Vec<_>>(),
        },
        "settings": settings(&snapshot.settings),
        "hosts": hosts.into_iter().map(|entry| host(entry)).collect::<Vec<_>>(),
        "inbound": snapshot.inbound.as_ref().map(|inbound| json!({
            "group": format!("{}/{}", inbound.namespace, inbound.group),
            "labels": inbound.labels.iter().map(|(k, v)| (k.to_string(), json!(&**v))).collect::<serde_json::Map<_, _>>(),
            "ports": inbound.ports.iter().map(|port| json!({
                "port": port.port,
                "protocol": format!("{:?}", port.protocol),
                "names": port.names.iter().map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "mtls": json!({
                "mode": inbound.mtls.mode.as_str(),
                "ports": inbound.mtls.ports.iter().map(|(port, mode)| (port.to_string(), json!(mode.as_str()))).collect::<serde_json::Map<_, _>>(),
            }),
            "probe": inbound.probe.as_deref().map(probe),
        })),
        "gateway": snapshot.gateway.as_ref().map(|gateway| json!({
            "name": format!("{}/{}", gateway.gateway.namespace, gateway.gateway.name),
            "listeners": gateway.listeners().zip(&gateway.l4_rules).map(|((listener, table, policies), l4)| json!({
                "name": &*listener.name,
                "port": listener.port,
                "address": listener.address.map(|ip| ip.to_string()),
                "host": listener.host.as_ref().map(|host| format!("{host:?}")),
                "tls": listener.tls.as_deref().map(listener_tls),
                "protocol": format!("{:?}", listener.protocol),
                "rules": rules(table),
                "l4_rules": l4_rules(l4),
                "policies": policies.iter().map(|entry| policy(entry)).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "closed": gateway.closed.iter().map(|closed| json!({
                "name": &*closed.name,
                "address": closed.address.to_string(),
                "why": &*closed.why,
            })).collect::<Vec<_>>(),
        })),
        "exports": snapshot.exports.as_ref().map(|exports| {
            exports.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>()
        }),
        "forward_policies": snapshot.forward_policies.iter().map(|entry| policy(entry)).collect::<Vec<_>>(),
        "policies": snapshot.policies.iter().map(|entry| policy(entry)).collect::<Vec<_>>(),
        "trust_domains": snapshot.trust.iter().map(|bundle| json!({
            "trust_domain": bundle.trust_domain.as_str(),
            "roots": bundle.roots.len(),
        })).collect::<Vec<_>>(),
    })
}

/// What is spoken, and what is shown by name. No certificate, and never a key.
fn listener_tls(tls: &ListenerTls) -> Value {
    let named = |certificate: &CertificateRef| match certificate {
        CertificateRef::Secret { namespace, name } => json!({ "secret": format!("{namespace}/{name}") }),
        CertificateRef::Files { certificate, key } => {
            json!({ "certificate_file": &**certificate, "key_file": &**key })
        }
    };
    json!({
        "mode": format!("{:?}", tls.mode),
        "certificates": tls.certificates.iter().map(named).collect::<Vec<_>>(),
        "client_certificates": tls.client.as_ref().map(|client| format!("{:?}", client.mode)),
        "min_version": format!("{:?}", tls.versions.min),
        "max_version": format!("{:?}", tls.versions.max),
        "cipher_suites": tls.cipher_suites.iter().map(|suite| suite.to_string()).collect::<Vec<_>>(),
    })
}

/// `/certs`: what listeners in TLS show.
pub(super) fn shown_certificates(certificates: &ListenerCertificates, now: SystemTime) -> Value {
    let shown = certificates.pairs().into_iter().map(|(name, slot)| {
        let current = slot.current();
        json!({
            "name": name,
            "sha256": current.as_ref().map(|shown| shown.sha256.clone()),
            "dns_names": current.as_ref().map(|shown| shown.names.clone()),
            "expiration_time": current.as_ref().map(|shown| rfc3339_ms(shown.not_after)),
            "seconds_until_expiration": current.as_ref()
                .map(|shown| shown.not_after.duration_since(now).unwrap_or_default().as_secs()),
            "fault": slot.fault().map(|why| why.to_string()),
        })
    });
    json!(shown.collect::<Vec<_>>())
}

/// What headers, queries and arguments hold may be secret.
fn probe(probe: &ReadinessProbe) -> Value {
    let action = match &probe.action {
        ProbeAction::HttpGet(get) => json!({
            "http_get": { "path": get.path.split('?').next(), "port": get.port, "scheme": format!("{:?}", get.scheme) },
        }),
        ProbeAction::TcpSocket(tcp) => json!({ "tcp_socket": { "port": tcp.port } }),
        ProbeAction::Exec(command) => json!({ "exec": { "program": command.first().map(|word| &**word) } }),
        ProbeAction::Grpc(grpc) => json!({ "grpc": { "port": grpc.port, "service": &*grpc.service } }),
    };
    json!({
        "action": action,
        "initial_delay_s": probe.initial_delay.as_secs(),
        "timeout_s": probe.timeout.as_secs(),
        "period_s": probe.period.as_secs(),
        "success_threshold": probe.success_threshold,
        "failure_threshold": probe.failure_threshold,
    })
}

fn settings(settings: &MeshSettings) -> Value {
    json!({
        "path_normalization": format!("{:?}", settings.path.normalization),
        "path_with_escaped_slashes_action": format!("{:?}", settings.path.escaped_slashes),
        "xff_num_trusted_hops": settings.http.xff_num_trusted_hops,
        "xff_trusted_cidrs": settings.http.xff_trusted_cidrs.iter()
            .map(|block| format!("{}/{}", block.address, block.prefix)).collect::<Vec<_>>(),
        "idle_timeout_ms": settings.http.idle_timeout.as_millis() as u64,
        "stream_idle_timeout_ms": settings.http.stream_idle_timeout.as_millis() as u64,
        "upgrade_types": settings.http.upgrade_types,
        "upgrade_idle_timeout_ms": settings.http.upgrade_idle_timeout.as_millis() as u64,
        "ipv6_prefix": settings.ipv6_prefix.to_string(),
    })
}

/// Who this proxy is.
pub(super) fn node(me: &LocalNode) -> Value {
    json!({
        "id": &*me.uid,
        "group": format!("{}/{}", me.namespace, me.group),
        "cluster": &*me.place.cluster,
        "network": &*me.network,
        "region": &*me.place.locality.region,
        "zone": &*me.place.locality.zone,
        "addresses": me.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// `/certs`: subjects and validity. The local chain and the roots believed in.
pub(super) fn certificates(identity: &Identity, now: SystemTime) -> Value {
    let own = identity.svid().map(|svid| {
        let left = svid.not_after.duration_since(now).unwrap_or_default();
        json!({
            "spiffe_id": svid.id.to_string(),
            "valid_from": rfc3339_ms(svid.not_before),
            "expiration_time": rfc3339_ms(svid.not_after),
            "seconds_until_expiration": left.as_secs(),
            "chain": svid.chain().iter().map(|der| fingerprint(der)).collect::<Vec<_>>(),
        })
    });
    let trust: Vec<Value> = identity
        .bundles()
        .iter()
        .map(|bundle| {
            json!({
                "trust_domain": bundle.trust_domain.as_str(),
                "roots": bundle.roots.iter().map(|der| fingerprint(der)).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "certificates": [{ "cert_chain": own, "ca_cert": trust }] })
}

/// A certificate by its size, its SHA-256 (which `openssl x509 -fingerprint` prints too) and its public key.
fn fingerprint(der: &[u8]) -> Value {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    let public_key = identity::public_key(der).map(|point| hex(&point));
    json!({ "sha256": hex(digest.as_ref()), "bytes": der.len(), "public_key": public_key })
}

fn host(entry: &HostEntry) -> Value {
    let service = &entry.service;
    json!({
        "host": service.host.as_str(),
        "object": format!("{}/{}", service.namespace, service.name),
        "address": service.address.map(|ip| ip.to_string()),
        "headless": service.headless.is_some(),
        "global": service.global,
        "failover_order": service.failover_order.iter().map(|c| c.to_string()).collect::<Vec<_>>(),
        "ports": service.ports.iter().map(|port| json!({
            "port": port.port,
            "target_port": port.target_port,
            "protocol": format!("{:?}", port.protocol),
            "name": &*port.name,
        })).collect::<Vec<_>>(),
        "rules": entry.rules.tables().flat_map(rules).collect::<Vec<_>>(),
        "l4_rules": entry.l4_rules.iter().flat_map(|rules| rules.tables()).flat_map(l4_rules).collect::<Vec<_>>(),
        "endpoints": entry.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
    })
}

fn endpoint(endpoint: &Endpoint) -> Value {
    json!({
        "uid": &*endpoint.uid,
        "address": endpoint.address.to_string(),
        "port": endpoint.port,
        "reach": format!("{:?}", endpoint.reach),
        "state": format!("{:?}", endpoint.state),
        "cluster": &*endpoint.cluster,
        "region": &*endpoint.locality.region,
        "zone": &*endpoint.locality.zone,
        "weight": endpoint.weight,
        "identities": endpoint.identities.iter().map(SpiffeId::to_string).collect::<Vec<_>>(),
        "gateway_identity": endpoint.gateway_identity.as_ref().map(SpiffeId::to_string),
    })
}

fn rules(table: &Table) -> Vec<Value> {
    let rule = |rule: &Arc<RouteRule>| {
        json!({
            "route": rule.origin.object.to_string(),
            "file": &*rule.origin.file,
            "line": rule.origin.line,
            "index": rule.index,
            "matches": rule.matches.iter().map(|m| format!("{m:?}")).collect::<Vec<_>>(),
            "filters": rule.filters.iter().map(filter).collect::<Vec<_>>(),
            "backends": rule.backends.iter().map(|backend| json!({
                "host": backend.host.as_ref().map(Hostname::as_str),
                "port": backend.port,
                "weight": backend.weight,
            })).collect::<Vec<_>>(),
            "request_timeout_ms": rule.request_timeout.map(|t| t.as_millis() as u64),
            "backend_timeout_ms": rule.backend_timeout.map(|t| t.as_millis() as u64),
            "retry": rule.retry.as_ref().map(|retry| format!("{retry:?}")),
        })
    };
    table.rules().map(rule).collect()
}

fn l4_rules(table: &L4Table) -> Vec<Value> {
    let rule = |rule: &Arc<L4Rule>| {
        json!({
            "route": rule.origin.object.to_string(),
            "file": &*rule.origin.file,
            "line": rule.origin.line,
            "index": rule.index,
            "consumer": rule.consumer.as_deref(),
            "matches": rule.matches.iter().map(|m| format!("{m:?}")).collect::<Vec<_>>(),
            "backends": rule.backends.iter().map(|backend| json!({
                "host": backend.host.as_ref().map(Hostname::as_str),
                "port": backend.port,
                "weight": backend.weight,
            })).collect::<Vec<_>>(),
        })
    };
    table.rules().map(rule).collect()
}

/// Its configuration without the values of headers, which may be credentials.
fn filter(filter: &FilterConfig) -> Value {
    let mut written = serde_json::to_value(filter).unwrap_or_default();
    let mut shown = written["config"].take();
    for field in ["set", "add"] {
        for pair in shown.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
            *pair = pair[0].take();
        }
    }
    shown["kind"] = written["filter"].take();
    shown
}

fn policy(policy: &Policy) -> Value {
    json!({
        "name": format!("{}/{}", policy.origin.object.namespace, policy.origin.object.name),
        "action": format!("{:?}", policy.action),
        "rules": policy.rules.len(),
        "dry_run": policy.dry_run,
        "file": &*policy.origin.file,
        "line": policy.origin.line,
    })
}
