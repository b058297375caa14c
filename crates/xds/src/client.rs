//! The client's side of a control stream, sans-IO. It outlives connections: what it holds and wants is said
//! again after a reconnect, and only differences come back.
//!
//! A resource that cannot be read is refused by itself: the last good one stays, the error is reported until
//! it is mended, and a policy that was never readable stands as one that denies everything.

use crate::TYPE_URL;
use crate::proto::google::rpc;
use crate::proto::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, ProxyNode, Resource as WireResource,
};
use crate::status::Code;
use crate::wire::{self, Combined};
use model::authz::{Action, Policy, Rule};
use model::probe::ApplicationHealth;
use model::{ObjectRef, Origin, Resource, ResourceKey, Subscription};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Refused resources named in one report; the rest is counted.
const REFUSALS_NAMED_MAX: usize = 8;
/// Stands for the version of what could not be read. No true version is so short, so the server sends the
/// resource again, or removes it.
pub const REFUSED_VERSION: &str = "refused";

/// What one response changes. Apply all of it, then send [`ClientSession::ack`].
#[derive(Debug, Default, PartialEq)]
pub struct Update {
    /// Of the response; for [`ClientSession::ack`].
    pub nonce: String,
    /// New or changed.
    pub upserts: Vec<(ResourceKey, Resource)>,
    /// Gone.
    pub removed: Vec<ResourceKey>,
    /// Subscriptions that lead to nothing now.
    pub absent: Vec<Subscription>,
    /// Subscriptions answered for the first time since they were asked for.
    pub answered: Vec<Subscription>,
    /// All subscriptions that the server adds by itself, as far as told.
    pub implied: Vec<Subscription>,
    /// Resource names that were refused, and why.
    pub refused: Vec<(String, String)>,
}

/// The whole response was refused; `request` tells the server so.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct RefusedResponse {
    /// To be sent.
    pub request: Box<DeltaDiscoveryRequest>,
    /// Why.
    pub cause: String,
}

/// What a client wants and holds.
#[derive(Default)]
pub struct ClientSession {
    connected: bool,
    wanted: BTreeSet<Subscription>,
    implied: Vec<Subscription>,
    held: HashMap<Arc<str>, Arc<str>>,
    hash: Combined,
    refused: BTreeMap<String, String>,
    /// Held, but not in force.
    unmet: BTreeMap<String, String>,
    /// As told last, or to be told on the next stream.
    health: Option<ApplicationHealth>,
}

impl ClientSession {
    /// Holds nothing, wants nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Holds what was kept from an earlier run, with the versions that it came with. What stands in for an
    /// unreadable policy comes as [`REFUSED_VERSION`] and is asked for again.
    pub fn restore(held: impl IntoIterator<Item = (ResourceKey, Arc<str>)>) -> Self {
        let mut session = Self::default();
        for (key, version) in held {
            if *version == *REFUSED_VERSION {
                session.refused.insert(key.to_string(), "could not be read before the restart".to_owned());
            } else {
                session.hold(key.to_string().into(), version);
            }
        }
        session
    }

    /// The first request on a new stream: everything wanted, and what is held.
    pub fn on_connect(&mut self, node: ProxyNode) -> DeltaDiscoveryRequest {
        self.connected = true;
        // Refused ones are named too, without a true version, so that the server resends or removes them.
        let refused = self.refused.keys().map(|name| (name.clone(), REFUSED_VERSION.to_owned()));
        let held = self.held.iter().map(|(name, version)| (name.to_string(), version.to_string()));
        DeltaDiscoveryRequest {
            node: Some(Node {
                id: node.uid.clone(),
                user_agent_name: "leno".to_owned(),
                proxy: Some(node),
                ..Node::default()
            }),
            resource_names_subscribe: texts(&self.wanted),
            initial_resource_versions: refused.chain(held).collect(),
            applied: self.hash.to_bytes(),
            health: self.health.as_ref().map(wire::health_out),
            ..request()
        }
    }

    /// The stream broke. What is held and wanted stays.
    pub fn on_disconnect(&mut self) {
        self.connected = false;
    }

    /// Wants more. The request, if any, must be sent; without a connection it is said at the next one.
    pub fn subscribe(&mut self, subscriptions: &[Subscription]) -> Option<DeltaDiscoveryRequest> {
        let new: BTreeSet<_> = subscriptions.iter().filter(|s| self.wanted.insert((*s).clone())).collect();
        (self.connected && !new.is_empty())
            .then(|| DeltaDiscoveryRequest { resource_names_subscribe: texts(new), ..request() })
    }

    /// Wants less. What belonged to nothing else comes back as removed.
    pub fn unsubscribe(&mut self, subscriptions: &[Subscription]) -> Option<DeltaDiscoveryRequest> {
        let gone: BTreeSet<_> = subscriptions.iter().filter(|s| self.wanted.remove(*s)).collect();
        (self.connected && !gone.is_empty())
            .then(|| DeltaDiscoveryRequest { resource_names_unsubscribe: texts(gone), ..request() })
    }

    /// Tells what is known of the application. The request, if any, must be sent; without a connection it is said at the
    /// next one.
    pub fn tell_health(&mut self, health: &ApplicationHealth) -> Option<DeltaDiscoveryRequest> {
        let is_new = self.health.as_ref() != Some(health);
        if is_new {
            self.health = Some(health.clone());
        }
        let message = || DeltaDiscoveryRequest { health: Some(wire::health_out(health)), ..request() };
        (self.connected && is_new).then(message)
    }

