//! The server's side of one control stream, sans-IO: requests and changes in, responses out.
//!
//! At most one response is in flight; what changes meanwhile goes into the next one. A resource may belong
//! to several subscriptions and is sent once. Who may see what is the [`Catalog`]'s business: what it does
//! not return does not exist for this stream.

use crate::TYPE_URL;
use crate::proto::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Implied, ProxyNode, Resource};
use crate::status::{Code, Status};
use crate::wire::{Combined, Encoded};
use model::Subscription;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

/// More subscriptions on one stream end it.
pub const SUBSCRIPTIONS_MAX: usize = 20_000;
/// More resources claimed by a reconnecting client end the stream.
pub const INITIAL_VERSIONS_MAX: usize = 200_000;

/// A client's NACK message is kept up to this many characters; the rest is cut off.
pub const NACK_MESSAGE_CHARS_MAX: usize = 1024;

/// What one client may see.
pub trait Catalog {
    /// All resources of a subscription, each once; none: it does not exist (or not for this client).
    fn members(&self, subscription: &Subscription) -> Vec<Arc<Encoded>>;
    /// What the client has without asking.
    fn implied(&self) -> Vec<Subscription>;
}

/// Why a stream must be ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Only [`TYPE_URL`] is served.
    #[error("unknown type url {0:?}")]
    TypeUrl(String),
    /// See [`SUBSCRIPTIONS_MAX`].
    #[error("more than {SUBSCRIPTIONS_MAX} subscriptions")]
    TooManySubscriptions,
    /// See [`INITIAL_VERSIONS_MAX`].
    #[error("more than {INITIAL_VERSIONS_MAX} initial versions")]
    TooManyVersions,
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let code = match fault {
            Fault::TypeUrl(_) => Code::InvalidArgument,
            Fault::TooManySubscriptions | Fault::TooManyVersions => Code::ResourceExhausted,
        };
        Status::new(code, fault.to_string())
    }
}

/// How far the client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStatus {
    /// What the client should run.
    pub sent: Combined,
    /// What it says it runs.
    pub applied: Combined,
    /// Everything was sent, confirmed without an error, and runs.
    pub synced: bool,
    /// The last NACK of the client, until it runs everything.
    pub last_error: Option<String>,
    /// Number of resources it should hold.
    pub resources: usize,
    /// Since when `synced` is what it is.
    pub since: SystemTime,
}

/// One stream.
pub struct ServerSession {
    node: Option<ProxyNode>,
    subscriptions: BTreeMap<Subscription, State>,
    implied: Vec<Subscription>,
    /// The list changed since it was last sent.
    implied_changed: bool,
    held: HashMap<Arc<str>, Held>,
    sent: Combined,
    applied: Combined,
    /// To be looked at again for the next response.
    dirty: BTreeSet<Subscription>,
    /// Perhaps no longer part of any subscription.
    orphans: BTreeSet<Arc<str>>,
    /// Asked for, but not even readable: answered as absent.
    unreadable: BTreeSet<String>,
    in_flight: Option<String>,
    nonces: u64,
    last_error: Option<String>,
    synced: bool,
    since: SystemTime,
    wall: Box<dyn Fn() -> SystemTime + Send>,
}

#[derive(Default)]
struct State {
    asked: bool,
    implied: bool,
    answered: bool,
    absent: bool,
    members: Vec<Arc<str>>,
}

#[derive(Default)]
struct Held {
    /// `None`: not sent yet.
    version: Option<Arc<str>>,
    /// Subscriptions that it belongs to.
    owners: u32,
}

impl ServerSession {
    /// A stream on which nothing was said yet. `wall` is the wall clock.
    pub fn new(wall: impl Fn() -> SystemTime + Send + 'static) -> Self {
        Self {
            node: None,
            subscriptions: BTreeMap::new(),
            implied: Vec::new(),
            implied_changed: false,
            held: HashMap::new(),
            sent: Combined::default(),
            applied: Combined::default(),
            dirty: BTreeSet::new(),
            orphans: BTreeSet::new(),
            unreadable: BTreeSet::new(),
            in_flight: None,
            nonces: 0,
            last_error: None,
            synced: false,
            since: wall(),
            wall: Box::new(wall),
        }
    }

    /// What the client said about itself; `None` before its first request. Not proven by anything.
    pub fn node(&self) -> Option<&ProxyNode> {
        self.node.as_ref()
    }

