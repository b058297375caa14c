//! Compiling one unit: what it read is noted, what it came out as is kept, and who must know is told.

use super::{Fact, Outputs, UnitRow, WorldReader};
use crate::world::graph::Graph;
use crate::world::inputs::Inputs;
use model::Subscription;

/// That a unit came out other than before.
pub(crate) struct Recompiled {
    /// Whom that concerns.
    pub(crate) touched: Vec<Subscription>,
    /// What others may have read of it: its output, and the topics that it joined or left.
    pub(crate) changed: Vec<Fact>,
}

pub(super) fn compile<U: UnitRow>(
    key: &U::Key,
    inputs: &mut Inputs,
    outputs: &mut Outputs,
    graph: &mut Graph<Fact>,
) -> Option<Recompiled> {
    let this = Fact::Output(U::key(key.clone()));
    let read = WorldReader::noting(inputs, outputs, graph);
    let new = U::compile(key, &read);
    let notes = read.into_notes();
    graph.set_reads(&this, &notes);
    if let Some(host) = new.as_ref().and_then(U::addressed) {
        inputs.addresses.ensure(host);
    }
    let old = U::outputs(outputs).get(key).map(|old| &**old);
    if old == new.as_ref() {
        return None;
    }
    let touched = U::touches(key, old, new.as_ref(), &WorldReader::new(inputs, outputs, graph));
    let topics = new.iter().flat_map(|new| U::topics(key, new)).map(Fact::Members);
    let mut changed = graph.set_topics(&this, &topics.collect::<Vec<_>>());
    changed.extend([this, Fact::Every(U::KIND)]);
    match new {
        Some(new) => U::outputs_mut(outputs).insert(key.clone(), Box::new(new)),
        None => U::outputs_mut(outputs).remove(key),
    };
    Some(Recompiled { touched, changed })
}
