//! Leno's mesh on a stage: a control plane at the callee's host, and a sidecar on each host. Real processes, joined
//! by token.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use model::address::{PORT_ADMIN, PORT_CONTROL, PORT_CONTROL_METRICS, mesh_only_candidate};
use rcgen::{CertificateParams, KeyPair};
use xds::grpc::Join;

use crate::allocations::{self, CountedProxy};
use crate::control_plane::{ControlAddresses, RunningControl, TRUST_DOMAIN};
use crate::joining;
use crate::process::{self, LOAD_CORE, PROXY_CORE, RunningProgram};
use crate::stage::{CALLEE, CALLER, TwoHosts};

/// The service's name in the mesh.
const HOST: &str = "callee.default.svc.cluster.local";
/// Rules of the callee's policy; the last one lets the caller in.
pub(crate) const RULES: usize = 10;

/// The programs, and where their files go.
pub(crate) struct Mesh<'a> {
    stage: &'a TwoHosts,
    folder: PathBuf,
    proxy: PathBuf,
    control: RunningControl,
    app: AppPorts,
}

/// What a sidecar writes of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logging {
    /// A line for each.
    All,
    /// Nothing.
    None,
}

impl<'a> Mesh<'a> {
    /// Starts the control plane; `app` are the ports of the callee's application, HTTP and opaque.
    pub(crate) fn start(stage: &'a TwoHosts, leno: &Path, folder: &Path, app: AppPorts) -> Result<Mesh<'a>> {
        write_documents(folder, app, 1)?;
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let at = ControlAddresses {
            streams: SocketAddr::from((CALLEE, PORT_CONTROL)),
            api: loopback(15_080),
            metrics: loopback(PORT_CONTROL_METRICS),
        };
        let control = RunningControl::start(leno, LOAD_CORE, folder, &at, Some(&folder.join("config")))?;
        let proxy = leno.with_file_name("leno-proxy");
        Ok(Mesh { stage, folder: folder.to_owned(), proxy, control, app })
    }

    /// Starts the callee's sidecar, then the caller's; both are ready. `wrap` may put something around the program.
    pub(crate) fn sidecars(&self, logging: Logging, wrap: Wrap<'_>) -> Result<Vec<RunningProgram>> {
        let callee = self.callee(logging, wrap)?;
        let caller = self.sidecar("caller", CALLER, logging, wrap)?;
        Ok(vec![caller, callee])
    }

    /// The callee's alone.
    pub(crate) fn callee(&self, logging: Logging, wrap: Wrap<'_>) -> Result<RunningProgram> {
        self.sidecar("callee", CALLEE, logging, wrap)
    }

    /// Joins as the caller and keeps what came of it, key and all, in a file of PEM: for who calls without a sidecar.
    pub(crate) fn credentials(&self) -> Result<PathBuf> {
        let key = KeyPair::generate()?;
        let join = Join {
            token: self.control.client()?.token("caller")?,
            csr: CertificateParams::default().serialize_request(&key)?.der().to_vec(),
            addresses: vec![CALLER.into()],
            version: "bench".to_owned(),
        };
        let dial = joining::dial(SocketAddr::from((CALLEE, PORT_CONTROL)), CALLEE.into());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let joined = runtime.block_on(joining::join(dial, &join))?;
        let mut text = key.serialize_pem();
        for certificate in &joined.chain {
            let body = BASE64_STANDARD.encode(certificate);
            let _ = write!(text, "-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        }
        let path = self.folder.join("leno-caller.pem");
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Both with counting allocators.
    pub(crate) fn counted_sidecars(&self, logging: Logging) -> Result<Vec<CountedProxy>> {
        let mut counted = Vec::new();
        for (group, address) in [("callee", CALLEE), ("caller", CALLER)] {
            let token = self.folder.join(format!("token-{group}"));
            fs::write(&token, self.control.client()?.token(group)?)?;
            let mut command = allocations::sidecar_command()?;
            command.push(format!("--join-token-file={}", token.display()));
            command.extend(self.options(group, address, logging));
            let log = self.folder.join(format!("counted-{group}.log"));
            counted.push(CountedProxy::start(&self.at_host(address, command), &log)?);
            self.wait(group, address)?;
        }
        Ok(counted)
    }

    /// Changes the weight of the callee's endpoint: a change of one endpoint.
    pub(crate) fn set_weight(&self, weight: usize) -> Result<()> {
        write_documents(&self.folder, self.app, weight)
    }

    /// Bytes that the control plane has sent to proxies so far.
    pub(crate) fn sent_bytes(&self) -> Result<f64> {
        process::sent_bytes(PORT_CONTROL)
    }

    /// Where a caller reaches the service.
    pub(crate) fn service(port: u16) -> SocketAddr {
        SocketAddr::from((mesh_only_candidate(HOST, 0), port))
    }

    /// Options of a sidecar, but for its token.
    fn options(&self, group: &str, address: Ipv4Addr, logging: Logging) -> Vec<String> {
        let mut options = vec![format!("--control={CALLEE}:{PORT_CONTROL}"), "--workers=1".to_owned()];
        options.push(format!("--address={address}"));
        if logging == Logging::All {
            let log = self.folder.join(format!("leno-{group}.access"));
            options.push(format!("--access-log={}", log.display()));
        }
        options
    }

    fn at_host(&self, address: Ipv4Addr, command: Vec<String>) -> Vec<String> {
        if address == CALLER { self.stage.at_caller(&command) } else { command }
    }

    fn sidecar(
        &self,
        group: &str,
        address: Ipv4Addr,
        logging: Logging,
        wrap: Wrap<'_>,
    ) -> Result<RunningProgram> {
        let mut command = vec![self.proxy.display().to_string(), "--join-token-file=-".to_owned()];
        command.extend(self.options(group, address, logging));
        let command = self.at_host(address, wrap(group, command));
        let log = self.folder.join(format!("leno-{group}.log"));
        let token = process::input(&self.control.client()?.token(group)?)?;
        let running = RunningProgram::start_hearing(group, PROXY_CORE, &command, &log, token)?;
        self.wait(group, address)?;
        Ok(running)
    }

    /// Until a sidecar is ready.
    fn wait(&self, group: &str, address: Ipv4Addr) -> Result<()> {
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_ADMIN));
        let probe = self.at_host(address, probe(admin, "/ready")?);
        process::run(&probe, "").with_context(|| format!("wait for the {group}'s sidecar; see its log"))
    }
}

/// Puts something around a sidecar's command: its group, the command.
pub(crate) type Wrap<'a> = &'a dyn Fn(&str, Vec<String>) -> Vec<String>;

/// Nothing.
pub(crate) fn bare(_group: &str, command: Vec<String>) -> Vec<String> {
    command
}

/// Ports of the callee's application.
#[derive(Clone, Copy)]
pub(crate) struct AppPorts {
    pub http: u16,
    pub tcp: u16,
}

/// The command that waits until a GET is answered with 200.
pub(crate) fn probe(address: SocketAddr, path: &str) -> Result<Vec<String>> {
    let itself = std::env::current_exe()?.display().to_string();
    Ok(vec![itself, "tool".to_owned(), "probe".to_owned(), address.to_string(), path.to_owned()])
}

fn write_documents(folder: &Path, app: AppPorts, weight: usize) -> Result<()> {
    let config = folder.join("config");
    fs::create_dir_all(&config)?;
    fs::write(config.join(".mesh.partial"), documents(app, weight))?;
    Ok(fs::rename(config.join(".mesh.partial"), config.join("mesh.yaml"))?)
}

fn documents(app: AppPorts, weight: usize) -> String {
    let mut rules: Vec<String> = (1..RULES)
        .map(|n| {
            format!(
                "  - from: [{{source: {{principals: [{TRUST_DOMAIN}/ns/default/sa/other-{n}]}}}}]\n    \
                 to: [{{operation: {{methods: [GET], paths: [\"/admin-{n}/*\"]}}}}]\n"
            )
        })
        .collect();
    rules.push(format!("  - from: [{{source: {{principals: [{TRUST_DOMAIN}/ns/default/sa/caller]}}}}]\n"));
    let group = |name: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {{name: {name}, namespace: default}}\n\
             spec: {{metadata: {{labels: {{app: {name}}}}}, template: {{serviceAccount: {name}, weight: {weight}}}}}\n---\n"
        )
    };
    format!(
        "apiVersion: leno.dev/v1alpha1\nkind: MeshSettings\nmetadata: {{name: default}}\n\
         spec: {{trustDomain: {TRUST_DOMAIN}, mtls: Strict}}\n---\n{}{}\
         apiVersion: v1\nkind: Service\nmetadata: {{name: callee, namespace: default}}\nspec:\n  \
         selector: {{app: callee}}\n  ports:\n  - {{name: http, port: 80, targetPort: {}}}\n  \
         - {{name: tcp, port: 81, targetPort: {}}}\n---\n\
         apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: callee, namespace: default}}\n\
         spec:\n  selector: {{matchLabels: {{app: callee}}}}\n  rules:\n{}",
        group("caller"),
        group("callee"),
        app.http,
        app.tcp,
        rules.concat()
    )
}
