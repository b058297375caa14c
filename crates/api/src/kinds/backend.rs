//! Leno `Backend`: a destination that is not a `Service`.

use super::{KindSpec, LENO_GROUP, ObjectKind};
use crate::meta::Meta;
use crate::syntax;
use crate::validation::ValidationReport;
use model::Code;
use serde::Deserialize;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

/// `Backend` `spec`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendSpec {
    /// `Static`.
    #[serde(rename = "type")]
    pub backend_type: BackendType,
    /// At least one.
    pub addresses: Vec<BackendAddress>,
    /// What it speaks: `http` (default), `http2`, `grpc`, `tcp` or `udp`.
    #[serde(default)]
    pub protocol: Option<String>,
    /// Line of `spec`.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

impl KindSpec for BackendSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "Backend",
        plural: "backends",
        singular: "backend",
        short: &[],
        group: LENO_GROUP,
        versions: &["v1alpha1"],
        namespaced: true,
        doc: "A destination that is not a Service",
        columns: &[],
    };

    fn check(&self, _: &Meta, report: &mut ValidationReport<'_>) {
        const ADDRESSES_MAX: usize = 1024;
        if self.addresses.is_empty() {
            report.refuse(Code::MissingField, "spec.addresses", "is empty", "add an address");
        }
        report.at_most("spec.addresses", self.addresses.len(), ADDRESSES_MAX);
        let mut seen = HashSet::new();
        for (index, address) in self.addresses.iter().enumerate() {
            let path = format!("spec.addresses[{index}]");
            let at = format!("{path}.host");
            if address.ip().is_none() && !syntax::is_host(&address.host, false) {
                let cause = format!("cannot be `{}`", address.host);
                report.bad(&at, &cause, "write an IP address or a host name");
            }
            report.port(&format!("{path}.port"), address.port);
            if !seen.insert((
                address.ip().map_or_else(|| address.host.clone(), |ip| ip.to_string()),
                address.port,
            )) {
                report.bad(&path, "occurs twice", "remove one of the two");
            }
        }
        if let Some(protocol) = &self.protocol
            && !matches!(protocol.as_str(), "http" | "http2" | "grpc" | "tcp" | "udp")
        {
            report.bad(
                "spec.protocol",
                &format!("cannot be `{protocol}`"),
                "write http, http2, grpc, tcp or udp",
            );
        }
    }
}

/// Which sort of backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum BackendType {
    /// Fixed addresses.
    Static,
}

/// `addresses[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendAddress {
    /// An IP address, or a host name, which proxies resolve.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

impl BackendAddress {
    /// The address that the host stands for. `localhost` needs no name server (RFC 6761 section 6.3); other names
    /// are resolved by the proxies.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.host.as_str() {
            "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
            text => text.parse().ok(),
        }
    }
}
