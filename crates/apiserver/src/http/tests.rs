#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod local;
mod remote;

use super::*;
use crate::backend::{Applied, Batch, ChangeIntent, Changed, Item, KindScope, ServedKind};
use crate::{ApiOptions, MemoryStore, StatePlane, Store};
use model::{BindAddress, Code, Finding, ObjectRef, Origin};
use serde_json::{Value, json};
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SERVICE: ServedKind = ServedKind {
    group: "",
    version: "v1",
    kind: "Service",
    plural: "services",
    scope: KindScope::Namespaced,
};

/// A change that waits.
struct SlowChange {
    begun: tokio::sync::Notify,
    go_on: tokio::sync::Notify,
}

static SLOW: SlowChange =
    SlowChange { begun: tokio::sync::Notify::const_new(), go_on: tokio::sync::Notify::const_new() };

#[derive(Default)]
struct Fake {
    objects: Mutex<Vec<Value>>,
    store: Arc<MemoryStore>,
}

fn origin(name: &str) -> Origin {
    Origin { object: ObjectRef::new("Service", "n", name), file: "a.yaml".into(), line: 7 }
}

impl Backend for Fake {
    fn state(&self) -> (StatePlane, Arc<dyn Store>) {
        (StatePlane::Control, self.store.clone())
    }
    fn kinds(&self) -> &[ServedKind] {
        &[SERVICE]
    }
    async fn list(&self, _: ServedKind, _: Option<String>) -> Result<Vec<Item>, ApiError> {
        let objects = self.objects.lock().unwrap().clone();
        Ok(objects.into_iter().map(|value| Item { value, revision: 3 }).collect())
    }
    async fn apply(&self, target: ObjectTarget, body: String) -> Result<Applied, ApiError> {
        if target.name == "slow" {
            SLOW.begun.notify_one();
            SLOW.go_on.notified().await;
        }
        match target.name.as_str() {
            "file" => Err(ApiError::ReadOnly(Box::new(Finding::new(
                Code::ReadOnly,
                &origin("file"),
                "is in a.yaml",
                "edit it",
            )))),
            "stale" => {
                let finding =
                    Box::new(Finding::new(Code::Stale, &origin("stale"), "is 1, not 3", "copy again"));
                Err(ApiError::Conflict { target: Box::new(target), finding })
            }
            "bad" => Err(ApiError::Invalid(vec![Finding::new(Code::BadValue, &origin("bad"), "no", "yes")])),
            _ => {
                let value: Value = serde_saphyr::from_str(&body).unwrap();
                self.objects.lock().unwrap().push(value.clone());
                Ok(Applied {
                    item: Item { value, revision: 3 },
                    change: Applies::Created,
                    findings: Vec::new(),
                })
            }
        }
    }
    async fn change(&self, batch: Batch) -> Result<Changed, ApiError> {
        let named = |name: &str| ObjectRef::new("Service", "n", name);
        Ok(Changed {
            revision: match batch.intent {
                ChangeIntent::Make => 4,
                ChangeIntent::Force => 5,
                ChangeIntent::Try => 6,
            },
            applied: batch.apply.iter().map(|text| (named(text), Applies::Created)).collect(),
            deleted: batch.delete.iter().map(|target| named(&target.name)).collect(),
            findings: vec![Finding::new(Code::Ignored, &origin("a"), "in vain", "remove it")],
            ..Changed::default()
        })
    }
    async fn delete(&self, target: ObjectTarget) -> Result<(), ApiError> {
        Err(ApiError::NotFound(target.name))
    }
    async fn call(&self, target: ObjectTarget, subresource: String, _: String) -> Result<Value, ApiError> {
        Ok(json!({ "name": target.name, "sub": subresource }))
    }
    async fn report(&self, name: String) -> Option<Value> {
        (name == "status").then(|| json!({ "proxies": [] }))
    }
}

