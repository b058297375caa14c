//! `client` of a TrafficPolicy: how who calls a Gateway is treated, with the names of Envoy Gateway's
//! `ClientTrafficPolicy`.

use crate::duration;
use crate::syntax;
use crate::validation::ValidationReport;
use model::Code;
use model::authz::Cidr;
use model::client_traffic::{
    ClientAddressHeader, ClientCertDetail, ClientIpDetection, ClientTraffic, ForwardClientCert,
    ForwardClientCertMode, ProxyProtocolIn, RequestIdAction, UnderscoresAction,
};
use model::settings::HttpConnections;
use serde::Deserialize;
use std::time::Duration;

const HOPS_MAX: u32 = HttpConnections::XFF_TRUSTED_HOPS_MAX;

/// `client`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientTrafficSpec {
    /// Connections begin with a header of the PROXY protocol, version 1 or 2.
    pub proxy_protocol: Option<ProxyProtocolSpec>,
    /// By what callers are known that came through proxies; absent: `httpConnectionManager` of MeshSettings.
    #[serde(rename = "clientIPDetection")]
    pub client_ip_detection: Option<ClientIpDetectionSpec>,
    /// What becomes of some headers.
    pub headers: Option<ClientHeadersSpec>,
    /// How long something may take.
    pub timeout: Option<ClientTimeoutSpec>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `client.timeout`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientTimeoutSpec {
    /// Of opaque connections.
    pub tcp: Option<ClientTcpTimeoutSpec>,
    /// Of HTTP.
    pub http: Option<ClientHttpTimeoutSpec>,
}

/// `client.timeout.tcp`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientTcpTimeoutSpec {
    /// Without a byte in either direction, from 1 s to 24 h; absent: 1 h.
    pub idle_timeout: Option<String>,
}

/// `client.timeout.http`: each from 1 s to 24 h.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientHttpTimeoutSpec {
    /// Of a connection without a request; absent: that of MeshSettings.
    pub idle_timeout: Option<String>,
    /// Of a request without a byte passing; absent: that of MeshSettings.
    pub stream_idle_timeout: Option<String>,
    /// From the first byte of a head to its last; absent: 10 s.
    pub request_headers_timeout: Option<String>,
    /// From the end of a head to the end of the body; absent: no limit.
    pub request_received_timeout: Option<String>,
    /// After that a connection takes no further request; absent: no limit.
    pub max_connection_duration: Option<String>,
}

/// `client.proxyProtocol`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyProtocolSpec {
    /// Addresses of the load balancers, `a.b.c.d/n` or single ones; at least one.
    #[serde(rename = "trustedCIDRs")]
    pub trusted_cidrs: Vec<String>,
    /// A connection without one is served all the same; absent: no.
    pub optional: Option<bool>,
}

/// `client.clientIPDetection`: exactly one of its fields.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientIpDetectionSpec {
    /// By `x-forwarded-for`.
    pub x_forwarded_for: Option<ForwardedForSpec>,
    /// By another header.
    pub custom_header: Option<CustomHeaderSpec>,
}

/// `clientIPDetection.xForwardedFor`: exactly one of its fields.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ForwardedForSpec {
    /// Proxies in front of the Gateway, 1 to 32.
    pub num_trusted_hops: Option<u32>,
    /// Their addresses.
    #[serde(rename = "trustedCIDRs")]
    pub trusted_cidrs: Vec<String>,
}

/// `clientIPDetection.customHeader`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomHeaderSpec {
    /// Of the header.
    pub name: String,
    /// Who may say so; at least one.
    #[serde(rename = "trustedCIDRs")]
    pub trusted_cidrs: Vec<String>,
    /// 403 where one of those does not say it; absent: no.
    pub fail_closed: Option<bool>,
}

/// `client.headers`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientHeadersSpec {
    /// Absent: `Sanitize`.
    pub x_forwarded_client_cert: Option<ForwardedClientCertSpec>,
    /// Absent: `Allow`.
    pub with_underscores_action: Option<UnderscoresSpec>,
    /// Absent: `PreserveOrGenerate`.
    #[serde(rename = "requestID")]
    pub request_id: Option<RequestIdSpec>,
}

