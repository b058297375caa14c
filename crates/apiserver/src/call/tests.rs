#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use crate::access::{ApiRole, permit};
use crate::backend::KindScope;
use crate::path::parse;

const GROUP: ServedKind = ServedKind {
    group: "",
    version: "v1",
    kind: "WorkloadGroup",
    plural: "workloadgroups",
    scope: KindScope::Namespaced,
};

/// What a request is about, and the least role that may; or the status of a call that there is not.
fn check(method: &str, path: &str, expected: &str) {
    let found = match ApiCall::of(&method.parse().unwrap(), parse(path, &[GROUP])) {
        Err(NoCall::Path) => "404".to_owned(),
        Err(NoCall::Method) => "405".to_owned(),
        Ok(call) => {
            let (verbs, resource) = call.asks();
            let may = |role: &ApiRole| verbs.iter().all(|verb| permit(*role, *verb, resource).is_ok());
            let least = ApiRole::ALL.into_iter().find(may);
            format!("{} {call}", least.map_or("nobody".into(), |role| role.to_string()))
        }
    };
    assert_eq!(found, expected, "{method} {path}");
}

#[test]
fn every_call_has_the_least_role_that_may() {
    let object = "/api/v1/namespaces/n/workloadgroups/web";
    check("GET", "/healthz", "view health");
    check("GET", "/api", "view discovery");
    check("GET", "/apis", "view discovery");
    check("GET", "/api/v1", "view discovery");
    check("HEAD", "/leno/v1/status", "view status");
    check("GET", "/api/v1/workloadgroups", "view workloadgroups");
    check("GET", object, "view WorkloadGroup/web.n");
    check("PUT", object, "edit WorkloadGroup/web.n");
    check("POST", object, "edit WorkloadGroup/web.n");
    check("DELETE", object, "edit WorkloadGroup/web.n");
    check("POST", "/api/v1/namespaces/n/workloadgroups", "edit WorkloadGroup/.n");
    check("POST", "/leno/v1/batch", "edit batch");
    check("GET", "/leno/v1/backup", "admin backup");
    check("POST", &format!("{object}/withdraw"), "edit WorkloadGroup/web.n/withdraw");
    check("POST", &format!("{object}/token"), "admin WorkloadGroup/web.n/token");
    check("POST", &format!("{object}/nothing"), "nobody WorkloadGroup/web.n/nothing");
}

#[test]
fn what_is_no_call_is_told() {
    check("GET", "/nothing", "404");
    check("PATCH", "/api/v1/namespaces/n/workloadgroups/web", "405");
    check("GET", "/api/v1/namespaces/n/workloadgroups/web/token", "405");
    check("DELETE", "/api/v1/workloadgroups", "405");
    check("PUT", "/leno/v1/status", "405");
    check("GET", "/leno/v1/batch", "405");
    check("HEAD", "/leno/v1/backup", "405");
    check("POST", "/leno/v1/backup", "405");
}
