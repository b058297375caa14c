//! The filters of one side, in the order of the table. An empty chain costs a comparison.

use crate::contract::{BodyNeed, Context, HttpFilter};
use crate::order::{FailMode, Side, Stage};
use decide::RequestView;
use decide::filter::{HeaderEdits, RequestHead, Verdict};
use model::Reason;
use std::sync::Arc;

/// Filters, sorted by stage; of one stage in the order in which they were given.
#[derive(Clone, Debug, Default)]
pub struct Chain(Vec<Arc<dyn HttpFilter>>);

/// Why filters make no chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misplaced {
    /// The stage is built in.
    BuiltIn(Stage),
    /// The stage does not run on this side.
    OtherSide(Stage),
    /// It needs a body, which no chain gives yet.
    Body(Stage),
}

impl Chain {
    /// Makes the chain of a side.
    ///
    /// # Errors
    /// The first filter that has no place on it.
    pub fn new(side: Side, filters: Vec<Arc<dyn HttpFilter>>) -> Result<Self, Misplaced> {
        for filter in &filters {
            let row = filter.stage().row();
            if !row.is_open_to_filters {
                return Err(Misplaced::BuiltIn(row.stage));
            }
            if !row.sides.contains(&side) {
                return Err(Misplaced::OtherSide(row.stage));
            }
            if filter.body() != BodyNeed::Nothing {
                return Err(Misplaced::Body(row.stage));
            }
        }
        let mut sorted = filters;
        sorted.sort_by_key(|filter| filter.stage());
        Ok(Self(sorted))
    }

    /// Runs the filters of a stage on a request, until one answers.
    ///
    /// # Errors
    /// Why the request ends: of a filter that fails closed.
    pub async fn on_request(
        &self,
        stage: Stage,
        context: &Context<'_>,
        request: &mut dyn RequestHead,
    ) -> Result<Verdict, Reason> {
        let mut fixed = HeadersOnly(request);
        // At the callee policies come last: nobody judges what is changed behind them.
        let is_fixed = stage < Stage::Route || context.side == Side::Callee;
        let request: &mut dyn RequestHead = if is_fixed { &mut fixed } else { fixed.0 };
        for filter in self.0.iter().filter(|filter| filter.stage() == stage) {
            match filter.on_request(context, request).await {
                Ok(Verdict::Continue) => {}
                Ok(reply) => return Ok(reply),
                Err(reason) => survive(filter.fail_mode(), reason)?,
            }
        }
        Ok(Verdict::Continue)
    }

    /// Runs all filters on a response, the last one first.
    ///
    /// # Errors
    /// Why the response is not passed on: of a filter that fails closed.
    pub async fn on_response(
        &self,
        context: &Context<'_>,
        request: &RequestView<'_>,
        response: &mut dyn HeaderEdits,
    ) -> Result<(), Reason> {
        for filter in self.0.iter().rev() {
            if let Err(reason) = filter.on_response(context, request, response).await {
                survive(filter.fail_mode(), reason)?;
            }
        }
        Ok(())
    }

    /// Whether a request is refused that one of them cannot look at.
    pub fn fails_closed(&self) -> bool {
        self.0.iter().any(|filter| filter.fail_mode() == FailMode::Closed)
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A request whose host and path must stay as they were read: filters may edit header fields.
struct HeadersOnly<'a>(&'a mut dyn RequestHead);

impl RequestHead for HeadersOnly<'_> {
    fn view(&self) -> RequestView<'_> {
        self.0.view()
    }

    fn set_host(&mut self, _: &str) -> Result<(), Reason> {
        Err(Reason::Internal)
    }

    fn set_path(&mut self, _: &str) -> Result<(), Reason> {
        Err(Reason::Internal)
    }

    fn headers(&mut self) -> &mut dyn HeaderEdits {
        self.0.headers()
    }
}

/// The chains of all sides.
#[derive(Clone, Debug, Default)]
pub struct Chains {
    application: Chain,
    edge: Chain,
    callee: Chain,
}

impl Chains {
    /// Puts each filter on every side where its stage runs.
    ///
    /// # Errors
    /// As [`Chain::new`].
    pub fn new(filters: &[Arc<dyn HttpFilter>]) -> Result<Self, Misplaced> {
        let of = |side| {
            let here = filters.iter().filter(|filter| filter.stage().row().sides.contains(&side));
            Chain::new(side, here.cloned().collect())
        };
        Ok(Self { application: of(Side::Application)?, edge: of(Side::Edge)?, callee: of(Side::Callee)? })
    }

    /// The chain of a side.
    pub fn of(&self, side: Side) -> &Chain {
        match side {
            Side::Application => &self.application,
            Side::Edge => &self.edge,
            Side::Callee => &self.callee,
        }
    }
}

fn survive(mode: FailMode, reason: Reason) -> Result<(), Reason> {
    match mode {
        FailMode::Closed => Err(reason),
        FailMode::Open => Ok(()),
    }
}

#[cfg(test)]
mod tests;
