//! Filters in order, run one after the other.

#[cfg(test)]
mod tests;

use crate::order::{self, Stage};
use crate::{Context, Filter, FilterNow, Verdict};
use http::{request, response};
use std::sync::Arc;

/// A filter of either kind.
#[derive(Clone)]
pub enum Run {
    /// Costs no box.
    Now(Arc<dyn FilterNow>),
    /// May wait.
    Later(Arc<dyn Filter>),
}

/// Filters sorted by the one order. Made when configuration changes, shared by all requests.
#[derive(Clone, Default)]
pub struct Chain(Arc<[(Stage, Run)]>);

impl Chain {
    /// Sorts filters by their stage; those of one stage keep the order given.
    pub fn new(filters: impl IntoIterator<Item = (Stage, Run)>) -> Self {
        let mut filters: Vec<_> = filters.into_iter().collect();
        filters.sort_by_key(|(stage, _)| order::stages().position(|each| each == *stage));
        Self(filters.into())
    }

    /// Passes a request through until a filter answers. The second value is how many filters saw it:
    /// hand it to [`Chain::on_response`].
    pub async fn on_request(&self, context: &mut Context<'_>, head: &mut request::Parts) -> (Verdict, usize) {
        for (at, (_, run)) in self.0.iter().enumerate() {
            let verdict = match run {
                Run::Now(filter) => filter.on_request(context, head),
                Run::Later(filter) => filter.on_request(context, head).await,
            };
            if let Verdict::Reply(_) = verdict {
                return (verdict, at + 1);
            }
        }
        (Verdict::Continue, self.0.len())
    }

    /// Passes a response back through the first `seen` filters, last to first.
    pub async fn on_response(&self, seen: usize, context: &mut Context<'_>, head: &mut response::Parts) {
        for (_, run) in self.0.iter().take(seen).rev() {
            match run {
                Run::Now(filter) => filter.on_response(context, head),
                Run::Later(filter) => filter.on_response(context, head).await,
            }
        }
    }
}
