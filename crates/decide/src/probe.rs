//! Whether an application is ready, by the answers that its probe got: thresholds, what holds before the first answer, and
//! what holds when the probe is another.

#[cfg(test)]
mod tests;

use model::probe::{ApplicationHealth, ReadinessProbe};
use std::sync::Arc;
use std::time::Duration;

/// Why an application is not ready of which nothing has been asked yet.
const NOT_ASKED: &str = "it has not been probed yet";

/// What one probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// The application answered as it should.
    Success,
    /// It did not, and why.
    Failure(Arc<str>),
}

/// What is known of an application, and what its probe has found in a row since.
#[derive(Debug, Default)]
pub struct ProbeRecord {
    probe: Option<Arc<ReadinessProbe>>,
    health: ApplicationHealth,
    /// Outcomes in a row that speak against `health`.
    against: u32,
}

/// What follows from a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbePlan {
    /// What was being done goes on.
    Same,
    /// Nothing is probed any more.
    Stop,
    /// This is probed instead of what was, for the first time after the wait.
    Start(Arc<ReadinessProbe>, Duration),
}

impl ProbeRecord {
    /// What is known of the application.
    pub fn health(&self) -> &ApplicationHealth {
        &self.health
    }

    /// A configuration came into force.
    ///
    /// An application of which nothing was known is not ready until it has answered. One that served without a probe, or
    /// with another one, stays what it was until the new probe has a verdict: adding a probe moves no traffic by itself.
    /// Only the first one waits for the initial delay, which is the time that an application takes to start.
    pub fn configure(&mut self, probe: Option<&Arc<ReadinessProbe>>) -> ProbePlan {
        if self.health != ApplicationHealth::Unknown && self.probe.as_ref() == probe {
            return ProbePlan::Same;
        }
        self.against = 0;
        self.probe = probe.cloned();
        let Some(probe) = probe else {
            self.health = ApplicationHealth::NotProbed;
            return ProbePlan::Stop;
        };
        let wait = match &self.health {
            ApplicationHealth::Unknown => {
                self.health = ApplicationHealth::NotReady(NOT_ASKED.into());
                probe.initial_delay
            }
            ApplicationHealth::NotProbed => {
                self.health = ApplicationHealth::Ready;
                Duration::ZERO
            }
            ApplicationHealth::Ready | ApplicationHealth::NotReady(_) => Duration::ZERO,
        };
        ProbePlan::Start(Arc::clone(probe), wait)
    }

    /// Takes an answer into account. One to a probe that was taken away says nothing.
    pub fn judge(&mut self, outcome: ProbeOutcome) {
        let Some(probe) = &self.probe else { return };
        match (&self.health, outcome) {
            (ApplicationHealth::Ready, ProbeOutcome::Failure(cause)) => {
                self.against += 1;
                if self.against >= probe.failure_threshold {
                    self.set(ApplicationHealth::NotReady(cause));
                }
            }
            (ApplicationHealth::NotReady(_), ProbeOutcome::Success) => {
                self.against += 1;
                if self.against >= probe.success_threshold {
                    self.set(ApplicationHealth::Ready);
                }
            }
            // The latest cause is the one to look for.
            (ApplicationHealth::NotReady(_), ProbeOutcome::Failure(cause)) => {
                self.set(ApplicationHealth::NotReady(cause));
            }
            (_, ProbeOutcome::Success | ProbeOutcome::Failure(_)) => self.against = 0,
        }
    }

    fn set(&mut self, health: ApplicationHealth) {
        (self.health, self.against) = (health, 0);
    }
}
