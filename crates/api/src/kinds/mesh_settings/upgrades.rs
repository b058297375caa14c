//! `upgradeConfigs`: to which protocols a request may be upgraded. Read `model::settings::HttpConnections` next.

use crate::validation::ValidationReport;
use model::settings::HttpConnections;
use serde::Deserialize;

/// One protocol, with the fields of Envoy's `UpgradeConfig`. `websocket` is on where no entry names it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpgradeConfig {
    /// A name as in the header field `upgrade`, such as `websocket` or `SPDY/3.1`, or `CONNECT` for that method; case
    /// does not matter.
    pub upgrade_type: String,
    /// Absent: true.
    pub enabled: Option<bool>,
}

/// What the entries come to: the protocols that are on.
pub fn upgrade_types(configs: &[UpgradeConfig]) -> Vec<String> {
    let names_websocket = configs.iter().any(|config| config.names(HttpConnections::WEBSOCKET));
    let usual = (!names_websocket).then(|| HttpConnections::WEBSOCKET.to_owned());
    let named = configs.iter().filter(|config| config.enabled != Some(false));
    usual.into_iter().chain(named.map(|config| config.upgrade_type.to_ascii_lowercase())).collect()
}

impl UpgradeConfig {
    fn names(&self, protocol: &str) -> bool {
        self.upgrade_type.eq_ignore_ascii_case(protocol)
    }
}

pub(super) fn check(configs: &[UpgradeConfig], at: &str, report: &mut ValidationReport<'_>) {
    report.at_most(at, configs.len(), HttpConnections::UPGRADE_TYPES_MAX - 1);
    for (index, config) in configs.iter().enumerate() {
        let entry = format!("{at}[{index}]");
        let path = format!("{entry}.upgradeType");
        let written = &config.upgrade_type;
        if !is_protocol(written) {
            report.bad(&path, &format!("cannot be `{written}`"), "write a name such as `websocket`");
        } else if config.names("h2c") {
            let fix = "remove it; a client that knows HTTP/2 begins with it, on the same port";
            report.unsupported(&entry, "h2c", fix);
        }
        if configs.iter().take(index).any(|other| other.names(written)) {
            report.bad(&entry, &format!("`{written}` occurs twice"), "remove one of the two");
        }
    }
}

/// `name` or `name/version`, of the letters of a token (RFC 9110 section 7.8).
fn is_protocol(text: &str) -> bool {
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_token = |part: &str| !part.is_empty() && part.bytes().all(is_of_token);
    text.split('/').count() <= 2 && text.split('/').all(is_token)
}
