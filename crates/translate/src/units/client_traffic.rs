//! What one `TrafficPolicy` says of who calls gateways, and what holds at a gateway's listeners where several do.

use super::missing::about_missing;
use super::{Topic, Unit, UnitKey, WorldReader};
use crate::world::inputs::Pair;
use api::fields::target_ref::PolicyTarget;
use api::kinds::traffic_policy::TrafficPolicySpec;
use api::{Object, Spec};
use decide::client_traffic::{ClientPolicy, MergedClientTraffic, merge};
use model::client_traffic::ClientTraffic;
use model::listener::{GatewayListener, ListenerProtocol};
use model::{Code, Finding, ObjectRef, Origin, Subscription};
use std::sync::Arc;

/// What a policy says, and of which gateways.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClientAttachment {
    gateways: Vec<ClientTarget>,
    settings: ClientTraffic,
    origin: Origin,
    created_s: u64,
}

/// A gateway, or a listener of it.
#[derive(Clone, Debug, PartialEq)]
struct ClientTarget {
    gateway: Pair,
    listener: Option<Arc<str>>,
}

pub(crate) struct ClientTrafficUnit;

impl Unit for ClientTrafficUnit {
    type Key = Pair;
    type Output = ClientAttachment;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::TrafficPolicy(spec) if spec.client.is_some() => {
                vec![(object.meta.namespace.clone(), object.meta.name.clone())]
            }
            _ => Vec::new(),
        }
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<ClientAttachment> {
        let (object, spec) = own(key, read)?;
        let client = spec.client.as_ref()?;
        let gateways = spec.gateways().map(|target| ClientTarget {
            gateway: (key.0.clone(), target.name.as_str().into()),
            listener: target.section_name.as_deref().map(Into::into),
        });
        Some(ClientAttachment {
            gateways: gateways.collect(),
            settings: client.model(),
            origin: object.at(client.line),
            created_s: object.meta.created,
        })
    }

    fn topics(_key: &Pair, attachment: &ClientAttachment) -> Vec<Topic> {
        attachment.gateways.iter().map(|target| Topic::ClientsOf(target.gateway.clone())).collect()
    }

    /// The gateways are compiled anew, and concern whom they concern.
    fn touches(
        _key: &Pair,
        _old: Option<&ClientAttachment>,
        _new: Option<&ClientAttachment>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        Vec::new()
    }

    fn findings(key: &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        let Some((object, spec)) = own(key, read) else { return Vec::new() };
        let mut findings = Vec::new();
        for target in spec.gateways() {
            match read.gateway(&(key.0.clone(), target.name.as_str().into())) {
                None => findings.push(missing(key, object, target, read)),
                Some(gateway) => {
                    findings.extend(about_listeners(key, object, target, gateway.listeners(), read));
                }
            }
        }
        findings
    }
}

fn own<'w>((namespace, name): &Pair, read: &WorldReader<'w>) -> Option<(&'w Object, &'w TrafficPolicySpec)> {
    let object = read.own_object(&ObjectRef::new("TrafficPolicy", namespace, name))?;
    match &object.spec {
        Spec::TrafficPolicy(spec) => Some((object, spec)),
        _ => None,
    }
}

/// Writes into a gateway's listeners what holds of who calls them.
pub(super) fn apply(gateway: &Pair, listeners: &mut [GatewayListener], read: &WorldReader<'_>) {
    let attached = attached(gateway, read);
    if attached.is_empty() {
        return;
    }
    for listener in listeners {
        let settings = merged(gateway, &listener.name, &attached).settings;
        listener.client = (settings != ClientTraffic::default()).then(|| Arc::new(settings));
    }
}

fn attached<'w>(gateway: &Pair, read: &WorldReader<'w>) -> Vec<&'w ClientAttachment> {
    let members = read.members(Topic::ClientsOf(gateway.clone())).into_iter();
    let policies = members.filter_map(|member| match member {
        UnitKey::ClientTraffic(pair) => read.client_traffic(pair),
        _ => None,
    });
    policies.collect()
}

