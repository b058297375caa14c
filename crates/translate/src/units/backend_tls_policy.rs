//! One `BackendTLSPolicy`: the hosts whose endpoints are reached by TLS, and whom these must prove to be. Where that
//! cannot be known, nothing is sent to them.

use super::attached::{Attachment, attachment_touches, effective};
use super::host::{CompiledHost, backend_host, service_host};
use super::missing::about_missing;
use super::service_entry::entries_won;
use super::{Topic, Unit, WorldReader};
use crate::world::inputs::Pair;
use api::kinds::backend_tls_policy::{
    BackendTlsPolicySpec, BackendTlsTarget, BackendTlsValidation, SubjectAltNameType,
};
use api::{Object, Spec};
use model::backend_tls::{Authorities, BackendTls, SubjectAltName, TlsOrigination};
use model::traffic::{AttachLevel, AttachedPolicy, TrafficPolicy};
use model::{Code, Finding, Hostname, ObjectRef, Subscription};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a ConfigMap has its certificates (Gateway API, `CACertificateRefs`).
const CA_KEY: &str = "ca.crt";
const CERTIFICATE_BEGIN: &str = "-----BEGIN CERTIFICATE-----";

pub(crate) struct BackendTlsPolicyUnit;

impl Unit for BackendTlsPolicyUnit {
    type Key = Pair;
    type Output = Attachment;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::BackendTlsPolicy(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<Attachment> {
        let (object, spec) = own(key, read)?;
        let tls = match spec.is_unreadable {
            true => BackendTls::Unusable("the BackendTLSPolicy was refused".into()),
            false => tls(&key.0, &spec.validation, read),
        };
        let mut by_host: BTreeMap<Hostname, TrafficPolicy> = BTreeMap::new();
        for (host, port) in spec.target_refs.iter().flat_map(|target| targeted(&key.0, target, read)) {
            let policy = by_host.entry(host).or_default();
            match port {
                Some(port) => drop(policy.port_tls.insert(port, tls.clone())),
                None => policy.tls = Some(tls.clone()),
            }
        }
        let attached = by_host.into_iter().map(|(host, policy)| {
            let (level, origin, created_s) =
                (AttachLevel::Backend, object.at(spec.line), object.meta.created);
            (host, AttachedPolicy { level, origin, created_s, policy: Arc::new(policy) })
        });
        Some(Attachment::new(attached.collect()))
    }

    fn topics(_key: &Pair, attachment: &Attachment) -> Vec<Topic> {
        attachment.topics()
    }

    fn touches(
        _key: &Pair,
        old: Option<&Attachment>,
        new: Option<&Attachment>,
        read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        attachment_touches(old, new, read)
    }

    fn findings(key: &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        let Some((object, spec)) = own(key, read) else { return Vec::new() };
        let mut findings = missing_targets(key, object, spec, read);
        findings.extend(unreadable_authorities(key, object, spec, read));
        findings.extend(without_effect(key, object, spec, read));
        findings
    }
}

fn own<'w>(
    (namespace, name): &Pair,
    read: &WorldReader<'w>,
) -> Option<(&'w Object, &'w BackendTlsPolicySpec)> {
    let object = read.own_object(&ObjectRef::new("BackendTLSPolicy", namespace, name))?;
    match &object.spec {
        Spec::BackendTlsPolicy(spec) => Some((object, spec)),
        _ => None,
    }
}

/// The hosts that a target means, each with the port that is meant alone; none where it is not there.
fn targeted(
    namespace: &Arc<str>,
    target: &BackendTlsTarget,
    read: &WorldReader<'_>,
) -> Vec<(Hostname, Option<u16>)> {
    let pair = (namespace.clone(), Arc::from(&*target.name));
    let found = match &*target.kind {
        "Service" => read.service(&pair).zip(service_host(&pair)),
        "Backend" => read.backend(&pair).zip(backend_host(&pair)),
        "ServiceEntry" => {
            let hosts = entries_won(&pair, read).into_iter();
            return hosts.filter_map(|host| at_section(read.entry_host(&host)?, host, target)).collect();
        }
        _ => None,
    };
    found.and_then(|(entry, host)| at_section(entry, host, target)).into_iter().collect()
}

/// The port that is meant alone; `None`: there is none of that name.
fn at_section(
    entry: &CompiledHost,
    host: Hostname,
    target: &BackendTlsTarget,
) -> Option<(Hostname, Option<u16>)> {
    let Some(section) = &target.section_name else { return Some((host, None)) };
    let port = entry.service.ports.iter().find(|port| *port.name == **section)?;
    Some((host, Some(port.port)))
}

