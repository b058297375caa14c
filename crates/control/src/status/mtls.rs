//! `GET /leno/v1/mtls`: what is known of who comes to each workload, and what STRICT would break. Its form is
//! `api::report::mtls`.

use crate::plane::Plane;
use crate::presence::{Registration, seconds};
use crate::strict::Witness;
use api::report::ModeReport;
use api::report::mtls::{
    CallerReport, ConnectionsReport, MtlsPlanReport, PlaintextReport, PortPlanReport, StrictReport,
    WorkloadPlanReport,
};
use decide::mtls::plan::{Breaks, PlaintextCause, PortPlan, SEEN_WINDOW, SeenCaller, StrictVerdict, plan};
use model::observed::ConnectionCount;
use model::time::rfc3339;
use model::{Resource, ResourceKey};
use std::time::SystemTime;

pub(super) fn mtls(plane: &Plane, now: SystemTime) -> MtlsPlanReport {
    let witness = Witness::new(&plane.presence, &plane.observed, now);
    let present = plane.presence.present().map(|(registration, _)| registration);
    let absent = plane.presence.absent(seconds(now)).map(|(registration, _)| registration);
    let mut workloads: Vec<_> =
        present.chain(absent).map(|registration| workload(registration, plane, &witness, now)).collect();
    workloads.sort_by(|a, b| a.uid.cmp(&b.uid));
    workloads.dedup_by(|a, b| a.uid == b.uid);
    MtlsPlanReport { window_seconds: SEEN_WINDOW.as_secs_f64(), workloads }
}

fn workload(
    registration: &Registration,
    plane: &Plane,
    witness: &Witness<'_>,
    now: SystemTime,
) -> WorkloadPlanReport {
    let (namespace, group) = (&registration.namespace, &registration.group);
    let told = plane.observed.find(&registration.uid);
    let seen = told.map(|told| &told.seen);
    let in_force = plane.world.mtls(namespace, group).unwrap_or_default();
    let inbound = translate::resource(&ResourceKey::Inbound(namespace.clone(), group.clone()), &plane.world);
    let declared = match &inbound {
        Some(Resource::Inbound(inbound)) => inbound.ports.as_slice(),
        _ => &[],
    };
    let declared = declared.iter().map(|port| port.port);
    let ports = plan(declared, &in_force, seen, now, |address| witness.proxy_at(address));
    let count = |count: &ConnectionCount| connections(count, now);
    WorkloadPlanReport {
        uid: registration.uid.to_string(),
        namespace: namespace.to_string(),
        group: group.to_string(),
        started: seen.map(|seen| rfc3339(seen.started)),
        reported: told.map(|told| rfc3339(told.at)),
        report_seconds: seen.map(|seen| seen.report_every.as_secs_f64()),
        ports: ports.iter().map(|plan| port(plan, witness, now)).collect(),
        plaintext_unnamed: seen.and_then(|seen| seen.plaintext.unnamed.as_ref()).map(count),
        refused_unnamed: seen.and_then(|seen| seen.refused.unnamed.as_ref()).map(count),
        mutual_tls_unnamed: seen.and_then(|seen| seen.mutual_tls.unnamed.as_ref()).map(count),
    }
}

fn port(plan: &PortPlan<'_>, witness: &Witness<'_>, now: SystemTime) -> PortPlanReport {
    let callers = |callers: &[SeenCaller<'_>]| {
        callers.iter().map(|seen| caller(seen, witness, now)).collect::<Vec<_>>()
    };
    let verdict = match plan.verdict {
        StrictVerdict::InForce => StrictReport::Strict,
        StrictVerdict::WouldBreak { .. } => StrictReport::WouldBreak,
        StrictVerdict::Ready => StrictReport::Ready,
        StrictVerdict::Unknown => StrictReport::Unknown,
    };
    PortPlanReport {
        port: plan.port,
        mode: ModeReport {
            mode: plan.mode.mode.as_str().into(),
            by: plan.mode.origin.as_ref().map(|origin| origin.object.to_string()),
        },
        plaintext: callers(&plan.plaintext),
        refused: callers(&plan.refused),
        mutual_tls: plan.mutual_tls.map(|count| connections(count, now)),
        verdict: Some(verdict),
    }
}

fn caller(seen: &SeenCaller<'_>, witness: &Witness<'_>, now: SystemTime) -> CallerReport {
    let registration = witness.at(seen.caller.address);
    let cause = match seen.cause {
        PlaintextCause::NoProxy => PlaintextReport::NoProxy,
        PlaintextCause::PastProxy => PlaintextReport::PastProxy,
        PlaintextCause::BeforeProxy => PlaintextReport::BeforeProxy,
        PlaintextCause::ByMode => PlaintextReport::ByMode,
    };
    CallerReport {
        address: seen.caller.address.to_string(),
        workload: registration.map(|registration| registration.uid.to_string()),
        identity: registration.map(|registration| registration.identity.to_string()),
        cause: Some(cause),
        breaks: seen.breaks == Breaks::Yes,
        connections: connections(seen.count, now),
    }
}

fn connections(count: &ConnectionCount, now: SystemTime) -> ConnectionsReport {
    ConnectionsReport {
        connections: count.total,
        open: count.open,
        last_seen: rfc3339(count.last),
        age_seconds: count.age(now).as_secs_f64(),
    }
}
