//! What is wrong with configuration, told so that a person can mend it.

use crate::origin::Origin;
use std::fmt;

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Works, but hardly as meant.
    Warning,
    /// Refused; the last good configuration stays in force.
    Error,
}

/// One thing that is wrong: object, place, cause, fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stable code; `leno explain CODE` tells more.
    pub code: Code,
    /// Object, file and line.
    pub origin: Origin,
    /// What is wrong, lower case, no full stop.
    pub cause: String,
    /// What to write instead.
    pub fix: String,
}

macro_rules! codes {
    ($($name:ident: $code:literal $level:ident $text:literal;)*) => {
        /// Stable codes of findings, append-only.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $(#[doc = $text] $name,)* }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];
            /// For example `LENO0001`.
            pub const fn as_str(self) -> &'static str { match self { $(Code::$name => $code,)* } }
            /// How bad.
            pub const fn level(self) -> Severity { match self { $(Code::$name => Severity::$level,)* } }
            /// What it means and how it is mended, for `leno explain`.
            pub const fn text(self) -> &'static str { match self { $(Code::$name => $text,)* } }
            /// The code with this text form.
            pub fn by_str(text: &str) -> Option<Code> { match text { $($code => Some(Code::$name),)* _ => None } }
        }
    };
}

codes! {
    Syntax: "LENO0001" Error "The file is not valid YAML. Nothing of this document is used; what was in force before stays in force.";
    UnknownKind: "LENO0002" Error "The document's apiVersion and kind are not among those that Leno reads.";
    UnknownField: "LENO0003" Error "A field does not exist in this kind. Unknown fields are refused, because a policy with an ignored field can mean the opposite.";
    BadValue: "LENO0004" Error "A field's value is out of its range or form.";
    MissingField: "LENO0005" Error "A required field is missing.";
    Duplicate: "LENO0006" Error "The same object is defined twice. The first one found in file order stays in force.";
    TwoSources: "LENO0007" Error "The same object comes from a source (a directory or a given text) and from the API. The source wins.";
    ReadOnly: "LENO0008" Error "The object comes from the directory and cannot be changed over the API. Change the file.";
    Stale: "LENO0009" Error "The object carries a metadata.resourceVersion that is not that of the stored one: it was changed or deleted since the copy was taken. Take a fresh copy and change that one, or remove the resourceVersion to overwrite what is there.";
    Unread: "LENO0010" Error "A file or directory of the configuration is not read: it is no regular file, not readable, too large, one too many or too deep, a link that leads out of the directory, or the directory itself is gone. What it held before stays in force.";
    Overridden: "LENO0011" Info "The object is not in force, because a source that comes before this one has an object of the same kind and name: a fallback directory only fills gaps.";
    ReferenceNotFound: "LENO0101" Error "A reference points to an object that does not exist. Requests to it get a 500.";
    ParentNotFound: "LENO0102" Warning "A route's parentRef points to an object that does not exist, so the route has no effect.";
    Unsupported: "LENO0103" Error "The field is valid but not supported yet. The object is refused rather than approximated.";
    PortNotFound: "LENO0104" Error "A reference names a port that the service does not have.";
    NoWorkloads: "LENO0105" Warning "The selector of a service or policy matches no WorkloadGroup, so it has no effect.";
    HttpFieldOnTcp: "LENO0106" Error "An AuthorizationPolicy has an HTTP condition for a port that is TCP; it would deny or allow more than meant.";
    Replaced: "LENO0107" Warning "This kind is not read by Leno; the finding names what replaces it. The document is skipped, all others are used; with --strict it stops them.";
    HostConflict: "LENO0108" Error "Two GlobalServices claim the same host. The older one stays in force.";
    Ignored: "LENO0109" Warning "The field is valid but has no effect: it is not supported yet, or means nothing where it stands. The object is used as if it were not there.";
    PortConflict: "LENO0110" Error "The services behind a GlobalService do not agree on a port. Requests go to the targetPort of the first one everywhere, so workloads of the others fail them.";
    Foreign: "LENO0111" Warning "The document is of a kind, or a Gateway of a class, that others serve and Leno does not. It is skipped, all others are used; with --strict it stops them.";
    BackendNotFound: "LENO0112" Warning "A service behind a GlobalService exists neither in this cluster nor in another one that is known here. Another cluster may still bring it; until then requests get a 500.";
    TcpClosed: "LENO0113" Warning "An AuthorizationPolicy has HTTP conditions without `ports`, and applies where a port is TCP. What cannot be read as HTTP counts against whoever sends it: such a DENY rule denies all of it, and such an ALLOW rule allows none. Name the HTTP ports in the rule, or allow the TCP port in a rule of its own.";
    NoSuchPort: "LENO0114" Warning "An AuthorizationPolicy names a port that nothing has where it applies, so that part of it has no effect. The port is that of the workload (`targetPort` of a Service), of a gateway's listener, or, at an east-west gateway, of the exported service.";
    NoIdentity: "LENO0115" Warning "An AuthorizationPolicy asks at a gateway who calls. Callers from outside the mesh have no identity there: `principals`, `namespaces` and `serviceAccounts` match none of them.";
    ProtocolConflict: "LENO0116" Warning "One port of the same workloads is declared with different protocols. The workloads' side goes by the first declaration, by name of the host; callers go by the Service that they call. Or a GRPCRoute leads to a port that is declared as HTTP/1.1, by which no call of gRPC can go.";
    Outvoted: "LENO0117" Warning "Two policies of one level say the same field of one target. The older one counts, then the first by namespace and name.";
    PlaintextExport: "LENO0118" Warning "Other clusters may call a port that takes plaintext alone (PeerAuthentication, DISABLE). Between clusters there is mutual TLS alone, so they are refused. Say PERMISSIVE for that port.";
    StrictRefused: "LENO0119" Error "The change would make a port STRICT that callers in plaintext used within the last 24 hours; they would be refused from then on. `leno mtls plan` names them all. Put a proxy beside each, or let capture take what those that have one send; or make the change all the same with --force.";
    StrictBreaks: "LENO0120" Warning "A port is STRICT, and refuses callers in plaintext that it let in before. Put a proxy beside each, or let capture take what those that have one send; until then say PERMISSIVE for the port.";
    RefNotPermitted: "LENO0130" Error "A reference leads into another namespace, and no ReferenceGrant there allows it. Requests to it get a 500, connections are refused. Write a ReferenceGrant into that namespace, `from` the kind and namespace of the object that refers, `to` the kind that it refers to.";
    ListenerConflict: "LENO0131" Warning "A server of an Istio Gateway says something else of TLS than another one of its port. Or a listener of a ListenerSet has the port, and the hostname or another protocol, of one that comes before it: the Gateway's own listeners come first, then the older ListenerSet, then the first by namespace and name. The listener is left out, the others of the set are used.";
    RouteConflict: "LENO0140" Warning "Several objects say where the calls of one host go: a route of the Gateway API counts before a VirtualService, and of VirtualServices the older one, then the first by namespace and name. Or a route that is delegated to can never be reached, because its match is no part of the one that delegates. Or an HTTPRoute and a GRPCRoute are for one host at one listener, of which the older one counts, or for one port of a service, where the GRPCRoute does. They are not merged.";
}

impl Finding {
    /// Shorthand.
    pub fn new(code: Code, origin: &Origin, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code, origin: origin.clone(), cause: cause.into(), fix: fix.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.code.level() {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{level}[{}] {}", self.code.as_str(), self.origin.object)?;
        if !self.origin.file.is_empty() {
            write!(f, " ({}:{})", self.origin.file, self.origin.line)?;
        }
        write!(f, ": {}; {}", self.cause, self.fix)
    }
}