    /// All current subscriptions, asked for and implied.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.keys()
    }

    /// Takes a request (a question, a confirmation, or both). The response, if any, must be sent.
    pub fn on_request(
        &mut self,
        request: DeltaDiscoveryRequest,
        catalog: &dyn Catalog,
    ) -> Result<Option<DeltaDiscoveryResponse>, Fault> {
        if !request.type_url.is_empty() && request.type_url != TYPE_URL {
            return Err(Fault::TypeUrl(request.type_url));
        }
        if self.node.is_none() {
            self.begin(&request)?;
        }
        self.confirm(&request);
        for name in &request.resource_names_unsubscribe {
            if let Some(subscription) = Subscription::parse(name) {
                self.drop_asked(&subscription);
            }
        }
        for name in request.resource_names_subscribe {
            match Subscription::parse(&name) {
                Some(subscription) => self.ask(subscription),
                None => _ = self.unreadable.insert(name),
            }
            // At once: a request has room for a million names.
            if self.subscriptions.len() + self.unreadable.len() > SUBSCRIPTIONS_MAX {
                return Err(Fault::TooManySubscriptions);
            }
        }
        self.refresh_implied(catalog);
        Ok(self.advance(catalog))
    }

    /// Tells that what belongs to `touched` may have changed, or what is implied. The response, if any,
    /// must be sent.
    pub fn on_change(
        &mut self,
        touched: &HashSet<Subscription>,
        catalog: &dyn Catalog,
    ) -> Option<DeltaDiscoveryResponse> {
        self.node.as_ref()?;
        if touched.len() < self.subscriptions.len() {
            self.dirty.extend(touched.iter().filter(|s| self.subscriptions.contains_key(*s)).cloned());
        } else {
            self.dirty.extend(self.subscriptions.keys().filter(|s| touched.contains(*s)).cloned());
        }
        self.refresh_implied(catalog);
        self.advance(catalog)
    }

    /// How far the client is.
    pub fn status(&self) -> SessionStatus {
        SessionStatus {
            sent: self.sent,
            applied: self.applied,
            synced: self.synced,
            last_error: self.last_error.clone(),
            resources: self.held.len(),
            since: self.since,
        }
    }

    fn begin(&mut self, request: &DeltaDiscoveryRequest) -> Result<(), Fault> {
        if request.initial_resource_versions.len() > INITIAL_VERSIONS_MAX {
            return Err(Fault::TooManyVersions);
        }
        self.node = Some(request.node.as_ref().and_then(|node| node.proxy.clone()).unwrap_or_default());
        for (name, version) in &request.initial_resource_versions {
            let name: Arc<str> = name.as_str().into();
            self.sent.toggle(&name, version);
            self.orphans.insert(name.clone());
            self.held.insert(name, Held { version: Some(version.as_str().into()), owners: 0 });
        }
        self.applied = self.sent;
        Ok(())
    }

    fn confirm(&mut self, request: &DeltaDiscoveryRequest) {
        if let Some(applied) = Combined::from_bytes(&request.applied) {
            self.applied = applied;
        }
        // The last response may be judged again: what could not be put in force then may be now.
        if self.nonces == 0 || request.response_nonce != self.nonces.to_string() {
            return;
        }
        self.in_flight = None;
        match &request.error_detail {
            Some(error) => {
                self.last_error = Some(error.message.chars().take(NACK_MESSAGE_CHARS_MAX).collect());
            }
            None if self.applied == self.sent => self.last_error = None,
            None => {}
        }
    }

    fn ask(&mut self, subscription: Subscription) {
        let state = self.subscriptions.entry(subscription.clone()).or_default();
        state.asked = true;
        state.answered = false;
        self.dirty.insert(subscription);
    }

    fn drop_asked(&mut self, subscription: &Subscription) {
        if let Some(state) = self.subscriptions.get_mut(subscription) {
            state.asked = false;
            self.forget_if_unused(subscription);
        }
    }

    fn forget_if_unused(&mut self, subscription: &Subscription) {
        if self.subscriptions.get(subscription).is_none_or(|state| state.asked || state.implied) {
            return;
        }
        let members = self.subscriptions.remove(subscription).map(|state| state.members).unwrap_or_default();
        self.dirty.remove(subscription);
        for name in members {
            self.disown(name);
        }
    }

    fn disown(&mut self, name: Arc<str>) {
        if let Some(held) = self.held.get_mut(&name) {
            debug_assert!(held.owners > 0, "a resource lost an owner that it did not have");
            held.owners = held.owners.saturating_sub(1);
            if held.owners == 0 {
                self.orphans.insert(name);
            }
        }
    }

    fn refresh_implied(&mut self, catalog: &dyn Catalog) {
        let implied = catalog.implied();
        if implied == self.implied && self.nonces > 0 {
            return;
        }
        let before = std::mem::replace(&mut self.implied, implied.clone());
        self.implied_changed = true;
        for subscription in &before {
            if !implied.contains(subscription) {
                if let Some(state) = self.subscriptions.get_mut(subscription) {
                    state.implied = false;
                }
                self.forget_if_unused(subscription);
            }
        }
        for subscription in implied {
            let state = self.subscriptions.entry(subscription.clone()).or_default();
            if !state.implied {
                state.implied = true;
                self.dirty.insert(subscription);
            }
        }
    }

    /// Makes the next response unless one is in flight or there is nothing to say.
    fn advance(&mut self, catalog: &dyn Catalog) -> Option<DeltaDiscoveryResponse> {
        let response = if self.in_flight.is_none() { self.respond(catalog) } else { None };
        let idle = self.in_flight.is_none() && self.dirty.is_empty() && self.node.is_some();
        let synced = idle && self.last_error.is_none() && self.applied == self.sent;
        if synced != self.synced {
            self.synced = synced;
            self.since = (self.wall)();
        }
        response
    }

    fn respond(&mut self, catalog: &dyn Catalog) -> Option<DeltaDiscoveryResponse> {
        let mut response = DeltaDiscoveryResponse::default();
        for subscription in std::mem::take(&mut self.dirty) {
            self.answer(&subscription, catalog.members(&subscription), &mut response);
        }
        for name in std::mem::take(&mut self.orphans) {
            if self.held.get(&name).is_some_and(|held| held.owners == 0) {
                if let Some(version) = self.held.remove(&name).and_then(|held| held.version) {
                    self.sent.toggle(&name, &version);
                }
                response.removed_resources.push(name.to_string());
            }
        }
        for name in std::mem::take(&mut self.unreadable) {
            response.answered.push(name.clone());
            response.absent.push(name);
        }
        if self.implied_changed {
            self.implied_changed = false;
            let subscriptions = self.implied.iter().map(Subscription::to_string).collect();
            response.implied = Some(Implied { subscriptions });
        }
        // Every answer that was asked for stands in `answered`, so an empty response says nothing.
        if response == DeltaDiscoveryResponse::default() {
            return None;
        }
        response.removed_resources.extend(response.absent.iter().cloned());
        self.nonces += 1;
        response.nonce = self.nonces.to_string();
        response.type_url = TYPE_URL.to_owned();
        response.applied = self.sent.to_bytes();
        self.in_flight = Some(response.nonce.clone());
        Some(response)
    }

    fn answer(
        &mut self,
        subscription: &Subscription,
        members: Vec<Arc<Encoded>>,
        response: &mut DeltaDiscoveryResponse,
    ) {
        let Some(state) = self.subscriptions.get_mut(subscription) else { return };
        let absent = members.is_empty();
        let newly_absent = absent && !state.absent;
        state.absent = absent;
        let first = !std::mem::replace(&mut state.answered, true);
        if first {
            response.answered.push(subscription.to_string());
        }
        if newly_absent || (absent && first) {
            response.absent.push(subscription.to_string());
        }
        let names = members.iter().map(|member| member.name.clone()).collect();
        let before = std::mem::replace(&mut state.members, names);
        for member in members {
            let held = self.held.entry(member.name.clone()).or_default();
            held.owners += 1;
            if held.version.as_deref() == Some(&*member.version) {
                continue;
            }
            if let Some(old) = held.version.replace(member.version.clone()) {
                self.sent.toggle(&member.name, &old);
            }
            self.sent.toggle(&member.name, &member.version);
            response.resources.push(Resource {
                name: member.name.to_string(),
                version: member.version.to_string(),
                resource: Some(member.any.clone()),
                aliases: Vec::new(),
            });
        }
        for name in before {
            self.disown(name);
        }
    }
}

#[cfg(test)]
mod tests;
