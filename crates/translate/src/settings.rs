//! What `MeshSettings` says to proxies.

use crate::world::World;
use api::kinds::mesh_settings::{EscapedSlashesSetting, MeshSettingsSpec, NormalizationSetting};
use api::{Object, Spec, duration};
use model::MeshSettings;
use model::authz::Cidr;
use model::settings::{EscapedSlashesAction, HttpConnections, Normalization, PathNormalization};
use std::time::Duration;

/// The name that the object is to have.
const NAME: &str = "default";

/// The object whose settings proxies get: the one of that name, else the first by name.
pub(crate) fn in_force(world: &World) -> Option<(&Object, &MeshSettingsSpec)> {
    let all = world.objects_of("MeshSettings", None).filter_map(|object| match &object.spec {
        Spec::MeshSettings(spec) => Some((&**object, spec)),
        _ => None,
    });
    all.min_by_key(|(object, _)| *object.meta.name != *NAME)
}

/// What is not set is as by default.
pub(crate) fn mesh_settings(world: &World) -> MeshSettings {
    let Some((_, spec)) = in_force(world) else { return MeshSettings::default() };
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
