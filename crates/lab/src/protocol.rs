//! What the command line and the tests say to a running lab, over its abstract socket.
//!
//! One connection, one request; frames are a 4-byte big-endian length and JSON. File descriptors of `Exec`
//! travel beside the first frame. Never reachable from another user: both sides check peer credentials.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Name of a demo that was not given one.
pub const DEFAULT_NAME: &str = "demo";

/// Longest frame, in bytes; a longer one ends the connection.
pub const FRAME_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Standard input, output and error.
pub const EXEC_FDS: usize = 3;

/// How a workload goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manner {
    /// The proxy withdraws, drains and ends; then the application is stopped.
    Graceful,
    /// `SIGKILL` to the proxy and the application at once.
    Abrupt,
}

/// A packet filter put into a router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drops {
    /// Host whose router or own namespace gets the rule, for example `west/router`.
    pub host: String,
    /// nftables match, for example `ip daddr 172.30.0.23 tcp dport 15008`; the lab adds `drop`.
    pub matching: String,
}

/// What a client asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum LabRequest {
    /// Everything that runs; answered at once.
    Status,
    /// The same, answered when all is ready or the start has failed.
    WaitReady,
    /// Runs a command in a host with the three descriptors that came along. `Started`, then `Ended`.
    /// Meanwhile each byte from the client is the number of a signal for it: SIGINT or SIGTERM. It is
    /// killed when the connection closes before.
    Exec {
        /// For example `west/client`.
        host: String,
        /// Program and arguments.
        command: Vec<String>,
        /// Added to a small fixed environment.
        environment: BTreeMap<String, String>,
    },
    /// Sets how many workloads a service has; answered when they are ready or gone.
    Scale {
        /// For example `west/purchase-history`.
        service: String,
        /// From 0 to [`crate::plan::REPLICAS_MAX`].
        replicas: u32,
        /// How those that are too many go.
        manner: Manner,
    },
    /// `SIGKILL` to every process of the host.
    Kill {
        /// For example `mgmt`, `west/control`.
        host: String,
    },
    /// `SIGTERM` to the host's processes, proxy first; answered when they are gone.
    Stop {
        /// See `Kill`.
        host: String,
    },
    /// Starts what `Kill` or `Stop` ended; answered when it is ready.
    Start {
        /// See `Kill`.
        host: String,
    },
    /// `SIGSTOP` to every process of the host.
    Pause {
        /// See `Kill`.
        host: String,
    },
    /// `SIGCONT` to every process of the host.
    Resume {
        /// See `Kill`.
        host: String,
    },
    /// Takes the host's links down.
    Cut {
        /// See `Kill`.
        host: String,
    },
    /// Brings the host's links up again.
    Restore {
        /// See `Kill`.
        host: String,
    },
    /// Drops matching packets until `Pass`.
    Drop(Drops),
    /// Removes all rules that `Drop` put into the host.
    Pass {
        /// See `Drops`.
        host: String,
    },
    /// All files that the lab created, as absolute paths in the lab.
    Files,
    /// One of them, whole.
    ReadFile {
        /// Absolute path in the lab.
        path: String,
    },
    /// Writes a file below the lab's directory, by renaming a complete one into place.
    WriteFile {
        /// Absolute path in the lab.
        path: String,
        /// Its whole content.
        #[serde(with = "bytes")]
        contents: Vec<u8>,
    },
    /// Writes (`Some`) or removes (`None`) a document of a cluster's configuration directory.
    Configure {
        /// For example `west`.
        cluster: String,
        /// File name, for example `split.yaml`.
        name: String,
        /// The whole file.
        contents: Option<String>,
    },
    /// Every process of the lab.
    Processes,
    /// Starts a packet capture on a bridge; answered when the capture sees packets.
    Capture {
        /// `west`, `east` or `backbone`.
        network: String,
        /// Name of the capture; its file is `captures/NAME.pcap`.
        name: String,
    },
    /// Ends a capture, so that its file is complete; answered with the file.
    EndCapture {
        /// Name given to `Capture`.
        name: String,
    },
    /// One HTTP/1.1 request to 127.0.0.1 inside a host: admin pages, metrics, a control plane's API.
    Http {
        /// For example `west/web-api`.
        host: String,
        /// Port on the host's loopback address.
        port: u16,
        /// `GET` and so on.
        method: String,
        /// Path and query.
        path: String,
        /// Request headers.
        headers: Vec<(String, String)>,
        /// Request body; may be empty.
        #[serde(with = "bytes")]
        body: Vec<u8>,
    },
    /// A fresh join token of a workload group (namespace `default`).
    Token {
        /// For example `west`.
        cluster: String,
        /// Name of the group.
        group: String,
    },
    /// Ends the lab and everything in it.
    End,
}

