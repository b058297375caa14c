//! Settings of the mesh.

use super::policy::{cidr_in, cidr_out};
use super::{DecodeError, bad, duration_in, duration_out, list, needed, within};
use crate::proto::leno::mesh::v1 as p;
use bytes::Bytes;
use model::MeshSettings;
use model::address::MeshPrefix;
use model::settings::{
    Egress, EgressMode, EscapedSlashesAction, HttpConnections, Normalization, PathNormalization,
};
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn settings_out(settings: &MeshSettings) -> p::MeshSettings {
    p::MeshSettings {
        path: Some(path_out(settings.path)),
        http: Some(p::HttpConnectionManager {
            xff_num_trusted_hops: settings.http.xff_num_trusted_hops,
            xff_trusted_cidrs: settings.http.xff_trusted_cidrs.iter().map(cidr_out).collect(),
            idle_timeout: Some(duration_out(settings.http.idle_timeout)),
            stream_idle_timeout: Some(duration_out(settings.http.stream_idle_timeout)),
            upgrade_types: Some(p::UpgradeTypes {
                types: settings.http.upgrade_types.iter().map(|known| known.to_string()).collect(),
            }),
            upgrade_idle_timeout: Some(duration_out(settings.http.upgrade_idle_timeout)),
        }),
        ipv6_prefix: match settings.ipv6_prefix {
            MeshPrefix::DEFAULT => Bytes::new(),
            set => Bytes::copy_from_slice(&set.first().octets()),
        },
        // Proxies that do not know it need it only where something else than the default holds.
        egress: (settings.egress != Egress::default()).then(|| egress_out(&settings.egress)),
    }
}

pub(crate) fn settings_in(settings: p::MeshSettings) -> Result<MeshSettings, DecodeError> {
    let path = needed("path", &settings.path)?;
    let http = needed("http", &settings.http)?;
    Ok(MeshSettings {
        path: within("path", path_in(path))?,
        http: within("http", http_in(http))?,
        ipv6_prefix: prefix_in(&settings.ipv6_prefix)?,
        egress: match &settings.egress {
            Some(egress) => within("egress", egress_in(egress))?,
            None => Egress::default(),
        },
    })
}

fn egress_out(egress: &Egress) -> p::Egress {
    let mode = match egress.mode {
        EgressMode::AllowAny => p::EgressMode::AllowAny,
        EgressMode::RegistryOnly => p::EgressMode::RegistryOnly,
        EgressMode::AllowAnyDynamicDns => p::EgressMode::AllowAnyDynamicDns,
    };
    let allowed_metadata = egress.allowed_metadata.iter().map(cidr_out).collect();
    p::Egress { mode: mode.into(), allowed_metadata }
}

fn egress_in(egress: &p::Egress) -> Result<Egress, DecodeError> {
    let mode = match p::EgressMode::try_from(egress.mode) {
        Ok(p::EgressMode::AllowAny) => EgressMode::AllowAny,
        Ok(p::EgressMode::RegistryOnly) => EgressMode::RegistryOnly,
        Ok(p::EgressMode::AllowAnyDynamicDns) => EgressMode::AllowAnyDynamicDns,
        Ok(p::EgressMode::Unspecified) | Err(_) => {
            return Err(bad("mode", format!("unknown value {}", egress.mode)));
        }
    };
    Ok(Egress { mode, allowed_metadata: list("allowed_metadata", &egress.allowed_metadata, cidr_in)? })
}

fn prefix_in(bytes: &Bytes) -> Result<MeshPrefix, DecodeError> {
    if bytes.is_empty() {
        return Ok(MeshPrefix::DEFAULT);
    }
    let first = <[u8; 16]>::try_from(&bytes[..]).ok().and_then(|octets| MeshPrefix::of(octets.into()));
    first.ok_or_else(|| bad("ipv6_prefix", "not a /48 out of fd00::/8"))
}

