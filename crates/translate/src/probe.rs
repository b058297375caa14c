//! `WorkloadGroup.probe` as proxies get it, with Istio's defaults in place of what was not said.

use api::kinds::workload_group::{HttpGetAction, ProbeHttpHeader, ProbeSpec, loopback};
use model::probe::{
    GrpcProbe, HttpGetProbe, ProbeAction, ProbeHeader, ProbeScheme, ReadinessProbe, TcpSocketProbe,
};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What holds where nothing is said, in seconds and in answers.
const TIMEOUT_SECONDS: u32 = 1;
const PERIOD_SECONDS: u32 = 10;
const SUCCESS_THRESHOLD: u32 = 1;
const FAILURE_THRESHOLD: u32 = 3;

/// `None`: it says nothing to probe, which `api` refuses.
pub(crate) fn readiness_probe(spec: &ProbeSpec) -> Option<ReadinessProbe> {
    // 0 says nothing, as in Istio.
    let or = |said: Option<u32>, default: u32| said.filter(|said| *said != 0).unwrap_or(default);
    let seconds = |said, default| Duration::from_secs(or(said, default).into());
    Some(ReadinessProbe {
        action: action(spec)?,
        initial_delay: seconds(spec.initial_delay_seconds, 0),
        timeout: seconds(spec.timeout_seconds, TIMEOUT_SECONDS),
        period: seconds(spec.period_seconds, PERIOD_SECONDS),
        success_threshold: or(spec.success_threshold, SUCCESS_THRESHOLD),
        failure_threshold: or(spec.failure_threshold, FAILURE_THRESHOLD),
    })
}

fn action(spec: &ProbeSpec) -> Option<ProbeAction> {
    if let Some(get) = &spec.http_get {
        return Some(ProbeAction::HttpGet(http_get(get)));
    }
    if let Some(tcp) = &spec.tcp_socket {
        return Some(ProbeAction::TcpSocket(TcpSocketProbe { port: tcp.port, host: host(&tcp.host) }));
    }
    if let Some(exec) = &spec.exec {
        return Some(ProbeAction::Exec(exec.command.iter().map(|word| word.as_str().into()).collect()));
    }
    let grpc = spec.grpc.as_ref()?;
    let service = grpc.service.as_deref().unwrap_or_default().into();
    Some(ProbeAction::Grpc(GrpcProbe { port: grpc.port, service }))
}

fn http_get(get: &HttpGetAction) -> HttpGetProbe {
    let path = get.path.as_deref().unwrap_or_default();
    let header = |header: &ProbeHttpHeader| ProbeHeader {
        name: header.name.as_str().into(),
        value: header.value.as_str().into(),
    };
    HttpGetProbe {
        path: if path.starts_with('/') { path.into() } else { Arc::from(format!("/{path}")) },
        port: get.port,
        scheme: if get.is_https() { ProbeScheme::Https } else { ProbeScheme::Http },
        host: host(&get.host),
        headers: get.http_headers.iter().map(header).collect(),
    }
}

fn host(host: &Option<String>) -> Option<IpAddr> {
    host.as_deref().and_then(loopback)
}
