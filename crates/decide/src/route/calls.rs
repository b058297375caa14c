//! Rules for calls of gRPC, by service and method: names before expressions, a service before none, then a method
//! before none. Of expressions the one with the longer text is asked first.

use super::candidate::{Candidate, Candidates, RouteQuery, first};
use super::paths::PathTable;
use crate::expression::whole;
use crate::request::{first_value, is_grpc};
use model::route::{GrpcMethodMatch, Pattern};
use regex::Regex;
use std::cmp::Reverse;
use std::sync::Arc;

/// Candidates of one host, by what is called.
#[derive(Clone, Debug, Default)]
pub(super) struct CallTable {
    /// By `SERVICE/METHOD`.
    named: PathTable,
    /// By the service.
    services: PathTable,
    /// Those that name a service, by expression.
    service_expressions: Box<[CallExpression]>,
    /// By the method of whichever service.
    methods: PathTable,
    /// Those that name a method alone, by expression.
    method_expressions: Box<[CallExpression]>,
    /// Of every call.
    any: Candidates,
}

#[derive(Clone, Debug)]
struct CallExpression {
    service: Option<Regex>,
    method: Option<Regex>,
    candidate: Candidate,
}

/// Which call a request is: `/SERVICE/METHOD`.
pub(super) struct CallName<'p> {
    name: &'p str,
    service: &'p str,
    method: &'p str,
}

impl<'p> CallName<'p> {
    /// `None`: it is none of gRPC.
    pub(super) fn read(path: &'p str, asked: &RouteQuery<'_>) -> Option<Self> {
        let name = path.strip_prefix('/')?;
        let (service, method) = name.split_once('/')?;
        let is_name = !service.is_empty() && !method.is_empty() && !method.contains('/');
        let content_type = first_value(asked.request.headers, "content-type");
        (is_name && content_type.is_some_and(|value| is_grpc(&value))).then_some(Self {
            name,
            service,
            method,
        })
    }
}

impl CallTable {
    /// `filed` in the order that counts among equals.
    pub(super) fn compile(filed: Vec<(&GrpcMethodMatch, Candidate)>) -> Self {
        let (mut named, mut services, mut methods) = (Vec::new(), Vec::new(), Vec::new());
        let (mut expressions, mut any) = (Vec::new(), Vec::new());
        for (wanted, candidate) in filed {
            match wanted {
                GrpcMethodMatch::Exact { service: Some(service), method: Some(method) } => {
                    named.push((Arc::from(format!("{service}/{method}")), candidate));
                }
                GrpcMethodMatch::Exact { service: Some(service), method: None } => {
                    services.push((Arc::clone(service), candidate));
                }
                GrpcMethodMatch::Exact { service: None, method: Some(method) } => {
                    methods.push((Arc::clone(method), candidate));
                }
                GrpcMethodMatch::Exact { service: None, method: None }
                | GrpcMethodMatch::Regex { service: None, method: None } => any.push(candidate),
                GrpcMethodMatch::Regex { service, method } => {
                    expressions.extend(CallExpression::new(service.as_ref(), method.as_ref(), candidate));
                }
            }
        }
        expressions.sort_by_key(|expression| Reverse((len(&expression.service), len(&expression.method))));
        let (of_services, of_methods): (Vec<_>, Vec<_>) =
            expressions.into_iter().partition(|expression| expression.service.is_some());
        Self {
            named: PathTable::new(named),
            services: PathTable::new(services),
            service_expressions: of_services.into(),
            methods: PathTable::new(methods),
            method_expressions: of_methods.into(),
            any: any.into(),
        }
    }

    pub(super) fn find(&self, call: &CallName<'_>, asked: &RouteQuery<'_>) -> Option<&Candidate> {
        let CallName { name, service, method } = call;
        listed(&self.named, name, asked)
            .or_else(|| listed(&self.services, service, asked))
            .or_else(|| matching(&self.service_expressions, call, asked))
            .or_else(|| listed(&self.methods, method, asked))
            .or_else(|| matching(&self.method_expressions, call, asked))
            .or_else(|| first(&self.any, asked))
    }
}

fn listed<'t>(table: &'t PathTable, name: &str, asked: &RouteQuery<'_>) -> Option<&'t Candidate> {
    first(table.get(name)?, asked)
}

fn matching<'t>(
    expressions: &'t [CallExpression],
    call: &CallName<'_>,
    asked: &RouteQuery<'_>,
) -> Option<&'t Candidate> {
    let found = expressions.iter().find(|one| one.is_match(call) && one.candidate.holds(asked));
    found.map(|one| &one.candidate)
}

fn len(expression: &Option<Regex>) -> usize {
    expression.as_ref().map_or(0, |expression| expression.as_str().len())
}

impl CallExpression {
    /// `None`: one of them does not compile, and matches nothing.
    fn new(service: Option<&Pattern>, method: Option<&Pattern>, candidate: Candidate) -> Option<Self> {
        let compile = |part: Option<&Pattern>| part.map(|pattern| whole(pattern).ok_or(())).transpose();
        Some(Self { service: compile(service).ok()?, method: compile(method).ok()?, candidate })
    }

    fn is_match(&self, call: &CallName<'_>) -> bool {
        self.service.as_ref().is_none_or(|service| service.is_match(call.service))
            && self.method.as_ref().is_none_or(|method| method.is_match(call.method))
    }
}
