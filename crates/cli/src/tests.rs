#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
//! Whole commands against a small API that answers as a control plane does.

use crate::console::Console;
use crate::{Command, dispatch, exit};
use clap::Parser;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const GOOD: &str = "apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  ports: [{name: http, port: 80}]
";

const SYNCED: &str = r#"{"cluster":"west","proxies":[{"uid":"west/default/web-1","namespace":"default",
"connected":true,"synced":true,"sent":"abcd","applied":"abcd","ageSeconds":5.0}]}"#;

#[derive(clap::Parser)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Default)]
struct Buffer(Rc<RefCell<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a command printed, how it ended, and what the API was asked, as `METHOD PATH`.
struct Ended {
    code: i32,
    out: String,
    err: String,
    asked: Vec<String>,
}

/// Runs `line` (`FILE` stands for a file with `file` in it) against an API that answers `METHOD PATH` with
/// status and body, 404 for all else.
fn leno(line: &str, file: &str, answers: &[(&str, u16, &str)]) -> Ended {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("given.yaml");
    std::fs::write(&path, file).unwrap();
    let line = line.replace("FILE", path.to_str().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answers: HashMap<String, (u16, String)> = answers
        .iter()
        .map(|(ask, status, body)| ((*ask).to_owned(), (*status, (*body).to_owned())))
        .collect();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Rc::new(RefCell::new(Vec::new()));
        let api = serve(listener, answers, Rc::clone(&asked));
        let (out, err) = (Buffer::default(), Buffer::default());
        let mut console = Console::new(Box::new(out.clone()), Box::new(err.clone()));
        let command = parse(&line, address);
        let code = tokio::select! {
            outcome = dispatch(command, &mut console) => match outcome {
                Ok(code) => code,
                Err(failure) => console.failure(&failure),
            },
            () = api => panic!("the API never ends"),
        };
        let asked = asked.borrow().clone();
        Ended { code, out: out.text(), err: err.text(), asked }
    })
}

fn parse(line: &str, address: SocketAddr) -> Command {
    let server = ["--server".to_owned(), format!("http://{address}")];
    let words = ["leno"].into_iter().chain(line.split_whitespace()).map(str::to_owned);
    Program::try_parse_from(words.chain(server)).unwrap().command
}

/// One connection after the other, one request on each.
async fn serve(
    listener: TcpListener,
    answers: HashMap<String, (u16, String)>,
    asked: Rc<RefCell<Vec<String>>>,
) {
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        let ask = read_request(&mut socket).await;
        let (status, body) =
            answers.get(&ask).cloned().unwrap_or((404, r#"{"message":"not found"}"#.to_owned()));
        asked.borrow_mut().push(ask);
        let head =
            format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
    }
}

/// Reads a request with its body and gives `METHOD PATH`.
async fn read_request(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        assert!(socket.read_buf(&mut bytes).await.unwrap() > 0, "the request broke off");
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return head.split(" HTTP/1.1").next().unwrap().to_owned();
        }
    }
}

const BATCH: &str = "POST /leno/v1/batch";
const STATUS: &str = "GET /leno/v1/status";

#[test]
fn apply_sends_each_object_and_says_what_became_of_it() {
    let ended = leno("apply -f FILE", GOOD, &[(BATCH, 200, TAKEN)]);
    assert_eq!((ended.code, &*ended.out, &*ended.err), (exit::OK, "service/web created\n", ""));
    let ended = leno("apply -f FILE", GOOD, &[(BATCH, 200, &TAKEN.replace("created", "configured"))]);
    assert_eq!(ended.out, "service/web configured\n");
    // Several are one call.
    let both = format!("{GOOD}---\n{}", GOOD.replace("web", "other"));
    let ended = leno("apply -f FILE", &both, &[(BATCH, 200, TAKEN)]);
    assert_eq!((ended.code, ended.asked), (exit::OK, vec![BATCH.to_owned()]));
}

#[test]
fn apply_sends_nothing_when_anything_is_wrong() {
    let bad = format!("{GOOD}---\napiVersion: v1\nkind: Service\nmetadata: {{name: b}}\nspecs: 1\n");
    let ended = leno("apply -f FILE", &bad, &[(BATCH, 200, TAKEN)]);
    assert_eq!((ended.code, ended.asked.len(), &*ended.out), (exit::DATA, 0, ""));
    for part in
        ["error[LENO0003] Service/b.default (", "given.yaml:10)", "\n 10 | specs: 1", "nothing was applied"]
    {
        assert!(ended.err.contains(part), "{part} in {}", ended.err);
    }
}