/// `headers.xForwardedClientCert`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ForwardedClientCertSpec {
    /// Absent: `Sanitize`.
    pub mode: Option<ForwardedClientCertMode>,
    /// What is said of the certificate beside its hash.
    pub cert_details_to_add: Vec<CertDetailSpec>,
}

/// `xForwardedClientCert.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ForwardedClientCertMode {
    /// What came is taken out.
    Sanitize,
    /// What came passes, of a caller with a valid certificate.
    ForwardOnly,
    /// Likewise, and the caller's certificate is added.
    AppendForward,
    /// What came is replaced by the caller's certificate.
    SanitizeSet,
    /// What came passes.
    AlwaysForwardOnly,
}

/// `xForwardedClientCert.certDetailsToAdd[]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum CertDetailSpec {
    /// Its subject.
    Subject,
    /// Itself, PEM.
    Cert,
    /// All that were shown, PEM.
    Chain,
    /// Its DNS names.
    #[serde(rename = "DNS")]
    Dns,
    /// Its URIs.
    #[serde(rename = "URI")]
    Uri,
}

/// `headers.withUnderscoresAction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum UnderscoresSpec {
    /// They pass.
    Allow,
    /// 400.
    RejectRequest,
    /// They are taken out.
    DropHeader,
}

/// `headers.requestID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum RequestIdSpec {
    /// The caller's is kept, one is made where there is none.
    PreserveOrGenerate,
    /// The caller's is kept, none is made.
    Preserve,
    /// One is made, whatever came.
    Generate,
    /// There is none.
    Disable,
}

/// Checks `client`, at this path of the document.
pub(crate) fn check(client: &ClientTrafficSpec, at: &str, report: &mut ValidationReport<'_>) {
    if let Some(proxy) = &client.proxy_protocol {
        trusted(&proxy.trusted_cidrs, &format!("{at}.proxyProtocol.trustedCIDRs"), report);
    }
    if let Some(detection) = &client.client_ip_detection {
        check_detection(detection, &format!("{at}.clientIPDetection"), report);
    }
    let certificate = client.headers.as_ref().and_then(|headers| headers.x_forwarded_client_cert.as_ref());
    if let Some(certificate) = certificate {
        check_certificate(certificate, &format!("{at}.headers.xForwardedClientCert"), report);
    }
    for (path, text) in client.times() {
        let range = Duration::from_secs(1)..=HttpConnections::TIMEOUT_MAX;
        if let Some(text) = text
            && duration::parse_go(text).is_none_or(|time| !range.contains(&time))
        {
            let fix = "write a duration from 1s to 24h, such as 10m20s";
            report.bad(&format!("{at}.timeout.{path}"), &format!("cannot be `{text}`"), fix);
        }
    }
    if client.model() == ClientTraffic::default() && !report.is_refused() {
        report.no_effect(at, "says nothing", "say something of the callers, or remove it");
    }
}

fn check_detection(detection: &ClientIpDetectionSpec, at: &str, report: &mut ValidationReport<'_>) {
    match (&detection.x_forwarded_for, &detection.custom_header) {
        (Some(_), Some(_)) => {
            report.bad(at, "sets both `xForwardedFor` and `customHeader`", "keep one of them");
        }
        (None, None) => report.refuse(Code::MissingField, at, "says nothing", "add `xForwardedFor`"),
        (Some(forwarded), None) => check_forwarded_for(forwarded, &format!("{at}.xForwardedFor"), report),
        (None, Some(custom)) => {
            let at = format!("{at}.customHeader");
            if !is_address_header(&custom.name) {
                let fix = "write the name of the header that the load balancer sets, as `true-client-ip`";
                report.bad(&format!("{at}.name"), &format!("cannot be `{}`", custom.name), fix);
            }
            trusted(&custom.trusted_cidrs, &format!("{at}.trustedCIDRs"), report);
        }
    }
}

