#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::ask::Asker;
use super::exec::ExecProbes;
use super::*;
use crate::accept::Mark;
use bytes::Bytes;
use model::probe::{GrpcProbe, HttpGetProbe, ProbeAction, ProbeHeader, ProbeScheme, TcpSocketProbe};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(60);

async fn local<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, LocalSet::new().run_until(test)).await.unwrap()
}

fn asker(exec: ExecProbes) -> Asker {
    Asker::new(Ipv4Addr::LOCALHOST.into(), Mark::Free, exec)
}

async fn ask(action: &ProbeAction) -> Result<(), String> {
    // Boxed, for it holds every way of asking.
    let asker = asker(ExecProbes::Allowed);
    Box::pin(asker.ask(action)).await
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn get(port: u16) -> HttpGetProbe {
    let headers = vec![ProbeHeader { name: "X-Test".into(), value: "yes".into() }];
    HttpGetProbe { path: "/healthz?deep=1".into(), port, scheme: ProbeScheme::Http, host: None, headers }
}

/// Reads one head.
async fn read_head(io: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// An application that answers one request so, and what it was asked.
async fn answering(answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
    let (listener, port) = listen().await;
    let serving = tokio::task::spawn_local(async move {
        let (mut io, _) = listener.accept().await.unwrap();
        let head = read_head(&mut io).await;
        io.write_all(answer.as_bytes()).await.unwrap();
        // Not closed before the prober has seen it.
        let _ = io.read(&mut [0]).await;
        head
    });
    (port, serving)
}

#[tokio::test]
async fn the_status_of_an_answer_counts_and_nothing_else() {
    local(async {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Ok(())),
            ("HTTP/1.1 204 No Content\r\n\r\n", Ok(())),
            // The body never ends.
            ("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n.", Ok(())),
            (
                "HTTP/1.1 302 Found\r\nlocation: http://elsewhere.invalid/\r\ncontent-length: 0\r\n\r\n",
                Ok(()),
            ),
            ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", Err("HTTP status 404")),
            ("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", Err("HTTP status 500")),
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", Err("no HTTP answer")),
        ] {
            let (port, _serving) = answering(answer).await;
            match (ask(&ProbeAction::HttpGet(get(port))).await, expected) {
                (Ok(()), Ok(())) => {}
                (Err(cause), Err(expected)) => assert!(cause.starts_with(expected), "{answer}: {cause}"),
                (found, _) => panic!("{answer}: {found:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_request_is_as_it_was_written() {
    local(async {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let (port, serving) = answering(answer).await;
        ask(&ProbeAction::HttpGet(get(port))).await.unwrap();
        let head = serving.await.unwrap().to_lowercase();
        assert!(head.starts_with("get /healthz?deep=1 http/1.1\r\n"), "{head}");
        for line in [
            "x-test: yes",
            &format!("host: 127.0.0.1:{port}"),
            "connection: close",
            "user-agent: leno-probe/",
        ] {
            assert!(head.contains(&format!("\r\n{line}")), "{line} in {head}");
        }
        let (port, serving) = answering(answer).await;
        let named =
            ["Host", "User-Agent"].map(|name| ProbeHeader { name: name.into(), value: "shop".into() });
        ask(&ProbeAction::HttpGet(HttpGetProbe { headers: named.into(), ..get(port) })).await.unwrap();
        let head = serving.await.unwrap().to_lowercase();
        assert_eq!(head.matches("host:").count(), 1, "{head}");
        assert!(head.contains("\r\nhost: shop\r\n") && head.contains("\r\nuser-agent: shop\r\n"), "{head}");
    })
    .await;
}

#[tokio::test]
async fn an_application_that_hangs_is_given_up_in_time() {
    local(async {
        // The kernel takes the connection, nobody answers.
        let (_listener, port) = listen().await;
        let action = ProbeAction::HttpGet(get(port));
        let outcome = within(Duration::from_millis(50), ask(&action)).await;
        assert_eq!(outcome, ProbeOutcome::Failure("no answer within 50ms".into()));
        let tcp = ProbeAction::TcpSocket(TcpSocketProbe { port, host: Some(Ipv4Addr::LOCALHOST.into()) });
        assert_eq!(ask(&tcp).await, Ok(()));
    })
    .await;
}

#[tokio::test]
async fn where_nobody_listens_the_place_is_told() {
    local(async {
        let (listener, port) = listen().await;
        drop(listener);
        for action in [
            ProbeAction::HttpGet(get(port)),
            ProbeAction::TcpSocket(TcpSocketProbe { port, host: None }),
            ProbeAction::Grpc(GrpcProbe { port, service: "".into() }),
        ] {
            let cause = ask(&action).await.unwrap_err();
            assert_eq!(cause, format!("cannot connect to 127.0.0.1:{port}: connection refused"));
        }
    })
    .await;
}

/// Its requests reach it there as well.
#[tokio::test]
async fn an_application_on_loopback_is_found_unless_the_probe_names_a_place() {
    local(async {
        let (_listener, port) = listen().await;
        let elsewhere = IpAddr::from([127, 0, 0, 2]);
        let asker = Asker::new(elsewhere, Mark::Free, ExecProbes::Refused);
        for (host, is_found) in [(None, true), (Some(elsewhere), false)] {
            let action = ProbeAction::TcpSocket(TcpSocketProbe { port, host });
            assert_eq!(Box::pin(asker.ask(&action)).await.is_ok(), is_found, "{host:?}");
        }
    })
    .await;
}

/// As the kubelet: whoever has the port may have made its certificate itself.
#[tokio::test]
async fn a_certificate_is_not_verified() {
    local(async {
        let own = rcgen::generate_simple_self_signed(vec!["somebody.else".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(identity::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let (listener, port) = listen().await;
        let serving = tokio::task::spawn_local(async move {
            let (io, _) = listener.accept().await.unwrap();
            let mut tls = acceptor.accept(io).await.unwrap();
            let head = read_head(&mut tls).await;
            tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            tls.flush().await.unwrap();
            let _ = tls.read(&mut [0]).await;
            head
        });
        let probe = HttpGetProbe { scheme: ProbeScheme::Https, ..get(port) };
        assert_eq!(ask(&ProbeAction::HttpGet(probe.clone())).await, Ok(()));
        assert!(serving.await.unwrap().contains("x-test: yes"));
        let (listener, port) = listen().await;
        tokio::task::spawn_local(async move {
            let (mut io, _) = listener.accept().await.unwrap();
            io.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            let _ = io.read_to_end(&mut Vec::new()).await;
        });
        let cause = ask(&ProbeAction::HttpGet(HttpGetProbe { port, ..probe })).await.unwrap_err();
        assert!(cause.starts_with(&format!("TLS with 127.0.0.1:{port}: ")), "{cause}");
    })
    .await;
}

/// What a health server of gRPC answers.
#[derive(Clone, Copy)]
enum Health {
    /// `ServingStatus`.
    Says(u8),
    /// A status of gRPC in trailers alone.
    Fails(&'static str),
}

/// Serves HTTP/2 as a gRPC server does; returns what it was asked.
async fn serve_grpc(io: impl AsyncRead + AsyncWrite + Unpin, health: Health) -> (String, Bytes) {
    let mut connection = h2::server::handshake(io).await.unwrap();
    let (request, mut respond) = connection.accept().await.unwrap().unwrap();
    let answering = async {
        let path = request.uri().path().to_owned();
        assert_eq!(request.headers()["content-type"], "application/grpc");
        assert_eq!(request.headers()["te"], "trailers");
        let mut body = request.into_body();
        let mut asked = Vec::new();
        while let Some(data) = body.data().await {
            asked.extend_from_slice(&data.unwrap());
        }
        let head = ::http::Response::builder().header("content-type", "application/grpc");
        match health {
            Health::Says(status) => {
                let mut send = respond.send_response(head.body(()).unwrap(), false).unwrap();
                let message = if status == 0 { vec![] } else { vec![8, status] };
                let mut framed = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
                framed.extend(message);
                send.send_data(framed.into(), false).unwrap();
                let mut trailers = ::http::HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                send.send_trailers(trailers).unwrap();
            }
            Health::Fails(status) => {
                let head = head.header("grpc-status", status).body(()).unwrap();
                respond.send_response(head, true).unwrap();
            }
        }
        (path, asked.into())
    };
    tokio::pin!(answering);
    let asked = tokio::select! {
        asked = &mut answering => asked,
        _ = connection.accept() => answering.await,
    };
    while connection.accept().await.is_some() {}
    asked
}

#[tokio::test]
async fn a_health_service_of_grpc_is_asked_by_its_protocol() {
    local(async {
        for (health, expected) in [
            (Health::Says(1), Ok(())),
            (Health::Says(0), Err("the health service says UNKNOWN")),
            (Health::Says(2), Err("the health service says NOT_SERVING")),
            (Health::Fails("5"), Err("gRPC status 5: the server does not know the service")),
            (Health::Fails("12"), Err("gRPC status 12: the server has no health service")),
        ] {
            let (listener, port) = listen().await;
            let serving = tokio::task::spawn_local(async move {
                let (io, _) = listener.accept().await.unwrap();
                Box::pin(serve_grpc(io, health)).await
            });
            let found = ask(&ProbeAction::Grpc(GrpcProbe { port, service: "shop".into() })).await;
            assert_eq!(found, expected.map_err(str::to_owned));
            let (path, asked) = serving.await.unwrap();
            assert_eq!(
                (path.as_str(), &asked[..]),
                ("/grpc.health.v1.Health/Check", &b"\0\0\0\0\x06\x0a\x04shop"[..])
            );
        }
        let (port, _serving) = answering("HTTP/1.1 200 OK\r\n\r\n").await;
        let found = within(LONG, ask(&ProbeAction::Grpc(GrpcProbe { port, service: "".into() }))).await;
        assert!(matches!(found, ProbeOutcome::Failure(_)), "{found:?}");
    })
    .await;
}

fn exec(command: &[&str]) -> ProbeAction {
    ProbeAction::Exec(command.iter().map(|word| (*word).into()).collect())
}

#[tokio::test]
async fn a_program_runs_only_where_the_host_allows_it_and_its_status_counts() {
    local(async {
        assert_eq!(ask(&exec(&["true"])).await, Ok(()));
        assert_eq!(ask(&exec(&["false"])).await, Err("exit status 1".to_owned()));
        let missing = ask(&exec(&["no-such-program"])).await;
        assert_eq!(missing, Err("exit status 127: the program is not there".to_owned()));
        // No shell reads it, and it has neither our environment nor our capabilities.
        let script = "test \"$1\" = '; false' && test -z \"$CARGO_MANIFEST_DIR\" && test \"$PWD\" = / && \
                      grep -q '^CapAmb:\\s0*$' /proc/self/status && grep -q '^NoNewPrivs:\\s1$' /proc/self/status";
        assert_eq!(ask(&exec(&["sh", "-c", script, "sh", "; false"])).await, Ok(()));
        let refused = asker(ExecProbes::Refused).ask(&exec(&["true"])).await.unwrap_err();
        assert!(refused.contains("--allow-exec-probes"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_killed_with_its_children() {
    local(async {
        let pipe = std::env::temp_dir().join(format!("leno-probe-{}", std::process::id()));
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Both hold the pipe open: it ends when both are gone.
        let script = format!("exec > {}; sleep 1000 & echo; sleep 1000", pipe.display());
        let command = exec(&["sh", "-c", &script]);
        let asking = ask(&command);
        let (read, has_begun) = (pipe.clone(), Arc::new(tokio::sync::Notify::new()));
        let begun = Arc::clone(&has_begun);
        let reading = tokio::task::spawn_local(async move {
            let mut file = tokio::fs::File::open(read).await.unwrap();
            assert_eq!(file.read_u8().await.unwrap(), b'\n');
            begun.notify_one();
            file.read_to_end(&mut Vec::new()).await.unwrap();
        });
        tokio::select! {
            answer = asking => panic!("{answer:?}"),
            () = has_begun.notified() => {}
        }
        reading.await.unwrap();
        std::fs::remove_file(pipe).unwrap();
    })
    .await;
}

/// Waits for a state of the application.
async fn until(health: &mut watch::Receiver<ApplicationHealth>, is_it: impl Fn(&ApplicationHealth) -> bool) {
    health.wait_for(|health| is_it(health)).await.unwrap();
}

#[tokio::test]
async fn it_is_probed_as_configured_and_not_at_all_without_a_probe() {
    local(async {
        let (listener, port) = listen().await;
        let at: SocketAddr = listener.local_addr().unwrap();
        let probe = Arc::new(ReadinessProbe {
            action: ProbeAction::TcpSocket(TcpSocketProbe { port, host: None }),
            initial_delay: Duration::ZERO,
            timeout: Duration::from_secs(5),
            period: Duration::from_millis(1),
            success_threshold: 2,
            failure_threshold: 2,
        });
        let probing = Probing::new();
        let mut health = probing.health();
        assert_eq!(*health.borrow(), ApplicationHealth::Unknown);
        tokio::task::spawn_local(Arc::clone(&probing).run(asker(ExecProbes::Refused)));
        probing.configure(Some(&probe));
        assert!(matches!(*health.borrow(), ApplicationHealth::NotReady(_)));
        until(&mut health, |health| *health == ApplicationHealth::Ready).await;
        assert!(probing.counts().successes >= 2);
        drop(listener);
        let refused = format!("cannot connect to {at}: connection refused");
        until(&mut health, |health| *health == ApplicationHealth::NotReady(refused.as_str().into())).await;
        let listener = TcpListener::bind(at).await.unwrap();
        until(&mut health, |health| *health == ApplicationHealth::Ready).await;
        assert!(probing.counts().failures >= 2);
        probing.configure(None);
        assert_eq!(*health.borrow(), ApplicationHealth::NotProbed);
        let nobody = Probing::new();
        tokio::task::spawn_local(Arc::clone(&nobody).run(asker(ExecProbes::Refused)));
        nobody.configure(None);
        tokio::task::yield_now().await;
        assert_eq!(nobody.counts(), ProbeCounts { successes: 0, failures: 0 });
        drop(listener);
    })
    .await;
}
