//! Names of sources, and which of them wins.

/// A source, in the order of precedence: of objects with one name, that of the first source is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceId {
    /// A directory of files; of several, the one that was named first wins.
    Directory(u16),
    /// A text that was given at the start.
    Text,
    /// What was applied over the API.
    Api,
}

impl SourceId {
    /// Whether its objects take the place of one that is leaving an earlier source before that one is gone. True
    /// where somebody acts on purpose; between directories it would make each save of an editor show.
    pub(crate) fn replaces_at_once(self) -> bool {
        self == Self::Api
    }
}
