//! The ports of a `Service`, which a `GlobalService` has too.

use crate::decode::Ignored;
use crate::ignored::IgnoredField;
use crate::validation::ValidationReport;
use model::Code;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use std::collections::HashSet;
use std::fmt;

/// The fix of fields for callers from outside.
pub(crate) const FIX_OUTSIDE: &str = "remove it, and write a Gateway for callers from outside";

/// Of `spec.ports`, for the kinds that have them.
pub(crate) const NODE_PORT: IgnoredField = IgnoredField::new("spec.ports[].nodePort", &[], FIX_OUTSIDE);

/// One port.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePortSpec {
    /// `name`; its prefix (`http`, `http2`, `grpc`, `tcp`, `tls`, `https`) declares the protocol.
    #[serde(default)]
    pub name: Option<String>,
    /// 1 to 65535.
    pub port: u16,
    /// Absent: the same as `port`.
    #[serde(default)]
    pub target_port: Option<TargetPort>,
    /// `TCP` (default), `UDP` or `SCTP`; the latter two are ignored by the mesh.
    #[serde(default)]
    pub protocol: Option<PortProtocol>,
    /// Wins over the name if it is one of Kubernetes' own or of the words of names; else it says nothing.
    #[serde(default)]
    pub app_protocol: Option<String>,
    /// Ignored, with a warning.
    #[serde(default)]
    pub node_port: Option<Ignored>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

impl ServicePortSpec {
    /// Whether the mesh carries it.
    pub fn is_tcp(&self) -> bool {
        matches!(self.protocol, None | Some(PortProtocol::Tcp))
    }
}

/// The transport protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PortProtocol {
    /// The one that the mesh carries.
    Tcp,
    /// Left alone.
    Udp,
    /// Left alone.
    Sctp,
}

/// `targetPort`: the port that the application listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// 1 to 65535.
    Number(u16),
    /// A name of the container's port; refused, because nothing defines such names yet.
    Name(String),
}

impl TargetPort {
    /// The number. A checked object has no other.
    pub fn number(&self) -> Option<u16> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Name(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for TargetPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TargetPortVisitor)
    }
}

struct TargetPortVisitor;

impl Visitor<'_> for TargetPortVisitor {
    type Value = TargetPort;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 1 to 65535")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<TargetPort, E> {
        let found = de::Unexpected::Unsigned(number);
        u16::try_from(number).map(TargetPort::Number).map_err(|_| E::invalid_value(found, &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TargetPort, E> {
        // A number in quotes is no name (IANA service names have a letter).
        match text.bytes().any(|b| b.is_ascii_alphabetic()) {
            true => Ok(TargetPort::Name(text.to_owned())),
            false => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }
}

/// Also for the ports of a `GlobalService`.
pub(crate) fn check(path: &str, ports: &[ServicePortSpec], report: &mut ValidationReport<'_>) {
    const PORTS_MAX: usize = 100;
    report.at_most(path, ports.len(), PORTS_MAX);
    let (mut names, mut numbers) = (HashSet::new(), HashSet::new());
    for (index, port) in ports.iter().enumerate() {
        let at = format!("{path}[{index}]");
        report.port(&format!("{at}.port"), port.port);
        match &port.target_port {
            Some(TargetPort::Number(target)) => report.port(&format!("{at}.targetPort"), *target),
            Some(TargetPort::Name(name)) => {
                let what = format!("the named port `{name}`");
                report.unsupported(
                    &format!("{at}.targetPort"),
                    &what,
                    "write the number of the application's port",
                );
            }
            None => {}
        }
        if let Some(transport @ (PortProtocol::Udp | PortProtocol::Sctp)) = port.protocol {
            let name = format!("{transport:?}").to_ascii_uppercase();
            let cause = format!("is {name}, which is not supported yet, so the port has no effect");
            report.no_effect(&format!("{at}.protocol"), &cause, "remove the port: the mesh carries TCP only");
        }
        match &port.name {
            Some(name) => {
                report.label(&format!("{at}.name"), name);
                if !names.insert(name) {
                    report.bad(&format!("{at}.name"), &format!("`{name}` occurs twice"), "use another name");
                }
            }
            None if ports.len() > 1 => {
                report.refuse(
                    Code::MissingField,
                    &format!("{at}.name"),
                    "is missing",
                    "name each port if there are several",
                );
            }
            None => {}
        }
        if !numbers.insert((port.port, port.is_tcp())) {
            report.bad(
                &format!("{at}.port"),
                &format!("{} occurs twice", port.port),
                "remove one of the two",
            );
        }
    }
}
