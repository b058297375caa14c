//! What a management plane is told at its start, and the seams through which tests reach it.

use apiserver::ApiOptions;
use ca::issuer::plugged::CertificateOptions;
use ca::{IssuerOptions, RootIssuer};
use daemon::clock::Clock;
use model::BindAddress;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// Options of `leno manager`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where control planes connect (mutual TLS)
    #[arg(long, value_name = "ADDR", default_value_t = planes::listener::everywhere(model::address::PORT_CONTROL))]
    pub listen: SocketAddr,
    /// Who signs the management plane's certificate.
    #[command(flatten)]
    pub issuer: IssuerOptions,
    /// Or the certificate itself.
    #[command(flatten)]
    pub certificate: CertificateOptions,
    /// Directory that keeps what must survive a restart; never a key
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,
    /// Where the API listens, unix:PATH or IP:PORT; may be repeated
    #[arg(long, value_name = "ADDR", default_value = "unix:/run/leno/manager.sock")]
    pub api: Vec<BindAddress>,
    /// Who may call it.
    #[command(flatten)]
    pub api_access: ApiOptions,
    /// Where metrics are served
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), model::address::PORT_CONTROL_METRICS))]
    pub metrics: SocketAddr,
}

/// What tests replace.
pub struct Seams {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who signs the certificate; `None`: the one of [`Options::issuer`].
    pub issuer: Option<Arc<dyn RootIssuer>>,
}

impl Default for Seams {
    fn default() -> Self {
        Self { clock: Arc::new(daemon::clock::System), issuer: None }
    }
}
