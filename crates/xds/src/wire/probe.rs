//! Probes of an application, and what a proxy tells of its health. A probe that leaves the host is refused.

use super::{DecodeError, bad, duration_in, duration_out, ip_in, ip_out, list, needed, small};
use crate::proto::leno::mesh::v1 as p;
use bytes::Bytes;
use model::probe::{
    ApplicationHealth, CAUSE_CHARS_MAX, GrpcProbe, HttpGetProbe, ProbeAction, ProbeHeader, ProbeScheme,
    ReadinessProbe, TcpSocketProbe,
};
use p::readiness_probe::Action;
use std::net::IpAddr;
use std::time::Duration;

pub(super) fn probe_out(probe: &ReadinessProbe) -> p::ReadinessProbe {
    let host = |host: Option<IpAddr>| host.map(ip_out).unwrap_or_default();
    let header =
        |header: &ProbeHeader| p::KeyValue { name: header.name.to_string(), value: header.value.to_string() };
    let action = match &probe.action {
        ProbeAction::HttpGet(get) => Action::HttpGet(p::HttpGetProbe {
            path: get.path.to_string(),
            port: get.port.into(),
            tls: get.scheme == ProbeScheme::Https,
            host: host(get.host),
            headers: get.headers.iter().map(header).collect(),
        }),
        ProbeAction::TcpSocket(tcp) => {
            Action::TcpSocket(p::TcpSocketProbe { port: tcp.port.into(), host: host(tcp.host) })
        }
        ProbeAction::Exec(command) => {
            Action::Exec(p::ExecProbe { command: command.iter().map(ToString::to_string).collect() })
        }
        ProbeAction::Grpc(grpc) => {
            Action::Grpc(p::GrpcProbe { port: grpc.port.into(), service: grpc.service.to_string() })
        }
    };
    p::ReadinessProbe {
        action: Some(action),
        initial_delay: Some(duration_out(probe.initial_delay)),
        timeout: Some(duration_out(probe.timeout)),
        period: Some(duration_out(probe.period)),
        success_threshold: probe.success_threshold,
        failure_threshold: probe.failure_threshold,
    }
}

pub(super) fn probe_in(probe: p::ReadinessProbe) -> Result<ReadinessProbe, DecodeError> {
    let header = |header: &p::KeyValue| {
        Ok(ProbeHeader { name: header.name.as_str().into(), value: header.value.as_str().into() })
    };
    let action = match needed("action", &probe.action)? {
        Action::HttpGet(get) => ProbeAction::HttpGet(HttpGetProbe {
            path: get.path.as_str().into(),
            port: port_in(get.port)?,
            scheme: if get.tls { ProbeScheme::Https } else { ProbeScheme::Http },
            host: host_in(&get.host)?,
            headers: list("headers", &get.headers, header)?,
        }),
        Action::TcpSocket(tcp) => {
            ProbeAction::TcpSocket(TcpSocketProbe { port: port_in(tcp.port)?, host: host_in(&tcp.host)? })
        }
        Action::Exec(exec) if exec.command.is_empty() => return Err(bad("command", "empty")),
        Action::Exec(exec) => {
            ProbeAction::Exec(exec.command.iter().map(|word| word.as_str().into()).collect())
        }
        Action::Grpc(grpc) => {
            ProbeAction::Grpc(GrpcProbe { port: port_in(grpc.port)?, service: grpc.service.as_str().into() })
        }
    };
    Ok(ReadinessProbe {
        action,
        initial_delay: duration_in("initial_delay", needed("initial_delay", &probe.initial_delay)?)?,
        timeout: some_time("timeout", &probe.timeout)?,
        period: some_time("period", &probe.period)?,
        success_threshold: from_one("success_threshold", probe.success_threshold)?,
        failure_threshold: from_one("failure_threshold", probe.failure_threshold)?,
    })
}

fn port_in(port: u32) -> Result<u16, DecodeError> {
    small("port", port).and_then(|port| if port == 0 { Err(bad("port", "0")) } else { Ok(port) })
}

fn host_in(host: &Bytes) -> Result<Option<IpAddr>, DecodeError> {
    if host.is_empty() {
        return Ok(None);
    }
    match ip_in("host", host)? {
        ip if ip.is_loopback() => Ok(Some(ip)),
        ip => Err(bad("host", format!("{ip} is no loopback address"))),
    }
}

fn some_time(field: &str, duration: &Option<p::Duration>) -> Result<Duration, DecodeError> {
    let duration = duration_in(field, needed(field, duration)?)?;
    if duration.is_zero() { Err(bad(field, "0")) } else { Ok(duration) }
}

fn from_one(field: &str, number: u32) -> Result<u32, DecodeError> {
    if number == 0 { Err(bad(field, "0")) } else { Ok(number) }
}

/// What a proxy tells.
pub fn health_out(health: &ApplicationHealth) -> p::ApplicationHealth {
    let (state, cause) = match health {
        ApplicationHealth::Unknown => (p::HealthState::Unknown, ""),
        ApplicationHealth::NotProbed => (p::HealthState::NotProbed, ""),
        ApplicationHealth::Ready => (p::HealthState::Ready, ""),
        ApplicationHealth::NotReady(cause) => (p::HealthState::NotReady, &**cause),
    };
    p::ApplicationHealth { state: state.into(), cause: cause.to_owned() }
}

/// What a proxy told. Of its cause a beginning is taken, on one line.
///
/// # Errors
/// A state that is not known.
pub fn health_in(health: &p::ApplicationHealth) -> Result<ApplicationHealth, DecodeError> {
    Ok(match p::HealthState::try_from(health.state) {
        Ok(p::HealthState::Unknown) => ApplicationHealth::Unknown,
        Ok(p::HealthState::NotProbed) => ApplicationHealth::NotProbed,
        Ok(p::HealthState::Ready) => ApplicationHealth::Ready,
        Ok(p::HealthState::NotReady) => {
            let plain = |c: char| if c.is_control() { ' ' } else { c };
            let cause: String = health.cause.chars().take(CAUSE_CHARS_MAX).map(plain).collect();
            ApplicationHealth::NotReady(cause.into())
        }
        Ok(p::HealthState::Unspecified) | Err(_) => {
            return Err(bad("health.state", format!("unknown value {}", health.state)));
        }
    })
}