fn path_out(path: PathNormalization) -> p::PathNormalization {
    let normalization = match path.normalization {
        Normalization::None => p::Normalization::None,
        Normalization::Base => p::Normalization::Base,
        Normalization::MergeSlashes => p::Normalization::MergeSlashes,
        Normalization::DecodeAndMergeSlashes => p::Normalization::DecodeAndMergeSlashes,
    };
    let escaped_slashes = match path.escaped_slashes {
        EscapedSlashesAction::KeepUnchanged => p::EscapedSlashesAction::KeepUnchanged,
        EscapedSlashesAction::RejectRequest => p::EscapedSlashesAction::RejectRequest,
        EscapedSlashesAction::UnescapeAndRedirect => p::EscapedSlashesAction::UnescapeAndRedirect,
        EscapedSlashesAction::UnescapeAndForward => p::EscapedSlashesAction::UnescapeAndForward,
    };
    p::PathNormalization { normalization: normalization.into(), escaped_slashes: escaped_slashes.into() }
}

fn path_in(path: &p::PathNormalization) -> Result<PathNormalization, DecodeError> {
    let normalization = match p::Normalization::try_from(path.normalization) {
        Ok(p::Normalization::None) => Normalization::None,
        Ok(p::Normalization::Base) => Normalization::Base,
        Ok(p::Normalization::MergeSlashes) => Normalization::MergeSlashes,
        Ok(p::Normalization::DecodeAndMergeSlashes) => Normalization::DecodeAndMergeSlashes,
        Ok(p::Normalization::Unspecified) | Err(_) => {
            return Err(bad("normalization", format!("unknown value {}", path.normalization)));
        }
    };
    let escaped_slashes = match p::EscapedSlashesAction::try_from(path.escaped_slashes) {
        Ok(p::EscapedSlashesAction::KeepUnchanged) => EscapedSlashesAction::KeepUnchanged,
        Ok(p::EscapedSlashesAction::RejectRequest) => EscapedSlashesAction::RejectRequest,
        Ok(p::EscapedSlashesAction::UnescapeAndRedirect) => EscapedSlashesAction::UnescapeAndRedirect,
        Ok(p::EscapedSlashesAction::UnescapeAndForward) => EscapedSlashesAction::UnescapeAndForward,
        Ok(p::EscapedSlashesAction::Unspecified) | Err(_) => {
            return Err(bad("escaped_slashes", format!("unknown value {}", path.escaped_slashes)));
        }
    };
    Ok(PathNormalization { normalization, escaped_slashes })
}

fn http_in(http: &p::HttpConnectionManager) -> Result<HttpConnections, DecodeError> {
    Ok(HttpConnections {
        xff_num_trusted_hops: http.xff_num_trusted_hops,
        xff_trusted_cidrs: list("xff_trusted_cidrs", &http.xff_trusted_cidrs, cidr_in)?,
        idle_timeout: timeout_in("idle_timeout", &http.idle_timeout)?,
        stream_idle_timeout: timeout_in("stream_idle_timeout", &http.stream_idle_timeout)?,
        upgrade_types: upgrade_types_in(http.upgrade_types.as_ref())?,
        upgrade_idle_timeout: match &http.upgrade_idle_timeout {
            None => HttpConnections::UPGRADE_IDLE_TIMEOUT_DEFAULT,
            set => timeout_in("upgrade_idle_timeout", set)?,
        },
    })
}

fn upgrade_types_in(types: Option<&p::UpgradeTypes>) -> Result<Vec<Arc<str>>, DecodeError> {
    let Some(p::UpgradeTypes { types }) = types else { return Ok(HttpConnections::default().upgrade_types) };
    match types.len() > HttpConnections::UPGRADE_TYPES_MAX {
        true => Err(bad("upgrade_types", format!("{} entries", types.len()))),
        false => Ok(types.iter().map(|known| known.as_str().into()).collect()),
    }
}

/// A time-out of zero would end everything at once, one without end nothing ever.
fn timeout_in(field: &str, duration: &Option<p::Duration>) -> Result<Duration, DecodeError> {
    let timeout = duration_in(field, needed(field, duration)?)?;
    match timeout.is_zero() || timeout > HttpConnections::TIMEOUT_MAX {
        true => Err(bad(field, format!("out of range: {timeout:?}"))),
        false => Ok(timeout),
    }
}
