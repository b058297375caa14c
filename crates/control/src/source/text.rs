//! A fixed text as a source; it never changes.

use crate::source::ObjectSource;
use crate::source::id::SourceId;
use crate::source::objects::SourceState;
use crate::source::sink::ObjectSink;
use daemon::Drain;
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// One or more documents, in YAML.
pub struct TextSource(pub String);

impl ObjectSource for TextSource {
    fn id(&self) -> SourceId {
        SourceId::Text
    }

    fn first(&mut self) -> SourceState {
        let (objects, findings) = api::parse::documents(&self.0, "");
        let objects = objects.into_iter().map(Arc::new).collect();
        SourceState { objects, findings, ..SourceState::default() }
    }

    fn run(self: Box<Self>, _: ObjectSink, _: Drain) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}
