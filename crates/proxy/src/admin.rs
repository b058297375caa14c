//! The admin port, on loopback: Envoy's paths, because tools and people know them.
//!
//! It only reads, but for the log level and the start of a drain (by POST, which `daemon::admin` takes from root
//! and from our own user alone). It never shows a key, a token or the content of traffic. [`dump`] makes the JSON
//! of the configuration in force.

mod clusters;
mod dump;
#[cfg(test)]
mod tests;

use crate::observe::{self, Observe};
use crate::probe::Probing;
use crate::renewal::{Renewal, Trouble};
use crate::snapshot::{LocalNode, SnapshotStore};
use daemon::admin::{AdminAnswer, AdminReply, AdminRequest};
use daemon::clock::Clock;
use daemon::{Drain, DrainTrigger, Readiness};
use identity::Identity;
use model::probe::ApplicationHealth;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

const HELP: &str = "\
GET  /ready              200 when joined, configured, listening, with a certificate for a while, not draining;
                         a second line is about the application, where it is probed
GET  /config_dump        configuration in force, JSON
GET  /clusters           endpoints with their health
GET  /listeners          what is listened on
GET  /certs              own certificate and trust, never keys
GET  /stats/prometheus   metrics
GET  /server_info        version and state
POST /logging?level=L    change the log level
POST /drain_listeners    stop taking new work
POST is for root and for the user that this process runs as.
";

/// What the admin port reads. It is there before the proxy has joined, so parts arrive later.
pub(crate) struct Admin {
    pub(crate) readiness: Readiness,
    pub(crate) identity: Identity,
    pub(crate) renewal: Arc<Renewal>,
    pub(crate) observe: Arc<Observe>,
    pub(crate) probing: Arc<Probing>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) trigger: Arc<DrainTrigger>,
    pub(crate) drain: Drain,
    pub(crate) started: Instant,
    /// Known once joined.
    pub(crate) joined: OnceLock<Joined>,
}

/// What is known once the proxy has joined.
pub(crate) struct Joined {
    pub(crate) me: LocalNode,
    pub(crate) store: Arc<SnapshotStore>,
    /// `address:port` with what it is for.
    pub(crate) listeners: Vec<(String, &'static str)>,
    /// When the workers started, from which they count the milliseconds of `decide::outlier`.
    pub(crate) serving_since: Instant,
}

impl Admin {
    /// Answers one request.
    pub(crate) fn answer(&self, request: &AdminRequest<'_>) -> AdminAnswer {
        let is_post = request.method == "POST";
        match request.path {
            "/logging" if is_post => set_level(request.query),
            "/drain_listeners" if is_post => {
                let trigger = Arc::clone(&self.trigger);
                AdminAnswer::Change(Box::new(move || {
                    trigger.start();
                    AdminReply::text(200, "OK\n")
                }))
            }
            "/logging" | "/drain_listeners" => AdminReply::use_method("POST").into(),
            path => self.read(path).into(),
        }
    }

    fn read(&self, path: &str) -> AdminReply {
        match path {
            "/" | "/help" => AdminReply::text(200, HELP),
            "/ready" => self.ready(),
            "/config_dump" => {
                self.with_joined(|joined| json(&dump::config(&joined.me, &joined.store.snapshot())))
            }
            "/clusters" => self.with_joined(|joined| {
                let now_ms = self.clock.now().duration_since(joined.serving_since).as_millis() as u64;
                AdminReply::text(200, clusters::render(&joined.store.snapshot(), now_ms))
            }),
            "/listeners" => self.with_joined(|joined| AdminReply::text(200, listeners(joined))),
            "/certs" => json(&self.certificates()),
            "/stats/prometheus" | "/metrics" => self.metrics(),
            "/server_info" => json(&self.server_info()),
            _ => AdminReply::not_found(),
        }
    }

    /// Answers on the metrics port: the same metrics, and nothing else.
    pub(crate) fn answer_metrics(&self, request: &AdminRequest<'_>) -> AdminReply {
        match request.path {
            "/metrics" | "/stats/prometheus" => self.metrics(),
            _ => AdminReply::not_found(),
        }
    }

