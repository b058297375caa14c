#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
//! Files on a file system that hangs.

use super::FileWatch;
use crate::backend_tls::{HostTls, TlsPayload};
use crate::edge_tls::certificates::ListenerCertificates;
use crate::edge_tls::tests::EdgeAuthority;
use decide::attach::merge;
use model::backend_tls::{Authorities, BackendTls, TlsOrigination};
use model::listener_tls::CertificateRef;
use model::service::Service;
use model::traffic::{AttachLevel, AttachedPolicy, TrafficPolicy};
use model::{Hostname, ObjectRef, Origin};
use nix::mount::{MsFlags, mount};
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Runs the test called `name` again where it may mount what it wants.
fn with_own_mounts(name: &str, inside: impl FnOnce()) {
    const ENTERED: &str = "LENO_TEST_OWN_MOUNTS";
    if std::env::var_os(ENTERED).is_some() {
        return inside();
    }
    let mut again = Command::new("timeout");
    again.args(["60", "unshare", "--user", "--map-root-user", "--mount", "--"]);
    again.arg(std::env::current_exe().unwrap()).args([name, "--exact", "--nocapture"]).env(ENTERED, "1");
    let output = again.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let is_run = told.contains("1 passed");
    assert!(output.status.success() && is_run, "{told}{}", String::from_utf8_lossy(&output.stderr));
}

/// Whatever is asked of files here waits until this is dropped: a FUSE file system whose server does not answer.
fn hang(directory: &Path) -> File {
    let server = OpenOptions::new().read(true).write(true).open("/dev/fuse").unwrap();
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
    mount(Some("hangs"), directory, Some("fuse"), MsFlags::empty(), Some(options.as_str())).unwrap();
    server
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    // Whoever runs it again has a limit of time.
    while !is_so() {
        std::thread::yield_now();
    }
    println!("{what}");
}

#[test]
fn a_file_system_that_hangs_stops_nobody() {
    with_own_mounts("watched_files::tests::a_file_system_that_hangs_stops_nobody", || {
        let (authority, bed) = (EdgeAuthority::new("ca"), tempfile::tempdir().unwrap());
        for name in ["hangs", "good", "later"] {
            let directory = bed.path().join(name);
            fs::create_dir(&directory).unwrap();
            let pair = authority.server(&["a.example"]);
            fs::write(directory.join("tls.crt"), pair.certificate).unwrap();
            fs::write(directory.join("tls.key"), pair.key).unwrap();
            fs::write(directory.join("ca.crt"), authority.pem()).unwrap();
        }
        let path =
            |directory: &str, file: &str| bed.path().join(directory).join(file).to_str().unwrap().to_owned();
        let pair = |directory: &str| CertificateRef::Files {
            certificate: path(directory, "tls.crt").as_str().into(),
            key: path(directory, "tls.key").as_str().into(),
        };
        let files = Arc::<FileWatch>::default();
        let certificates = ListenerCertificates::new(Arc::clone(&files));
        let originated = backend(&path("later", "ca.crt"), &files);
        let handshake = || originated.at(443).unwrap().handshake(TlsPayload::Http1).is_some();
        assert!(handshake());

        let (server, other) = (hang(&bed.path().join("hangs")), hang(&bed.path().join("later")));
        // Whoever puts the configuration in force goes on, and what is there is in force at once.
        let (hanging, bundle) = (
            certificates.pair(&pair("hangs")),
            certificates.bundle(&path("hangs", "ca.crt").as_str().into()),
        );
        let good = certificates.pair(&pair("good"));
        assert!(hanging.current().is_none() && bundle.current().is_none());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let watch = Arc::clone(&files);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let watching = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! { () = watch.watch() => {}, _ = stopped => {} }
            });
        });
        until("a good pair is in force", || good.current().is_some());
        let first = good.current().unwrap().sha256.clone();
        let newer = authority.server(&["a.example"]);
        fs::write(path("good", "tls.crt"), newer.certificate).unwrap();
        fs::write(path("good", "tls.key"), newer.key).unwrap();
        until("changes of others are seen", || good.current().unwrap().sha256 != first);
        // Workers never look themselves.
        assert!(handshake());
        assert!(certificates.faults().is_empty());

        // Once it answers, whatever that is, it is told.
        drop((server, other));
        until("the others have failed", || hanging.fault().is_some() && bundle.fault().is_some());
        assert!(handshake(), "the last good files stay");
        drop(stop);
        watching.join().unwrap();
        // The directories below must be free again before they are removed.
        for name in ["hangs", "later"] {
            nix::mount::umount(&bed.path().join(name)).unwrap();
        }
    });
}

/// TLS to a service, with authorities out of this file.
fn backend(authorities: &str, files: &FileWatch) -> Arc<HostTls> {
    let tls = TlsOrigination {
        server_name: None,
        subject_alt_names: Vec::new(),
        authorities: Authorities::File(authorities.into()),
        client_certificate: None,
    };
    let policy =
        TrafficPolicy { tls: Some(BackendTls::Originate(Box::new(tls))), ..TrafficPolicy::default() }.into();
    let origin = Origin { object: ObjectRef::new("TrafficPolicy", "default", "p"), file: "".into(), line: 0 };
    let attached = AttachedPolicy { level: AttachLevel::Backend, origin, created_s: 0, policy };
    let service = Service {
        host: Hostname::parse("api.example").unwrap(),
        namespace: "default".into(),
        name: "api".into(),
        address: None,
        ports: Vec::new(),
        global: false,
        failover_order: Vec::new(),
        headless: None,
        external: None,
    };
    HostTls::new(&service, &merge([&attached]), files).unwrap()
}