#[test]
fn apply_shows_why_the_control_plane_refused() {
    let refusal = r#"{"kind":"Status","message":"no","details":{"findings":[{"code":"LENO0008","level":"error",
        "kind":"Service","namespace":"default","name":"web","file":"","line":0,"cause":"it is a file's","fix":"change it"}]}}"#;
    let ended = leno("apply -f FILE", GOOD, &[(BATCH, 409, refusal)]);
    assert_eq!((ended.code, &*ended.out), (exit::DATA, ""));
    assert!(
        ended.err.contains("error[LENO0008] Service/web.default (")
            && ended.err.contains("given.yaml:1): it is a file's; change it")
            && ended.err.ends_with("nothing was applied\n"),
        "{}",
        ended.err
    );
    // A line of what was sent is one of the file; an object that was not sent has none here.
    let told = TAKEN.replace(r#""findings":[]"#, r#""findings":[
        {"code":"LENO0105","kind":"Service","namespace":"default","name":"web","file":"","line":6,"cause":"c","fix":"f"},
        {"code":"LENO0101","kind":"HTTPRoute","namespace":"default","name":"r","file":"","line":3,"cause":"c","fix":"f"}]"#);
    let ended = leno("apply -f FILE", &format!("a: [\n---\n# why\n\n{GOOD}"), &[(BATCH, 200, &told)]);
    assert_eq!(ended.asked.len(), 0);
    let ended = leno("apply -f FILE", &format!("---\n# why\n\n{GOOD}"), &[(BATCH, 200, &told)]);
    for part in ["given.yaml:7): c; f\n", "\n 7 | spec:\n", "error[LENO0101] HTTPRoute/r.default: c; f"] {
        assert!(ended.err.contains(part), "{part} in {}", ended.err);
    }
}

#[test]
fn apply_of_an_old_copy_says_where_it_says_so_and_how_to_mend_it() {
    let copy = GOOD.replace("{name: web}", "\n  name: web\n  resourceVersion: '7'");
    let refusal = r#"{"kind":"Status","reason":"Conflict","message":"no","details":{"findings":[{"code":"LENO0009",
        "kind":"Service","namespace":"default","name":"web","file":"","line":5,"cause":"it is 7, not 9","fix":"remove it"}]}}"#;
    let ended = leno("apply -f FILE", &copy, &[(BATCH, 409, refusal)]);
    assert_eq!(ended.code, exit::DATA);
    for part in
        [":5): it is 7, not 9; remove it", "5 |   resourceVersion: '7'", "error[LENO0009] Service/web"]
    {
        assert!(ended.err.contains(part), "{part} in {}", ended.err);
    }
}

const TAKEN: &str = r#"{"revision":"7","applied":[{"kind":"Service","namespace":"default","name":"web",
    "change":"created"}],"findings":[]}"#;

/// `apply --wait` of an object that got revision 7, with this status.
fn waits(line: &str, status: &str) -> Ended {
    leno(line, GOOD, &[(BATCH, 200, TAKEN), (STATUS, 200, status)])
}

