//! What both planes are told of who may call their API. Where they listen each says itself.

use std::path::PathBuf;

/// Who may call the API.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Who may call the API")]
pub struct ApiOptions {
    /// Group whose members may open the API's Unix sockets too (mode 0660 instead of 0600)
    ///
    /// What they may do there is up to the options of roles. Root and the user that this process runs as have the
    /// role admin without any option. Roles: view reads; edit changes objects too; admin does everything, join tokens
    /// too.
    #[arg(long, value_name = "GROUP|GID")]
    pub api_group: Option<String>,
    /// Users who have the role admin on Unix sockets
    #[arg(long, value_name = "USER|UID", value_delimiter = ',', requires = "api_group")]
    pub api_admin_user: Vec<String>,
    /// Groups whose members have the role admin on Unix sockets
    #[arg(long, value_name = "GROUP|GID", value_delimiter = ',', requires = "api_group")]
    pub api_admin_group: Vec<String>,
    /// Users who have the role edit on Unix sockets
    #[arg(long, value_name = "USER|UID", value_delimiter = ',', requires = "api_group")]
    pub api_edit_user: Vec<String>,
    /// Groups whose members have the role edit on Unix sockets
    #[arg(long, value_name = "GROUP|GID", value_delimiter = ',', requires = "api_group")]
    pub api_edit_group: Vec<String>,
    /// Users who have the role view on Unix sockets
    #[arg(long, value_name = "USER|UID", value_delimiter = ',', requires = "api_group")]
    pub api_view_user: Vec<String>,
    /// Groups whose members have the role view on Unix sockets
    #[arg(long, value_name = "GROUP|GID", value_delimiter = ',', requires = "api_group")]
    pub api_view_group: Vec<String>,
    /// File of tokens that callers may send, TOKEN,USER,ROLE in each line; nobody else may read it
    ///
    /// Read again when it has changed. A token is at least 16 characters long; make one with `openssl rand -hex 32`.
    #[arg(long, value_name = "FILE")]
    pub api_token_file: Option<PathBuf>,
    /// Certificate authorities (PEM) of client certificates on TCP: the CN is the user, the O the role
    #[arg(long, value_name = "FILE")]
    pub api_client_ca_file: Option<PathBuf>,
    /// Certificate chain (PEM) that the API shows on TCP [default: the certificate that this process has in the mesh]
    #[arg(long, value_name = "FILE", requires = "api_tls_key_file")]
    pub api_tls_cert_file: Option<PathBuf>,
    /// Private key (PEM) of that certificate; nobody else may read it
    #[arg(long, value_name = "FILE", requires = "api_tls_cert_file")]
    pub api_tls_key_file: Option<PathBuf>,
    /// On loopback addresses of --api, whoever calls has the role admin: every user and process of this host
    ///
    /// For tests and demonstrations. Without it nothing listens on TCP that does not ask who calls.
    #[arg(long)]
    pub api_insecure_loopback: bool,
}
