//! A story: the same wish in three languages, and calls that show whether it is granted.

/// A wish for the requests to one host, and what is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Story {
    /// `FAMILY/NAME`. The host is made of it: [`Story::host`].
    pub(crate) name: &'static str,
    /// Routes of a virtual host of Envoy, in YAML's flow style. Clusters: `one`, `two`, `shadow`, and `gone`, where
    /// nobody listens.
    pub(crate) envoy: &'static str,
    /// `rules` of an HTTPRoute, in the same style; empty: Gateway API has no words for it. `$one` is a reference to
    /// the backend of that name.
    pub(crate) gateway: &'static str,
    /// `http` of a VirtualService; empty: Istio has no words for it. `$one` is a destination's host and port.
    pub(crate) istio: &'static str,
    /// Requests as they are written, without version, `host` and `user-agent` unless the story is about those:
    /// `METHOD TARGET`, then a line for each field, then maybe an empty line and a body. Lines begin behind blanks.
    pub(crate) calls: &'static [&'static str],
    /// How many requests of each call come to backends in the end, copies with them; 0: no more than there are when
    /// the caller has its answer.
    pub(crate) arrive: usize,
}

/// One without anything, for the fields that a story does not say.
pub(crate) const STORY: Story = Story { name: "", envoy: "", gateway: "", istio: "", calls: &[], arrive: 0 };

impl Story {
    /// Whom it is called at.
    pub(crate) fn host(&self) -> String {
        format!("{}.test", self.name.replace('/', "-"))
    }
}

/// Who is told a story, and in which language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Teller {
    /// By hand.
    Envoy,
    /// Leno, by Gateway API.
    Gateway,
    /// Leno, by Istio's kinds.
    Istio,
}

impl Teller {
    pub(crate) const ALL: [Teller; 3] = [Teller::Envoy, Teller::Gateway, Teller::Istio];

    /// Whether a story has words for it.
    pub(crate) fn knows(self, story: &Story) -> bool {
        match self {
            Teller::Envoy => true,
            Teller::Gateway => !story.gateway.is_empty(),
            Teller::Istio => !story.istio.is_empty(),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Teller::Envoy => "envoy",
            Teller::Gateway => "gateway",
            Teller::Istio => "istio",
        }
    }

    /// All listen at one port, so that what names it is the same.
    pub(crate) fn address(self) -> &'static str {
        match self {
            Teller::Envoy => "127.0.0.2",
            Teller::Gateway => "127.0.0.3",
            Teller::Istio => "127.0.0.4",
        }
    }
}
