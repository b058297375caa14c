//! One `MeshSettings` object, and which of several is in force.

use super::{Unit, WorldReader};
use api::kinds::mesh_settings::{
    EscapedSlashesSetting, MeshSettingsSpec, NormalizationSetting, OutboundMode, upgrade_types,
};
use api::{Object, Spec, duration};
use model::address::MeshPrefix;
use model::authz::Cidr;
use model::settings::{
    Egress, EgressMode, EscapedSlashesAction, HttpConnections, Normalization, PathNormalization,
};
use model::{Code, Finding, MeshSettings, ObjectRef, Subscription};
use std::sync::Arc;
use std::time::Duration;

/// The name that the object is to have.
const NAME: &str = "default";

/// What one object says to proxies, if it is in force, and of names in any case.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CompiledSettings {
    settings: MeshSettings,
    /// Suffixes that the mesh owns.
    pub(crate) suffixes: Vec<Arc<str>>,
}

pub(crate) struct MeshSettingsUnit;

impl Unit for MeshSettingsUnit {
    type Key = Arc<str>;
    type Output = CompiledSettings;

    fn keys(object: &Object) -> Vec<Arc<str>> {
        match &object.spec {
            Spec::MeshSettings(_) => vec![object.meta.name.clone()],
            _ => Vec::new(),
        }
    }

    fn compile(name: &Arc<str>, read: &WorldReader<'_>) -> Option<CompiledSettings> {
        let (_, spec) = own(name, read)?;
        let suffixes = spec.dns.suffixes.iter().map(|suffix| Arc::from(suffix.as_str())).collect();
        Some(CompiledSettings { settings: settings(spec), suffixes })
    }

    fn touches(
        _name: &Arc<str>,
        _old: Option<&CompiledSettings>,
        _new: Option<&CompiledSettings>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        vec![Subscription::Mesh]
    }

    fn findings(name: &Arc<str>, read: &WorldReader<'_>) -> Vec<Finding> {
        let Some((object, spec)) = own(name, read) else { return Vec::new() };
        let own = read.started_as().trust_domain.as_str();
        let mut findings = Vec::new();
        if let Some(domain) = spec.trust_domain.as_deref().filter(|domain| *domain != own) {
            let cause = format!("trustDomain `{domain}` is not that of the running control plane, `{own}`");
            let fix = "write that one, or restart the control plane with the new one";
            findings.push(Finding::new(Code::BadValue, &object.at(spec.line), cause, fix));
        }
        let in_force = in_force(read.names("MeshSettings", None).into_iter());
        if let Some(winner) = in_force.filter(|winner| *winner != name) {
            let winner = ObjectRef::new("MeshSettings", "", winner);
            let cause = format!("{winner} is in force; of this one only `dns.suffixes` count");
            let fix = "put all settings into one object named `default`";
            findings.push(Finding::new(Code::Ignored, &object.at(spec.line), cause, fix));
        }
        findings
    }
}

fn own<'w>(name: &Arc<str>, read: &WorldReader<'w>) -> Option<(&'w Object, &'w MeshSettingsSpec)> {
    let object = read.own_object(&ObjectRef::new("MeshSettings", "", name))?;
    match &object.spec {
        Spec::MeshSettings(spec) => Some((object, spec)),
        _ => None,
    }
}

/// The one whose settings proxies get: that of the right name, else the first by name.
fn in_force<'a>(names: impl Iterator<Item = &'a Arc<str>>) -> Option<&'a Arc<str>> {
    names.min_by_key(|name| ***name != *NAME)
}

/// The settings that proxies get. Not noted.
pub(crate) fn settings_in_force(read: &WorldReader<'_>) -> MeshSettings {
    let all = &read.outputs().mesh_settings;
    let entry = in_force(all.keys()).and_then(|name| all.get(name));
    entry.map(|entry| entry.settings.clone()).unwrap_or_default()
}

/// What is not set is as by default.
fn settings(spec: &MeshSettingsSpec) -> MeshSettings {
    let http = &spec.http_connection_manager;
    let time = |text: &Option<String>, default: Duration| {
        text.as_deref().and_then(duration::parse).unwrap_or(default)
    };
    MeshSettings {
        path: PathNormalization {
            normalization: normalization(spec.path_normalization.normalization),
            escaped_slashes: escaped_slashes(spec.path_normalization.path_with_escaped_slashes_action),
        },
        http: HttpConnections {
            xff_num_trusted_hops: http.xff_num_trusted_hops.unwrap_or_default(),
            xff_trusted_cidrs: http.xff_trusted_cidrs.iter().filter_map(|text| Cidr::parse(text)).collect(),
            idle_timeout: time(&http.idle_timeout, HttpConnections::IDLE_TIMEOUT_DEFAULT),
            stream_idle_timeout: time(
                &http.stream_idle_timeout,
                HttpConnections::STREAM_IDLE_TIMEOUT_DEFAULT,
            ),
            upgrade_types: upgrade_types(&http.upgrade_configs).into_iter().map(Arc::from).collect(),
            upgrade_idle_timeout: time(
                &http.upgrade_idle_timeout,
                HttpConnections::UPGRADE_IDLE_TIMEOUT_DEFAULT,
            ),
        },
        ipv6_prefix: spec.dns.ipv6_prefix.as_deref().and_then(MeshPrefix::parse).unwrap_or_default(),
        egress: Egress {
            mode: match spec.outbound {
                None | Some(OutboundMode::AllowAny) => EgressMode::AllowAny,
                Some(OutboundMode::RegistryOnly) => EgressMode::RegistryOnly,
                Some(OutboundMode::AllowAnyDynamicDns) => EgressMode::AllowAnyDynamicDns,
            },
            allowed_metadata: spec.egress.allowed_metadata.iter().filter_map(|b| Cidr::parse(b)).collect(),
        },
    }
}

fn normalization(written: Option<NormalizationSetting>) -> Normalization {
    match written {
        None => Normalization::default(),
        Some(NormalizationSetting::None) => Normalization::None,
        Some(NormalizationSetting::Base) => Normalization::Base,
        Some(NormalizationSetting::MergeSlashes) => Normalization::MergeSlashes,
        Some(NormalizationSetting::DecodeAndMergeSlashes) => Normalization::DecodeAndMergeSlashes,
    }
}

fn escaped_slashes(written: Option<EscapedSlashesSetting>) -> EscapedSlashesAction {
    match written {
        None => EscapedSlashesAction::default(),
        Some(EscapedSlashesSetting::KeepUnchanged) => EscapedSlashesAction::KeepUnchanged,
        Some(EscapedSlashesSetting::RejectRequest) => EscapedSlashesAction::RejectRequest,
        Some(EscapedSlashesSetting::UnescapeAndRedirect) => EscapedSlashesAction::UnescapeAndRedirect,
        Some(EscapedSlashesSetting::UnescapeAndForward) => EscapedSlashesAction::UnescapeAndForward,
    }
}
