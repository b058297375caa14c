//! What a control plane is told at its start, and the seams through which tests reach it.

use crate::presence::Lives;
use crate::source::Sources;
use apiserver::ApiOptions;
use ca::issuer::plugged::IntermediateOptions;
use ca::{IssuerOptions, RootIssuer};
use daemon::clock::Clock;
use model::BindAddress;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Options of `leno control`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Name of this cluster
    #[arg(long)]
    pub cluster: String,
    /// Directory of configuration files (YAML or JSON), watched
    ///
    /// Files that end in .yaml, .yml or .json are read, in subdirectories too, up to 8 deep; hidden ones are not.
    /// Nothing outside the directory is read: a link is followed if it leads to something inside, as the links
    /// of a mounted ConfigMap do.
    ///
    /// What changes together is one change. It is read when nothing has happened for 0.1 s, at the latest after
    /// 1 s. A file that is open for writing is read when it is closed, or when it was still for 10 s.
    ///
    /// What is taken away (a file, or an object in one) goes out of force when it has been away for 1 s, together
    /// with whatever else changed: a save that deletes a file and writes it anew takes nothing out.
    ///
    /// A file that is broken, empty, unreadable or larger than 4 MiB keeps its last good objects. So does a
    /// directory that is removed, or is empty and not the one that was read before: removing it takes nothing
    /// out, emptying it does. Documents of kinds that others serve are skipped. All of that is reported as findings.
    #[arg(long, value_name = "DIR")]
    pub config: Option<PathBuf>,
    /// Directory that fills the gaps of --config, watched like it; may be repeated, the first has precedence
    ///
    /// Of objects with the same kind, namespace and name, that of --config is in force, else that of the fallback
    /// that was named first. What is overridden so is told as a finding (LENO0011). When an object is taken out of
    /// --config, that of a fallback comes into force at that moment. The directories must not lie in one another.
    #[arg(long, value_name = "DIR", requires = "config")]
    pub config_fallback: Vec<PathBuf>,
    /// Directory that keeps what must survive a restart; never a key
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,
    /// Who signs this cluster's intermediate.
    #[command(flatten)]
    pub issuer: IssuerOptions,
    /// Or the intermediate itself.
    #[command(flatten)]
    pub intermediate: IntermediateOptions,
    /// Where proxies connect (mutual TLS)
    #[arg(long, value_name = "ADDR", default_value_t = planes::listener::everywhere(model::address::PORT_CONTROL))]
    pub listen: SocketAddr,
    /// Where the API listens, unix:PATH or IP:PORT; may be repeated
    #[arg(long, value_name = "ADDR", default_value = "unix:/run/leno/control.sock")]
    pub api: Vec<BindAddress>,
    /// Who may call it.
    #[command(flatten)]
    pub api_access: ApiOptions,
    /// Where metrics are served
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), model::address::PORT_CONTROL_METRICS))]
    pub metrics: SocketAddr,
    /// The management plane; none: a cluster on its own
    #[arg(long, value_name = "ADDR")]
    pub manager: Option<SocketAddr>,
    /// Life of proxies' certificates, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(20..=crate::presence::CERTIFICATE_LIFE_MAX_S))]
    pub certificate_ttl_s: u64,
    /// How long after its end a proxy's certificate is still good for its own renewal, in seconds; 0: not at all
    #[arg(long, value_name = "SECONDS", default_value_t = model::trust::RENEWAL_GRACE.as_secs(), value_parser = clap::value_parser!(u64).range(..=RENEWAL_GRACE_MAX_S))]
    pub renewal_grace_s: u64,
}

/// The longest grace, in seconds (30 days): so long a stolen key could be of use, and so long dead proxies are
/// remembered.
pub const RENEWAL_GRACE_MAX_S: u64 = 30 * 24 * 3600;

impl Options {
    /// Life of proxies' certificates.
    pub fn certificate_ttl(&self) -> Duration {
        Duration::from_secs(self.certificate_ttl_s)
    }

    /// Where objects come from, beside the API.
    pub fn sources(&self) -> Sources {
        Sources {
            directories: self.config.iter().chain(&self.config_fallback).cloned().collect(),
            text: None,
        }
    }

    /// How long certificates and registrations live.
    pub fn lives(&self) -> Lives {
        let renewal_grace = Duration::from_secs(self.renewal_grace_s);
        Lives { certificate: self.certificate_ttl(), renewal_grace }
    }
}

/// What tests replace.
pub struct Seams {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who signs the intermediate; `None`: the one of [`Options::issuer`].
    pub issuer: Option<Arc<dyn RootIssuer>>,
}

impl Default for Seams {
    fn default() -> Self {
        Self { clock: Arc::new(daemon::clock::System), issuer: None }
    }
}
