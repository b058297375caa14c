//! The short form of `leno gateway`, always as the documents that it stands for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Namespace and name of the objects of the short form; a proxy of this group serves them.
pub const NAMESPACE: &str = "default";
/// See [`NAMESPACE`].
pub const NAME: &str = "gateway";

const FROM: &str = "--from";
const TO: &str = "--to";

/// Why the short form cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAddress {
    /// `--from` or `--to`.
    pub option: &'static str,
    /// What was given.
    pub text: String,
}

impl BadAddress {
    /// Whether it would be an address if names were resolved.
    fn is_name(&self) -> bool {
        let bare = self.text.split_once("://").map_or(&*self.text, |(_, bare)| bare.trim_end_matches('/'));
        let parts = bare.rsplit_once(':');
        parts.is_some_and(|(host, port)| {
            port.parse::<u16>().is_ok_and(|port| port != 0)
                && host.parse::<Ipv4Addr>().is_err()
                && model::Hostname::parse(host).is_some()
        })
    }
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.option == TO { ", alone or after http://, http2:// or grpc://" } else { "" };
        write!(f, "{} {:?} is none of IP:PORT, localhost:PORT and :PORT{protocol}", self.option, self.text)?;
        match self.is_name() {
            true => f.write_str("; other host names are not supported yet, write an IP address"),
            false => Ok(()),
        }
    }
}

impl std::error::Error for BadAddress {}

/// The YAML that `leno gateway --from FROM --to TO` stands for. Both are `IP:PORT` or `:PORT`; a missing IP
/// means all addresses for `from` and 127.0.0.1 for `to`. `localhost` is understood as 127.0.0.1. Before `to`
/// may stand what is spoken there, as in `grpc://:9000`; HTTP/1.1 where nothing does.
pub fn gateway(from: &str, to: &str) -> Result<String, BadAddress> {
    let (bind, port) = address(FROM, from)?;
    let (protocol, bare) = match to.split_once("://") {
        None => ("http", to),
        Some((protocol @ ("http" | "http2" | "grpc"), bare)) => (protocol, bare.trim_end_matches('/')),
        Some(_) => return Err(BadAddress { option: TO, text: to.to_owned() }),
    };
    let (host, target) = address(TO, bare)?;
    let host = host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let annotation = match bind {
        Some(ip) => format!("\n  annotations:\n    leno.dev/bind-address: \"{ip}\""),
        None => String::new(),
    };
    let (namespace, name) = (NAMESPACE, NAME);
    Ok(format!(
        r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: {name}
  namespace: {namespace}{annotation}
spec:
  gatewayClassName: leno
  listeners:
    - name: http
      port: {port}
      protocol: HTTP
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: {name}
  namespace: {namespace}
spec:
  parentRefs:
    - name: {name}
  rules:
    - backendRefs:
        - group: leno.dev
          kind: Backend
          name: {name}
---
apiVersion: leno.dev/v1alpha1
kind: Backend
metadata:
  name: {name}
  namespace: {namespace}
spec:
  type: Static
  protocol: {protocol}
  addresses:
    - host: "{host}"
      port: {target}
"#
    ))
}

fn address(option: &'static str, text: &str) -> Result<(Option<IpAddr>, u16), BadAddress> {
    let bad = || BadAddress { option, text: text.to_owned() };
    let parsed = if let Some(port) = text.strip_prefix(':') {
        (None, port.parse().map_err(|_| bad())?)
    } else if let Some(port) = text.strip_prefix("localhost:") {
        (Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), port.parse().map_err(|_| bad())?)
    } else {
        let address: SocketAddr = text.parse().map_err(|_| bad())?;
        (Some(address.ip()), address.port())
    };
    if parsed.1 == 0 { Err(bad()) } else { Ok(parsed) }
}

#[cfg(test)]
mod tests;