/// A name that no other rule is about.
fn is_address_header(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let is_taken = matches!(lower.as_str(), "host" | "x-forwarded-for" | "x-request-id" | "content-length");
    syntax::is_token(name) && !is_taken && model::header::untouched(name).is_none()
}

fn check_forwarded_for(forwarded: &ForwardedForSpec, at: &str, report: &mut ValidationReport<'_>) {
    match (forwarded.num_trusted_hops, forwarded.trusted_cidrs.is_empty()) {
        (Some(_), false) => {
            report.bad(at, "sets both `numTrustedHops` and `trustedCIDRs`", "keep one of them");
        }
        (None, true) => report.refuse(Code::MissingField, at, "says nothing", "add `trustedCIDRs`"),
        (Some(hops), true) if !(1..=HOPS_MAX).contains(&hops) => {
            let fix = format!("write the number of proxies in front, from 1 to {HOPS_MAX}");
            report.bad(&format!("{at}.numTrustedHops"), &format!("cannot be {hops}"), fix);
        }
        (Some(_), true) => {}
        (None, false) => trusted(&forwarded.trusted_cidrs, &format!("{at}.trustedCIDRs"), report),
    }
}

fn check_certificate(certificate: &ForwardedClientCertSpec, at: &str, report: &mut ValidationReport<'_>) {
    let adds = matches!(
        certificate.mode,
        Some(ForwardedClientCertMode::AppendForward | ForwardedClientCertMode::SanitizeSet)
    );
    if !adds && !certificate.cert_details_to_add.is_empty() {
        let cause = "has no effect in this mode, which adds nothing";
        report.no_effect(&format!("{at}.certDetailsToAdd"), cause, "write mode `SanitizeSet`");
    }
    if certificate.mode == Some(ForwardedClientCertMode::AlwaysForwardOnly) {
        let cause = "passes on what any caller writes, who may say to be anybody";
        let fix = "write `SanitizeSet`, unless only proxies of yours can reach the listener";
        report.no_effect(&format!("{at}.mode"), cause, fix);
    }
}

fn trusted(blocks: &[String], at: &str, report: &mut ValidationReport<'_>) {
    if blocks.is_empty() {
        let fix = "write the addresses of the load balancers in front, as `10.0.0.0/8`";
        report.refuse(Code::MissingField, at, "is empty: nobody is believed", fix);
    }
    report.at_most(at, blocks.len(), HttpConnections::XFF_TRUSTED_CIDRS_MAX);
    for (index, block) in blocks.iter().enumerate() {
        if Cidr::parse(block).is_none() {
            let at = format!("{at}[{index}]");
            report.bad(&at, &format!("cannot be `{block}`"), "write an IP address, or a block of them");
        }
    }
}

fn cidrs(blocks: &[String]) -> Vec<Cidr> {
    blocks.iter().filter_map(|block| Cidr::parse(block)).collect()
}

