//! Attached policies. What one says is JSON of its type in `model::traffic`, so that a field has one form.

use super::{DecodeError, bad, origin_in, origin_out};
use crate::proto::leno::mesh::v1 as p;
use model::traffic::{AttachLevel, AttachedPolicy};

pub(crate) fn attached_out(attached: &AttachedPolicy) -> p::AttachedPolicy {
    let level = match attached.level {
        AttachLevel::Gateway => p::AttachLevel::Gateway,
        AttachLevel::Listener => p::AttachLevel::Listener,
        AttachLevel::Route => p::AttachLevel::Route,
        AttachLevel::Rule => p::AttachLevel::Rule,
        AttachLevel::Backend => p::AttachLevel::Backend,
    };
    p::AttachedPolicy {
        level: level.into(),
        origin: Some(origin_out(&attached.origin)),
        created_s: attached.created_s,
        // Texts and numbers only: nothing of it cannot be written. An empty text is refused where it is read.
        policy: serde_json::to_string(&*attached.policy).unwrap_or_default(),
    }
}

pub(crate) fn attached_in(attached: p::AttachedPolicy) -> Result<AttachedPolicy, DecodeError> {
    let level = match p::AttachLevel::try_from(attached.level) {
        Ok(p::AttachLevel::Gateway) => AttachLevel::Gateway,
        Ok(p::AttachLevel::Listener) => AttachLevel::Listener,
        Ok(p::AttachLevel::Route) => AttachLevel::Route,
        Ok(p::AttachLevel::Rule) => AttachLevel::Rule,
        Ok(p::AttachLevel::Backend) => AttachLevel::Backend,
        Ok(p::AttachLevel::Unspecified) | Err(_) => {
            return Err(bad("level", format!("unknown value {}", attached.level)));
        }
    };
    Ok(AttachedPolicy {
        level,
        origin: origin_in(&attached.origin)?,
        created_s: attached.created_s,
        policy: serde_json::from_str(&attached.policy).map_err(|error| bad("policy", error.to_string()))?,
    })
}