/// What holds at one listener; the indices are those of `attached`.
fn merged(gateway: &Pair, listener: &str, attached: &[&ClientAttachment]) -> MergedClientTraffic {
    let names = |attachment: &&ClientAttachment, of_listener: bool| {
        attachment.gateways.iter().any(|target| {
            target.gateway == *gateway
                && match &target.listener {
                    Some(name) => of_listener && **name == *listener,
                    None => !of_listener,
                }
        })
    };
    let silent = ClientTraffic::default();
    let policies = attached.iter().map(|attachment| {
        let names_listener = names(attachment, true);
        let is_meant = names_listener || names(attachment, false);
        ClientPolicy {
            names_listener,
            created_s: attachment.created_s,
            origin: &attachment.origin,
            settings: if is_meant { &attachment.settings } else { &silent },
        }
    });
    merge(&policies.collect::<Vec<_>>())
}

fn missing(key: &Pair, object: &Object, target: &PolicyTarget, read: &WorldReader<'_>) -> Finding {
    let meant = ObjectRef::new("Gateway", &key.0, &target.name);
    let (cause, fix) = about_missing(&meant, format!("{meant} does not exist"), read);
    Finding::new(Code::ReferenceNotFound, &object.at(target.line), cause, fix)
}

fn about_listeners(
    key: &Pair,
    object: &Object,
    target: &PolicyTarget,
    listeners: &[GatewayListener],
    read: &WorldReader<'_>,
) -> Vec<Finding> {
    let gateway: Pair = (key.0.clone(), target.name.as_str().into());
    let is_meant = |listener: &&GatewayListener| {
        target.section_name.as_deref().is_none_or(|name| *listener.name == *name)
    };
    let meant: Vec<&GatewayListener> = listeners.iter().filter(is_meant).collect();
    let at = object.at(target.line);
    if let (true, Some(section)) = (meant.is_empty(), &target.section_name) {
        let names: Vec<&str> = listeners.iter().map(|listener| &*listener.name).collect();
        let cause = format!("Gateway {}/{} has no listener `{section}`", gateway.0, gateway.1);
        let fix = match api::suggest::nearest(section, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "name a listener of the Gateway".to_owned(),
        };
        return vec![Finding::new(Code::ReferenceNotFound, &at, cause, fix)];
    }
    let attached = attached(&gateway, read);
    let own = attached.iter().position(|attachment| attachment.origin.object == object.object);
    let mut findings = Vec::new();
    for listener in meant {
        let outvoted = merged(&gateway, &listener.name, &attached).outvoted;
        for (_, field, by) in outvoted.into_iter().filter(|(index, ..)| Some(*index) == own) {
            let by = attached.get(by).map(|by| by.origin.object.to_string()).unwrap_or_default();
            let cause = format!(
                "client.{field} has no effect at listener `{}`: {by} says it too, and is older or first by name",
                listener.name
            );
            findings.push(Finding::new(Code::Outvoted, &at, cause, "remove it from one of the two"));
        }
        findings.extend(shared_port(&at, listener, listeners));
    }
    findings
}

/// What is said of one listener while another one of its port, which only the host of a request tells apart, is another.
fn shared_port(at: &Origin, listener: &GatewayListener, all: &[GatewayListener]) -> Option<Finding> {
    let at_place = |other: &&GatewayListener| {
        other.place() == listener.place()
            && other.protocol != ListenerProtocol::Udp
            && other.name != listener.name
    };
    let others = || all.iter().filter(at_place);
    let proxied = |listener: &GatewayListener| {
        listener.client.as_ref().and_then(|client| client.proxy_protocol.clone())
    };
    let differs = |other: &GatewayListener| match listener.tls.is_some() {
        // The server name tells them apart, but for what comes before TLS.
        true => proxied(other) != proxied(listener),
        false => other.client != listener.client,
    };
    let other = others().find(|other| differs(other))?;
    let cause = format!(
        "listener `{}` has the port of listener `{}`, of whose callers something else is said: a connection comes to \
         both, and what the first of them says that says anything counts for it",
        listener.name, other.name
    );
    let fix = "say it of the Gateway, or give the listener a port of its own";
    Some(Finding::new(Code::Ignored, at, cause, fix))
}