impl ClientTrafficSpec {
    /// All times, each with its path in `timeout`.
    fn times(&self) -> [(&'static str, Option<&str>); 6] {
        let tcp = self.timeout.as_ref().and_then(|timeout| timeout.tcp.as_ref());
        let http = self.timeout.as_ref().and_then(|timeout| timeout.http.as_ref());
        let of_http = |get: fn(&ClientHttpTimeoutSpec) -> &Option<String>| get(http?).as_deref();
        [
            ("tcp.idleTimeout", tcp.and_then(|tcp| tcp.idle_timeout.as_deref())),
            ("http.idleTimeout", of_http(|http| &http.idle_timeout)),
            ("http.streamIdleTimeout", of_http(|http| &http.stream_idle_timeout)),
            ("http.requestHeadersTimeout", of_http(|http| &http.request_headers_timeout)),
            ("http.requestReceivedTimeout", of_http(|http| &http.request_received_timeout)),
            ("http.maxConnectionDuration", of_http(|http| &http.max_connection_duration)),
        ]
    }

    /// What is meant.
    pub fn model(&self) -> ClientTraffic {
        let headers = self.headers.as_ref();
        let [
            tcp_idle_timeout,
            http_idle_timeout,
            stream_idle_timeout,
            request_headers_timeout,
            request_received_timeout,
            max_connection_duration,
        ] = self.times().map(|(_, text)| text.and_then(duration::parse_go));
        ClientTraffic {
            tcp_idle_timeout,
            http_idle_timeout,
            stream_idle_timeout,
            request_headers_timeout,
            request_received_timeout,
            max_connection_duration,
            proxy_protocol: self.proxy_protocol.as_ref().map(|proxy| ProxyProtocolIn {
                trusted_cidrs: cidrs(&proxy.trusted_cidrs),
                optional: proxy.optional.unwrap_or_default(),
            }),
            client_ip_detection: self.client_ip_detection.as_ref().and_then(ClientIpDetectionSpec::model),
            forward_client_cert: headers
                .and_then(|headers| headers.x_forwarded_client_cert.as_ref())
                .map(ForwardedClientCertSpec::model),
            with_underscores: headers.and_then(|headers| headers.with_underscores_action).map(|action| {
                match action {
                    UnderscoresSpec::Allow => UnderscoresAction::Allow,
                    UnderscoresSpec::RejectRequest => UnderscoresAction::RejectRequest,
                    UnderscoresSpec::DropHeader => UnderscoresAction::DropHeader,
                }
            }),
            request_id: headers.and_then(|headers| headers.request_id).map(|action| match action {
                RequestIdSpec::PreserveOrGenerate => RequestIdAction::PreserveOrGenerate,
                RequestIdSpec::Preserve => RequestIdAction::Preserve,
                RequestIdSpec::Generate => RequestIdAction::Generate,
                RequestIdSpec::Disable => RequestIdAction::Disable,
            }),
        }
    }
}

impl ClientIpDetectionSpec {
    fn model(&self) -> Option<ClientIpDetection> {
        if let Some(custom) = &self.custom_header {
            return Some(ClientIpDetection::CustomHeader(ClientAddressHeader {
                name: custom.name.to_ascii_lowercase().into(),
                trusted_cidrs: cidrs(&custom.trusted_cidrs),
                fail_closed: custom.fail_closed.unwrap_or_default(),
            }));
        }
        let forwarded = self.x_forwarded_for.as_ref()?;
        Some(match forwarded.num_trusted_hops {
            Some(hops) => ClientIpDetection::TrustedHops(hops),
            None => ClientIpDetection::TrustedCidrs(cidrs(&forwarded.trusted_cidrs)),
        })
    }
}

impl ForwardedClientCertSpec {
    fn model(&self) -> ForwardClientCert {
        let mode = match self.mode {
            None | Some(ForwardedClientCertMode::Sanitize) => ForwardClientCertMode::Sanitize,
            Some(ForwardedClientCertMode::ForwardOnly) => ForwardClientCertMode::ForwardOnly,
            Some(ForwardedClientCertMode::AppendForward) => ForwardClientCertMode::AppendForward,
            Some(ForwardedClientCertMode::SanitizeSet) => ForwardClientCertMode::SanitizeSet,
            Some(ForwardedClientCertMode::AlwaysForwardOnly) => ForwardClientCertMode::AlwaysForwardOnly,
        };
        let details = self.cert_details_to_add.iter().map(|detail| match detail {
            CertDetailSpec::Subject => ClientCertDetail::Subject,
            CertDetailSpec::Cert => ClientCertDetail::Cert,
            CertDetailSpec::Chain => ClientCertDetail::Chain,
            CertDetailSpec::Dns => ClientCertDetail::Dns,
            CertDetailSpec::Uri => ClientCertDetail::Uri,
        });
        let mut details: Vec<ClientCertDetail> = details.collect();
        details.sort_unstable();
        details.dedup();
        ForwardClientCert { mode, details }
    }
}