#[test]
fn apply_waits_until_all_that_are_there_have_confirmed_its_revision() {
    let at = |plane: u64, proxy: u64| {
        let proxy = format!(r#""revision":{proxy},"sent""#);
        SYNCED.replacen('{', &format!(r#"{{"revision":{plane},"#), 1).replace(r#""sent""#, &proxy)
    };
    let ended = waits("apply -f FILE --wait", &at(7, 7));
    assert_eq!((ended.code, &*ended.err), (exit::OK, "confirmed by 1 proxy\n"));
    // In sync with what came before says nothing about this change.
    for (plane, proxy, who) in [(7, 6, "west/default/web-1"), (6, 6, "web-1"), (6, 7, "the control plane")] {
        let ended = waits("apply -f FILE --wait=1ms", &at(plane, proxy));
        assert_eq!(ended.code, exit::FAILED);
        assert!(
            ended.err.contains("within 1ms not confirmed by") && ended.err.contains(who),
            "{}",
            ended.err
        );
    }
    let refused = at(7, 6).replace(r#""ageSeconds""#, r#""error":"bad rule","ageSeconds""#);
    let ended = waits("apply -f FILE --wait", &refused);
    assert!(
        ended.code == exit::FAILED && ended.err.contains("refused by west/default/web-1"),
        "{}",
        ended.err
    );
    // Who is away is named and not waited for.
    let away = at(7, 0).replace(r#""connected":true"#, r#""connected":false"#);
    let ended = waits("apply -f FILE --wait", &away);
    assert_eq!(ended.code, exit::OK);
    assert!(ended.err.contains("not connected, get it on their return: west/default/web-1"), "{}", ended.err);
    // An API that names no revision cannot be waited for, and that is said.
    let ended = leno("apply -f FILE --wait", GOOD, &[(BATCH, 200, "{}"), (STATUS, 200, SYNCED)]);
    assert_eq!(ended.code, exit::FAILED);
}

#[test]
fn get_prints_a_table_names_or_what_the_server_wrote() {
    let list = r#"{"kind":"ServiceList","items":[{"metadata":{"name":"web","namespace":"default"},
        "spec":{"ports":[{"port":80}],"selector":{"app":"web"}}}]}"#;
    let answers = [("GET /api/v1/namespaces/default/services", 200, list)];
    assert_eq!(leno("get svc", "", &answers).out, "NAME   PORTS   SELECTOR\nweb    80      app=web\n");
    assert_eq!(leno("get svc -o name", "", &answers).out, "service/web\n");
    let one = [("GET /api/v1/namespaces/n/services/web", 200, r#"{"kind":"Service"}"#)];
    assert_eq!(leno("get svc/web -n n -o yaml", "", &one).out, "kind: Service\n");
    // A list is one that can be applied, and an object is found in whatever namespace.
    let yaml = leno("get svc -o yaml", "", &answers).out;
    assert!(yaml.contains("kind: List\n") && !yaml.contains("ServiceList"), "{yaml}");
    let all = [("GET /api/v1/services", 200, list)];
    assert_eq!(leno("get svc/web -A -o yaml", "", &all).code, exit::OK);
    let ended = leno("get svc/none", "", &[]);
    assert_eq!((ended.code, &*ended.err), (exit::FAILED, "error: not found\n"));
    let empty = leno("get svc -A", "", &[("GET /api/v1/services", 200, r#"{"items":[]}"#)]);
    assert_eq!((&*empty.out, &*empty.err), ("", "no resources found\n"));
}

#[test]
fn delete_tries_all_and_reports_the_missing() {
    let told = r#"{"deleted":[{"kind":"Service","namespace":"default","name":"b"}],
        "missing":[{"kind":"Service","namespace":"default","name":"a"}],"findings":[]}"#;
    let answers = [(BATCH, 200, told)];
    let ended = leno("delete svc a b", "", &answers);
    assert_eq!((ended.code, &*ended.out), (exit::FAILED, "service/b deleted\n"));
    assert_eq!((&*ended.err, ended.asked.len()), ("error: Service/a.default not found\n", 1));
    assert_eq!(leno("delete svc a b --ignore-not-found", "", &answers).code, exit::OK);
    let by_file = leno("delete -f FILE", &GOOD.replace("web", "b"), &answers);
    assert_eq!(by_file.out, "service/b deleted\n");
    let ended = leno("delete svc a", "", &[(BATCH, 409, r#"{"message":"it is a file's"}"#)]);
    assert_eq!((ended.code, &*ended.err), (exit::DATA, "error: it is a file's\n"));
}

#[test]
fn status_and_check_tell_who_is_in_sync() {
    let fine = [(STATUS, 200, SYNCED), ("GET /leno/v1/findings", 200, r#"{"findings":[]}"#)];
    assert!(
        leno("proxy-status", "", &fine)
            .out
            .contains("west/default/web-1   west      abcd   abcd    SYNCED   5s")
    );
    assert_eq!(leno("check", "", &fine).code, exit::OK);
    let stale = SYNCED.replace(r#""synced":true"#, r#""synced":false"#);
    let ended = leno("check", "", &[(STATUS, 200, &stale), fine[1]]);
    assert_eq!(ended.code, exit::FAILED);
    assert!(
        ended.out.contains("FAIL 0 of 1 proxies in sync\n    west/default/web-1 STALE\n"),
        "{}",
        ended.out
    );
}

#[test]
fn check_answers_on_stdout_in_every_form_and_counts_those_that_are_gone() {
    let findings = ("GET /leno/v1/findings", 200, r#"{"findings":[]}"#);
    let fine = leno("check", "", &[(STATUS, 200, SYNCED), findings]);
    assert!(
        fine.out.starts_with("ok   control plane of cluster west answers at http://127.0.0.1:"),
        "{}",
        fine.out
    );
    assert_eq!(fine.err, "");
    let gone = r#"{"uid":"west/default/web-2","connected":false,"synced":false,"state":"gone",
        "since":"2030-01-01T00:00:00Z"}"#;
    let with_gone = SYNCED.replace("]}", &format!(",{gone}]}}"));
    let ended = leno("check", "", &[(STATUS, 200, &with_gone), findings]);
    assert_eq!(ended.code, exit::FAILED);
    let line =
        "FAIL 1 of 2 proxies in sync\n    west/default/web-2 GONE not connected since 2030-01-01T00:00:00Z\n";
    assert!(ended.out.contains(line), "{}", ended.out);
    let json = leno("check -o json", "", &[(STATUS, 200, &with_gone), findings]);
    let value: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.code, &value["ok"], &value["exitCode"]), (exit::FAILED, &false.into(), &1.into()));
    assert_eq!(
        value["checks"][1]["details"][0],
        "west/default/web-2 GONE not connected since 2030-01-01T00:00:00Z"
    );
    let yaml = leno("check -o yaml", "", &[(STATUS, 200, SYNCED), findings]);
    assert!(yaml.code == exit::OK && yaml.out.contains("ok: true\n"), "{}", yaml.out);
    let yaml = leno("status -o yaml", "", &[(STATUS, 200, SYNCED)]);
    assert!(yaml.out.contains("cluster: west\n"), "{}", yaml.out);
}

#[test]
fn check_fails_before_a_certificate_expires() {
    let findings = ("GET /leno/v1/findings", 200, r#"{"findings":[]}"#);
    let state = |state: &str| {
        format!(r#""certificate":{{"expires":"2030-01-01T00:00:00Z","state":"{state}"}},"sent""#)
    };
    for (standing, code) in [("valid", exit::OK), ("expires-soon", exit::FAILED), ("expired", exit::FAILED)] {
        let proxies = SYNCED.replace(r#""sent""#, &state(standing));
        assert_eq!(leno("check", "", &[(STATUS, 200, &proxies), findings]).code, code, "{standing}");
        let own = format!(r#"{{"certificates":[{{"name":"signing certificate","state":"{standing}"}}],"#);
        let plane = SYNCED.replacen('{', &own, 1);
        let ended = leno("check", "", &[(STATUS, 200, &plane), findings]);
        assert_eq!(ended.code, code, "{standing}: {}", ended.out);
    }
}

const MANAGER: &str = r#"{"plane":"manager","clusters":[{"cluster":"east","connected":true,"synced":true,"state":"synced",
"sent":"ab","applied":"ab","ageSeconds":7.0},{"cluster":"west","connected":false,"synced":false,"state":"gone",
"since":"2030-01-01T00:00:00Z","ageSeconds":60.0}],"certificates":[]}"#;

#[test]
fn the_management_plane_is_asked_with_the_same_commands() {
    let ended = leno("status", "", &[(STATUS, 200, MANAGER)]);
    assert!(
        ended.code == exit::OK && ended.out.contains("\nwest   west      -      -       GONE"),
        "{}",
        ended.out
    );
    let ended = leno("check", "", &[(STATUS, 200, MANAGER)]);
    assert!(
        ended.code == exit::FAILED && ended.out.contains("FAIL 1 of 2 clusters in sync\n    west GONE"),
        "{}",
        ended.out
    );
    assert_eq!(leno("status -n default", "", &[(STATUS, 200, MANAGER)]).asked.len(), 1);
}

#[test]
fn analyze_ends_with_79_on_errors() {
    assert_eq!(leno("analyze -f FILE", "kind: Servce\napiVersion: v1\n", &[]).code, exit::FINDINGS);
    let found = r#"{"findings":[{"code":"LENO0101","kind":"HTTPRoute","name":"r","cause":"c","fix":"f"}]}"#;
    let ended = leno("analyze", "", &[("GET /leno/v1/findings", 200, found)]);
    assert_eq!(ended.code, exit::FINDINGS);
    assert!(ended.err.contains("error[LENO0101] HTTPRoute/r: c; f"), "{}", ended.err);
    let fine = leno("analyze", "", &[("GET /leno/v1/findings", 200, r#"{"findings":[]}"#)]);
    assert!(fine.code == exit::OK && fine.err.starts_with("nothing found"), "{}", fine.err);
}

/// The objects that are in force there, in the trust domain that is told there.
#[test]
fn explain_request_asks_the_running_control_plane() {
    let status = r#"{"cluster":"west","trustDomain":"shop.example"}"#;
    let service = r#"{"items":[{"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"default","resourceVersion":"7"},"spec":{"selector":{"app":"web"},"ports":[{"name":"http","port":80}]}}]}"#;
    let group = r#"{"items":[{"apiVersion":"networking.istio.io/v1","kind":"WorkloadGroup","metadata":{"name":"web","namespace":"default"},"spec":{"metadata":{"labels":{"app":"web"}},"template":{"serviceAccount":"web"}}}]}"#;
    let policy = r#"{"items":[{"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{"name":"deny","namespace":"default"},"spec":{"action":"DENY","rules":[{"from":[{"source":{"principals":["shop.example/ns/default/sa/web"]}}]}]}}]}"#;
    let answers = [
        (STATUS, 200, status),
        ("GET /api/v1/services", 200, service),
        ("GET /apis/networking.istio.io/v1/workloadgroups", 200, group),
        ("GET /apis/security.istio.io/v1/authorizationpolicies", 200, policy),
    ];
    let line = "explain request --to http://web.default.svc.cluster.local/ --from default/web";
    let ended = leno(line, "", &answers);
    let denied = "at        default/web: denied by rule 0 of AuthorizationPolicy/deny.default\n";
    assert!(ended.code == exit::FAILED && ended.out.ends_with(denied), "{} {}", ended.out, ended.err);
    assert!(ended.asked.contains(&"GET /apis/gateway.networking.k8s.io/v1/httproutes".to_owned()));
    let ended = leno(line, "", &answers[..3]);
    assert!(ended.code == exit::OK && ended.out.ends_with("default/web: allowed\n"), "{}", ended.out);
    let refused = [answers[0], ("GET /api/v1/services", 503, "{}")];
    assert_eq!(leno(line, "", &refused).code, exit::FAILED, "what cannot be had is not taken for absent");
}

#[test]
fn a_token_goes_to_stdout_alone() {
    let ask = "POST /apis/networking.istio.io/v1/namespaces/default/workloadgroups/web/token";
    let ended = leno(
        "token create web",
        "",
        &[(ask, 201, r#"{"token":"lj1.a.b.c","expires":"2026-01-01T00:00:00Z"}"#)],
    );
    assert_eq!((ended.code, &*ended.out), (exit::OK, "lj1.a.b.c\n"));
    assert!(ended.err.contains("until 2026-01-01T00:00:00Z"), "{}", ended.err);
}

#[test]
fn nobody_there_is_69() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let command = parse("status", listener.local_addr().unwrap());
    drop(listener);
    let mut console = Console::new(Box::new(Buffer::default()), Box::new(Buffer::default()));
    let failure = runtime.block_on(dispatch(command, &mut console)).unwrap_err();
    assert_eq!(failure.code, exit::UNREACHABLE, "{:#}", failure.cause);
}

/// What others serve is told and stops nothing, unless that is asked for.
#[test]
fn what_others_serve_is_skipped_and_told() {
    let foreign = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n";
    let class = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\n\
        spec: {gatewayClassName: nginx, listeners: [{name: http, port: 80, protocol: HTTP}]}\n";
    for other in [foreign, class] {
        let ended = leno("analyze -f FILE", &format!("{GOOD}{other}"), &[]);
        assert_eq!(ended.code, exit::OK, "{}", ended.err);
        assert!(ended.err.contains("warning[LENO0111]"), "{}", ended.err);
        let ended = leno("analyze --strict -f FILE", &format!("{GOOD}{other}"), &[]);
        assert_eq!(ended.code, exit::FINDINGS, "{}", ended.err);
        let ended = leno("apply --strict -f FILE", &format!("{GOOD}{other}"), &[]);
        assert_eq!((ended.code, ended.asked.len()), (exit::DATA, 0), "{}", ended.err);
        assert!(ended.err.contains("1 document would be skipped"), "{}", ended.err);
    }
    let ended = leno("apply -f FILE", &format!("{GOOD}{foreign}"), &[(BATCH, 200, TAKEN)]);
    assert_eq!((ended.code, &*ended.out), (exit::OK, "service/web created\n"), "{}", ended.err);
    assert!(ended.err.contains("warning[LENO0111] Deployment/d"), "{}", ended.err);
    // Nothing but such documents is no failure either.
    let ended = leno("apply -f FILE", foreign, &[]);
    assert_eq!((ended.code, ended.asked.len()), (exit::OK, 0), "{}", ended.err);
    assert!(ended.err.ends_with("no objects to apply\n"), "{}", ended.err);
}

#[test]
fn withdraw_names_the_group_and_the_registration() {
    let ask = "POST /apis/networking.istio.io/v1/namespaces/default/workloadgroups/web-api/withdraw";
    let ended = leno("withdraw west/default/web-api-1f2e", "", &[(ask, 201, "{}")]);
    assert_eq!((ended.code, &*ended.out), (exit::OK, "west/default/web-api-1f2e withdrawn\n"));
    for odd in ["web", "west/default/web", "west/default"] {
        let ended = leno(&format!("withdraw {odd}"), "", &[]);
        assert_eq!((ended.code, ended.asked.len()), (exit::USAGE, 0), "{odd}");
    }
}
