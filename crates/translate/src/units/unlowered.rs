//! Objects of kinds that are read and not in force yet: that is told of each.

use super::{Unit, WorldReader};
use api::{Object, Spec};
use model::{Code, Finding, ObjectRef, Subscription};

pub(crate) struct UnloweredUnit;

impl Unit for UnloweredUnit {
    type Key = ObjectRef;
    type Output = ();

    fn keys(object: &Object) -> Vec<ObjectRef> {
        advice(object).map(|_| object.object.clone()).into_iter().collect()
    }

    fn compile(_key: &ObjectRef, _read: &WorldReader<'_>) -> Option<()> {
        Some(())
    }

    fn touches(_: &ObjectRef, _: Option<&()>, _: Option<&()>, _: &WorldReader<'_>) -> Vec<Subscription> {
        Vec::new()
    }

    fn findings(key: &ObjectRef, read: &WorldReader<'_>) -> Vec<Finding> {
        let Some(object) = read.own_object(key) else { return Vec::new() };
        let finding = |(line, fix)| {
            let cause = format!("{key} is read, and not in force yet");
            Finding::new(Code::Ignored, &object.at(line), cause, fix)
        };
        advice(object).map(finding).into_iter().collect()
    }
}

/// The line of the `spec`, and what to write instead.
fn advice(object: &Object) -> Option<(u32, &'static str)> {
    match &object.spec {
        Spec::VirtualService(spec) => Some((
            spec.line,
            "use HTTPRoute for matches by path, header, query and method, weights, redirects, rewrites, header \
             edits, timeouts and retries",
        )),
        Spec::IstioGateway(spec) => {
            Some((spec.line, "use Gateway of gateway.networking.k8s.io/v1 with gatewayClassName leno"))
        }
        _ => None,
    }
}