    fn metrics(&self) -> AdminReply {
        let (epoch, hosts) = self.joined.get().map_or((0, 0), |joined| {
            let snapshot = joined.store.snapshot();
            (snapshot.epoch, snapshot.hosts().count())
        });
        let mut text = self.observe.render(epoch, hosts);
        observe::outside_validity(&mut text, self.identity.outside_validity());
        observe::application(&mut text, &self.probing.health().borrow(), self.probing.counts());
        AdminReply::metrics(text)
    }

    fn ready(&self) -> AdminReply {
        if self.drain.is_started() {
            return AdminReply::text(503, "DRAINING\n");
        }
        if self.readiness.is_ready() {
            // Before it expires, so that whoever asks can turn to others in time.
            return match self.renewal.trouble(&self.identity, self.clock.wall()) {
                None => AdminReply::text(200, format!("LIVE\n{}", self.application_line())),
                Some(Trouble { state, text }) => AdminReply::text(503, format!("{state}: {text}\n")),
            };
        }
        let pending = self.readiness.pending().join(", ");
        AdminReply::text(503, format!("PRE_INITIALIZING: waiting for {pending}\n"))
    }

    /// Apart from the state of the proxy itself, which serves whatever its application does.
    fn application_line(&self) -> String {
        match &*self.probing.health().borrow() {
            ApplicationHealth::Unknown | ApplicationHealth::NotProbed => String::new(),
            ApplicationHealth::Ready => "application: ready\n".to_owned(),
            ApplicationHealth::NotReady(cause) => format!("application: not ready: {cause}\n"),
        }
    }

    fn server_info(&self) -> serde_json::Value {
        let state = if self.drain.is_started() {
            "DRAINING"
        } else if self.readiness.is_ready() {
            let trouble = self.renewal.trouble(&self.identity, self.clock.wall());
            trouble.map_or("LIVE", |trouble| trouble.state)
        } else {
            "PRE_INITIALIZING"
        };
        let node = self.joined.get().map(|joined| dump::node(&joined.me));
        serde_json::json!({
            "version": format!("leno/{}", env!("CARGO_PKG_VERSION")),
            "state": state,
            "uptime_current_epoch": format!("{}s", self.started.elapsed().as_secs()),
            "node": node,
        })
    }

    /// The local certificate, the roots believed in, and what a gateway's listeners show.
    fn certificates(&self) -> serde_json::Value {
        let now = self.clock.wall();
        let mut all = dump::certificates(&self.identity, now);
        let shown =
            self.joined.get().map(|joined| dump::shown_certificates(joined.store.certificates(), now));
        if let Some(shown) = shown.filter(|shown| shown != &serde_json::json!([])) {
            all["listener_certificates"] = shown;
        }
        all
    }

    fn with_joined(&self, answer: impl FnOnce(&Joined) -> AdminReply) -> AdminReply {
        match self.joined.get() {
            Some(joined) => answer(joined),
            None => AdminReply::text(503, "not joined yet\n"),
        }
    }
}

fn json(value: &serde_json::Value) -> AdminReply {
    let mut text = format!("{value:#}");
    text.push('\n');
    AdminReply::json(200, text)
}

/// The proxy's own ports, then those of the gateway in force.
fn listeners(joined: &Joined) -> String {
    let mut text = String::new();
    for (address, purpose) in &joined.listeners {
        text.push_str(&format!("{purpose}::{address}\n"));
    }
    if let Some(gateway) = &joined.store.snapshot().gateway {
        for listener in &gateway.gateway.listeners {
            text.push_str(&format!("gateway/{}::{}\n", listener.name, listener.place()));
        }
        for closed in &gateway.closed {
            text.push_str(&format!("closed/{}::{} ({})\n", closed.name, closed.address, closed.why));
        }
    }
    text
}

fn set_level(query: Option<&str>) -> AdminAnswer {
    let level = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("level="));
    let Some(level) = level.map(str::to_owned) else {
        return AdminReply::text(400, "use /logging?level=debug\n").into();
    };
    AdminAnswer::Change(Box::new(move || match daemon::logging::set_filter(&level) {
        Ok(()) => AdminReply::text(200, "OK\n"),
        Err(error) => AdminReply::text(400, format!("{error}\n")),
    }))
}