/// Sends one request, gives back status, headers and body.
async fn ask(address: std::net::SocketAddr, head: &str, body: &str) -> (u16, String, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let host = if head.contains("\r\nhost:") { String::new() } else { format!("host: {address}\r\n") };
    let text = format!("{head}\r\n{host}connection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn the_api_speaks_kubernetes() {
    let options = ApiOptions { api_insecure_loopback: true, ..ApiOptions::default() };
    let listeners = ApiListeners::open(&["127.0.0.1:0".parse().unwrap()], &options).await.unwrap();
    let [BindAddress::Tcp(address)] = listeners.addresses()[..] else {
        panic!("{:?}", listeners.addresses())
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listeners, Fake::default(), async move {
        let _ = stopped.await;
    }));

    let (status, _, body) = ask(address, "GET /healthz HTTP/1.1", "").await;
    assert_eq!((status, body.as_str()), (200, "ok"));

    let yaml = "metadata:\n  name: a\n  namespace: n\n";
    let put = "PUT /api/v1/namespaces/n/services/a HTTP/1.1\r\ncontent-type: application/yaml";
    assert_eq!(ask(address, put, yaml).await.0, 201);
    let (status, _, body) = ask(address, "GET /api/v1/namespaces/n/services/a HTTP/1.1", "").await;
    let value: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &value["metadata"]["resourceVersion"]), (200, &json!("3")));
    let get = "GET /api/v1/services HTTP/1.1\r\naccept: application/yaml";
    let (_, head, body) = ask(address, get, "").await;
    assert!(head.contains("application/yaml") && body.contains("kind: ServiceList"), "{head} {body}");

    let (status, _, body) = ask(address, "PUT /api/v1/namespaces/n/services/bad HTTP/1.1", "{}").await;
    let value: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &value["kind"], &value["reason"]), (422, &json!("Status"), &json!("Invalid")));
    let finding = &value["details"]["findings"][0];
    assert_eq!((&finding["code"], &finding["line"]), (&json!("LENO0004"), &json!(7)));

    let (status, _, body) = ask(address, "PUT /api/v1/namespaces/n/services/file HTTP/1.1", "{}").await;
    assert!(status == 409 && body.contains("LENO0008"), "{body}");
    let (status, _, body) = ask(address, "PUT /api/v1/namespaces/n/services/stale HTTP/1.1", "{}").await;
    let value: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &value["code"], &value["reason"]), (409, &json!(409), &json!("Conflict")));
    let message = "Operation cannot be fulfilled on services \"stale\": the object has been modified; please apply your changes to the latest version and try again";
    assert_eq!((&value["message"], &value["status"]), (&json!(message), &json!("Failure")));
    let details = &value["details"];
    assert_eq!((&details["name"], &details["kind"]), (&json!("stale"), &json!("services")));
    assert_eq!(details["findings"][0]["code"], "LENO0009");
    assert_eq!(ask(address, "DELETE /api/v1/namespaces/n/services/x HTTP/1.1", "").await.0, 404);
    assert_eq!(ask(address, "DELETE /api/v1/services HTTP/1.1", "").await.0, 405);
    assert_eq!(ask(address, "GET /leno/v1/nothing HTTP/1.1", "").await.0, 404);
    let (status, _, body) = ask(address, "POST /api/v1/namespaces/n/services/x/token HTTP/1.1", "").await;
    assert!(status == 201 && body.contains("token"), "{body}");
    let page = "\r\norigin: https://page.example\r\ncontent-type: text/plain;json";
    for call in ["POST /api/v1/namespaces/n/services/x/token", "PUT /api/v1/namespaces/n/services/page"] {
        assert_eq!(ask(address, &format!("{call} HTTP/1.1{page}"), yaml).await.0, 403, "{call}");
    }
    for kind in
        ["image/png", "text/plain;json", "multipart/form-data; x=yaml", "application/jsonx", "", "\u{e9}"]
    {
        let put = format!("PUT /api/v1/namespaces/n/services/a HTTP/1.1\r\ncontent-type: {kind}");
        assert_eq!(ask(address, &put, yaml).await.0, 400, "{kind}");
    }
    for kind in ["application/json; charset=utf-8", "Text/YAML", "application/x-yaml;x"] {
        let put = format!("PUT /api/v1/namespaces/n/services/a HTTP/1.1\r\ncontent-type: {kind}");
        assert_eq!(ask(address, &put, yaml).await.0, 201, "{kind}");
    }
    let rebound = "HTTP/1.1\r\nhost: rebound.example:15080";
    for call in ["GET /leno/v1/status", "PUT /api/v1/namespaces/n/services/rebound", "GET /healthz"] {
        let (status, _, body) = ask(address, &format!("{call} {rebound}"), yaml).await;
        assert!(status == 421 && body.contains("names another server"), "{call}: {status} {body}");
    }
    let (_, _, body) = ask(address, "GET /api/v1/services HTTP/1.1", "").await;
    assert!(!body.contains("rebound"), "{body}");
    let batch = "POST /leno/v1/batch HTTP/1.1";
    let service = r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "n", "name": "b"}}"#;
    let (status, _, body) =
        ask(address, batch, &format!(r#"{{"apply": ["a"], "delete": [{service}]}}"#)).await;
    let value: Value = serde_json::from_str(&body).unwrap();
    let b = json!({ "kind": "Service", "namespace": "n", "name": "b" });
    let a = json!({ "kind": "Service", "namespace": "n", "name": "a", "change": "created" });
    assert_eq!(
        (status, &value["revision"], &value["applied"], &value["deleted"]),
        (200, &json!("4"), &json!([a]), &json!([b])),
        "{body}"
    );
    assert_eq!(value["findings"][0]["code"], "LENO0109");
    for (body, expected) in [
        ("", 400),
        ("[]", 400),
        (r#"{"applied": []}"#, 400),
        (r#"{"apply": "a"}"#, 400),
        (r#"{"apply": [{}]}"#, 400),
        (r#"{"force": 1}"#, 400),
        (r#"{"force": true, "dryRun": true}"#, 400),
        (&service.replace("v1", "v2"), 400),
        (&format!(r#"{{"delete": [{}]}}"#, service.replace("v1", "v2")), 404),
        (&format!(r#"{{"delete": [{}]}}"#, service.replace("\"n\"", "\"\"")), 400),
    ] {
        assert_eq!(ask(address, batch, body).await.0, expected, "{body}");
    }
    for (body, revision) in
        [(r#"{"force": true}"#, "5"), (r#"{"dryRun": true}"#, "6"), (r#"{"force": false}"#, "4")]
    {
        let (status, _, answer) = ask(address, batch, body).await;
        let value: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((status, &value["revision"]), (200, &json!(revision)), "{body}: {answer}");
    }
    assert_eq!(ask(address, "GET /leno/v1/batch HTTP/1.1", "").await.0, 405);
    assert_eq!(ask(address, &format!("{batch}\r\norigin: https://page.example"), "{}").await.0, 403);
    // A batch may be larger than an object.
    let much = format!(r#"{{"apply": ["{}"]}}"#, "x".repeat(BODY_BYTES_MAX + 1));
    assert_eq!(ask(address, batch, &much).await.0, 200);
    let large = "x".repeat(BODY_BYTES_MAX + 1);
    assert_eq!(ask(address, put, &large).await.0, 413);

    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
}