    /// Reads a response. `Err`: none of it counts.
    pub fn on_response(&mut self, response: DeltaDiscoveryResponse) -> Result<Update, RefusedResponse> {
        if response.type_url != TYPE_URL {
            let cause = format!("unknown type url {:?}", response.type_url);
            return Err(RefusedResponse {
                request: Box::new(self.nack(&response.nonce, cause.clone())),
                cause,
            });
        }
        if let Some(implied) = &response.implied {
            self.implied = parse_all(&implied.subscriptions);
        }
        let mut update = Update {
            nonce: response.nonce,
            absent: parse_all(&response.absent),
            answered: parse_all(&response.answered),
            implied: self.implied.clone(),
            ..Update::default()
        };
        for resource in response.resources {
            self.take(resource, &mut update);
        }
        for name in response.removed_resources {
            let known = self.refused.remove(&name).is_some() | self.release(&name);
            if let (true, Some(key)) = (known, ResourceKey::parse(&name)) {
                update.removed.push(key);
            }
        }
        Ok(update)
    }

    /// Confirms the response with this nonce, or says once more how it went: `applied` is what really runs now. As
    /// long as a resource is refused or not in force this is a NACK, and the server does not count us as in sync.
    pub fn ack(&self, nonce: &str, applied: Combined) -> DeltaDiscoveryRequest {
        let complaints = self.refused.len() + self.unmet.len();
        let error_detail = (complaints > 0).then(|| {
            let named = self.refused.iter().chain(&self.unmet).take(REFUSALS_NAMED_MAX);
            let mut message =
                named.map(|(name, why)| format!("{name}: {why}")).collect::<Vec<_>>().join("; ");
            if complaints > REFUSALS_NAMED_MAX {
                message.push_str(&format!("; and {} more", complaints - REFUSALS_NAMED_MAX));
            }
            rpc::Status { code: Code::InvalidArgument as i32, message }
        });
        DeltaDiscoveryRequest {
            response_nonce: nonce.to_owned(),
            applied: applied.to_bytes(),
            error_detail,
            ..request()
        }
    }

    /// Refuses the response with this nonce for a reason outside this session (it could not be applied).
    pub fn nack(&self, nonce: &str, cause: String) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            response_nonce: nonce.to_owned(),
            applied: self.hash.to_bytes(),
            error_detail: Some(rpc::Status { code: Code::InvalidArgument as i32, message: cause }),
            ..request()
        }
    }

    /// What of the resources held cannot be put in force, and why: told with every [`ClientSession::ack`] from now on.
    /// Whether that differs from before.
    pub fn complain(&mut self, unmet: BTreeMap<String, String>) -> bool {
        let is_new = unmet != self.unmet;
        self.unmet = unmet;
        is_new
    }

    /// The combined hash of what was accepted so far: what [`ClientSession::ack`] should carry once it is applied.
    pub fn held_hash(&self) -> Combined {
        self.hash
    }

    /// The version under which a resource in force is to be kept on disk: its own, or [`REFUSED_VERSION`] for
    /// what stands in for an unreadable policy. `None`: it is none of this session's.
    pub fn version(&self, name: &str) -> Option<Arc<str>> {
        let refused = || self.refused.contains_key(name).then(|| REFUSED_VERSION.into());
        self.held.get(name).cloned().or_else(refused)
    }

    /// What is asked for (without what is implied).
    pub fn wanted(&self) -> impl Iterator<Item = &Subscription> {
        self.wanted.iter()
    }

    fn take(&mut self, resource: WireResource, update: &mut Update) {
        let name = resource.name;
        let Some(key) = ResourceKey::parse(&name) else {
            return self.refuse(name, "unknown kind of name".to_owned(), update);
        };
        let decoded = match &resource.resource {
            Some(any) => wire::decode(any).map_err(|error| error.to_string()),
            None => Err("no content".to_owned()),
        };
        let decoded = decoded.and_then(|content| match wire::is_under(&key, &content) {
            true => Ok(content),
            false => Err("content of another kind or name".to_owned()),
        });
        match decoded {
            Ok(content) => {
                self.refused.remove(&name);
                self.hold(name.into(), resource.version.into());
                update.upserts.push((key, content));
            }
            Err(why) => {
                if let (Some((namespace, policy)), false) =
                    (key.policy(), self.held.contains_key(name.as_str()))
                {
                    let content = Resource::Policy(deny_all(namespace, policy));
                    update.upserts.push((key, content));
                }
                self.refuse(name, why, update);
            }
        }
    }

    fn refuse(&mut self, name: String, why: String, update: &mut Update) {
        self.refused.insert(name.clone(), why.clone());
        update.refused.push((name, why));
    }

    fn hold(&mut self, name: Arc<str>, version: Arc<str>) {
        self.release(&name);
        self.hash.toggle(&name, &version);
        self.held.insert(name, version);
    }

    fn release(&mut self, name: &str) -> bool {
        match self.held.remove(name) {
            Some(version) => {
                self.hash.toggle(name, &version);
                true
            }
            None => false,
        }
    }
}

fn request() -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { type_url: TYPE_URL.to_owned(), ..DeltaDiscoveryRequest::default() }
}

fn texts<'a>(subscriptions: impl IntoIterator<Item = &'a Subscription>) -> Vec<String> {
    subscriptions.into_iter().map(Subscription::to_string).collect()
}

fn parse_all(names: &[String]) -> Vec<Subscription> {
    names.iter().filter_map(|name| Subscription::parse(name)).collect()
}

/// Stands for a policy that we cannot read and of which there is no earlier version.
pub fn deny_all(namespace: &str, name: &str) -> Policy {
    Policy {
        origin: Origin {
            object: ObjectRef::new("AuthorizationPolicy", namespace, name),
            file: "".into(),
            line: 0,
        },
        action: Action::Deny,
        rules: vec![Rule::default()],
        dry_run: false,
    }
}