/// What the lab answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum LabReply {
    /// It is done.
    Done,
    /// It is not; the text says why and what to do.
    Failed {
        /// Cause chain, outermost first.
        message: String,
    },
    /// Answer to `Status` and `WaitReady`.
    Status(LabStatus),
    /// The command of `Exec` runs.
    Started {
        /// Its process id inside the lab.
        pid: i32,
    },
    /// It has ended.
    Ended {
        /// Exit code, or 128 plus the signal.
        code: i32,
    },
    /// Answer to `Files`.
    Files {
        /// Absolute paths in the lab.
        paths: Vec<String>,
    },
    /// Answer to `ReadFile` and `EndCapture`.
    File {
        /// The whole file.
        #[serde(with = "bytes")]
        contents: Vec<u8>,
    },
    /// Answer to `Processes`.
    Processes {
        /// In order of process id.
        processes: Vec<ProcessRow>,
    },
    /// Answer to `Http`.
    Http(HttpAnswer),
    /// Answer to `Token`.
    Token {
        /// Text form.
        token: String,
    },
}

/// An HTTP response, whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HttpAnswer {
    /// Status code.
    pub status: u16,
    /// Response headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    #[serde(with = "bytes")]
    pub body: Vec<u8>,
}

/// A process of the lab as `/proc` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessRow {
    /// Inside the lab.
    pub pid: i32,
    /// Of the parent, inside the lab.
    pub parent: i32,
    /// Host that it runs in; empty for the lab's own.
    pub host: String,
    /// `app`, `proxy`, `control`, `manager`, or empty for commands run by `Exec` and their children.
    pub program: String,
    /// Arguments.
    pub arguments: Vec<String>,
    /// `/proc/PID/environ`, as is.
    #[serde(with = "bytes")]
    pub environment: Vec<u8>,
}

/// Everything that runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LabStatus {
    /// Name of the lab.
    pub name: String,
    /// Whether every host of the first start became ready.
    pub ready: bool,
    /// From the start of `leno demo` until all was ready.
    pub ready_after: Option<Duration>,
    /// Loopback addresses on the outer host by the cluster that they enter: `edge`, `west`, `east`.
    pub entrances: BTreeMap<String, String>,
    /// One per host.
    pub hosts: Vec<HostRow>,
}

/// One host in [`LabStatus`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostRow {
    /// For example `west/web-api`.
    pub name: String,
    /// Its addresses, the cluster network first.
    pub addresses: Vec<String>,
    /// What it is for, in a few words.
    pub purpose: String,
    /// Running processes: program name and process id inside the lab.
    pub processes: BTreeMap<String, i32>,
    /// What a reader wants to know first.
    pub state: HostState,
}

/// How a host is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    /// Nothing runs there.
    Off,
    /// Processes run but are not ready yet.
    Starting,
    /// All its processes run and were ready.
    Ready,
    /// Stopped by `SIGSTOP`.
    Paused,
    /// A process ended by itself; its log says why.
    Failed,
}

impl HostState {
    /// As shown in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Paused => "paused",
            Self::Failed => "failed",
        }
    }
}

/// Bytes as base64: JSON would spend four bytes on one.
mod bytes {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}