fn tls(namespace: &Arc<str>, validation: &BackendTlsValidation, read: &WorldReader<'_>) -> BackendTls {
    let authorities = match &validation.well_known_ca_certificates {
        Some(_) => Authorities::System,
        None => {
            let bundles = validation.ca_certificate_refs.iter();
            let bundles: Vec<&str> = bundles
                .filter_map(|ca| ca_bundle(namespace, &ca.group, &ca.kind, &ca.name, read).ok())
                .collect();
            if bundles.is_empty() {
                return BackendTls::Unusable("none of its caCertificateRefs can be read".into());
            }
            Authorities::Pem(bundles.join("\n").into())
        }
    };
    let names = validation.subject_alt_names.iter().filter_map(|name| match name.name_type {
        SubjectAltNameType::Hostname => Some(SubjectAltName::Hostname(name.hostname.as_deref()?.into())),
        SubjectAltNameType::Uri => Some(SubjectAltName::Uri(name.uri.as_deref()?.into())),
    });
    BackendTls::Originate(Box::new(TlsOrigination {
        server_name: Some(validation.hostname.as_str().into()),
        subject_alt_names: names.collect(),
        authorities,
        client_certificate: None,
    }))
}

/// The certificates that a reference leads to, or cause and fix where there are none.
fn ca_bundle<'w>(
    namespace: &Arc<str>,
    group: &str,
    kind: &str,
    name: &str,
    read: &WorldReader<'w>,
) -> Result<&'w str, (String, String)> {
    let target = ObjectRef::new(kind, namespace, name);
    if (group, kind) != ("", "ConfigMap") {
        let cause =
            format!("caCertificateRefs names {target}, and authorities are read from ConfigMaps alone");
        return Err((cause, format!("put them into a ConfigMap, under {CA_KEY}")));
    }
    let Some(Spec::ConfigMap(map)) = read.object(&target).map(|object| &object.spec) else {
        return Err(about_missing(&target, format!("{target} does not exist"), read));
    };
    match map.data.get(CA_KEY) {
        Some(text) if text.contains(CERTIFICATE_BEGIN) => Ok(text),
        _ => Err((
            format!("{target} has no certificate in PEM under {CA_KEY}"),
            format!("put the authorities there, each from {CERTIFICATE_BEGIN}"),
        )),
    }
}

fn missing_targets(
    key: &Pair,
    object: &Object,
    spec: &BackendTlsPolicySpec,
    read: &WorldReader<'_>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for target in spec.target_refs.iter().filter(|target| targeted(&key.0, target, read).is_empty()) {
        let meant = ObjectRef::new(&target.kind, &key.0, &target.name);
        let whole = BackendTlsTarget { section_name: None, ..target.clone() };
        let is_there = !targeted(&key.0, &whole, read).is_empty();
        let (code, (cause, fix)) = match &target.section_name {
            Some(section) if is_there => {
                let cause = format!("{meant} has no port named `{section}`");
                (Code::PortNotFound, (cause, "name a port of it, or leave out `sectionName`".to_owned()))
            }
            _ => (Code::ReferenceNotFound, about_missing(&meant, format!("{meant} does not exist"), read)),
        };
        findings.push(Finding::new(code, &object.at(target.line), cause, fix));
    }
    findings
}

fn unreadable_authorities(
    key: &Pair,
    object: &Object,
    spec: &BackendTlsPolicySpec,
    read: &WorldReader<'_>,
) -> Vec<Finding> {
    let refs = spec.validation.ca_certificate_refs.iter();
    let of = |ca: &api::kinds::backend_tls_policy::CaCertificateRef| {
        let (cause, fix) = ca_bundle(&key.0, &ca.group, &ca.kind, &ca.name, read).err()?;
        Some(Finding::new(Code::ReferenceNotFound, &object.at(ca.line), cause, fix))
    };
    refs.filter_map(of).collect()
}

/// Where workloads have proxies, and where another policy says the same.
fn without_effect(
    key: &Pair,
    object: &Object,
    spec: &BackendTlsPolicySpec,
    read: &WorldReader<'_>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for target in &spec.target_refs {
        let mut say = |cause: String, fix: &str, code| {
            findings.push(Finding::new(code, &object.at(target.line), cause, fix));
        };
        let pair = (key.0.clone(), Arc::from(&*target.name));
        if target.kind == "Service" && read.service(&pair).is_some_and(|entry| !entry.groups.is_empty()) {
            let cause = format!(
                "the workloads of {} have proxies, which are reached by mutual TLS of the mesh",
                ObjectRef::new("Service", &pair.0, &pair.1)
            );
            say(cause, "remove the target: the way to them is secured already", Code::Ignored);
        }
        for (host, port) in targeted(&key.0, target, read) {
            let effective = effective(&host, read);
            let field = port.map_or(effective.tls.as_ref(), |port| effective.port_tls.get(&port));
            if let Some(field) = field.filter(|field| field.origin.object != object.object) {
                let cause = format!(
                    "has no effect on {host}: {} says it too, and is older or first by name",
                    field.origin.object
                );
                say(cause, "remove one of the two", Code::Outvoted);
            }
        }
    }
    findings
}
