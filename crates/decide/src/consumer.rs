//! Which rules of a service count for who calls it (GAMMA): where a namespace has rules of its own for a port of the
//! service, its callers follow these alone; all others follow those of the service's namespace.

#[cfg(test)]
mod tests;

use crate::l4_route::L4Table;
use crate::route::Table;
use model::l4_route::L4Rule;
use model::route::RouteRule;
use std::sync::Arc;

/// A table of rules that hang on a service.
pub trait ServiceTable {
    /// What it is compiled of.
    type Rule;

    /// Compiles rules.
    fn compile(rules: Vec<Arc<Self::Rule>>) -> Self;

    /// The namespace whose callers alone a rule is for.
    fn consumer(rule: &Self::Rule) -> Option<&str>;

    /// Whether any rule applies to this port of the service.
    fn has_rules(&self, port: u16) -> bool;
}

impl ServiceTable for Table {
    type Rule = RouteRule;

    fn compile(rules: Vec<Arc<RouteRule>>) -> Self {
        Self::compile(rules)
    }

    fn consumer(rule: &RouteRule) -> Option<&str> {
        rule.consumer.as_deref()
    }

    fn has_rules(&self, port: u16) -> bool {
        self.has_rules(port)
    }
}

impl ServiceTable for L4Table {
    type Rule = L4Rule;

    fn compile(rules: Vec<Arc<L4Rule>>) -> Self {
        Self::compile(rules)
    }

    fn consumer(rule: &L4Rule) -> Option<&str> {
        rule.consumer.as_deref()
    }

    fn has_rules(&self, port: u16) -> bool {
        self.has_rules(port)
    }
}

/// The rules of a service, as callers of one namespace see them.
#[derive(Clone, Debug, Default)]
pub struct ServiceRules<T> {
    producer: T,
    /// Of the callers' namespace; `None`: it has none.
    consumer: Option<Box<T>>,
}

impl<T: ServiceTable> ServiceRules<T> {
    /// Compiles rules for callers of `namespace`.
    pub fn compile(rules: impl IntoIterator<Item = Arc<T::Rule>>, namespace: &str) -> Self {
        let (mut producer, mut consumer) = (Vec::new(), Vec::new());
        for rule in rules {
            match T::consumer(&rule) {
                None => producer.push(rule),
                Some(of) if of == namespace => consumer.push(rule),
                Some(_) => {}
            }
        }
        let consumer = (!consumer.is_empty()).then(|| Box::new(T::compile(consumer)));
        Self { producer: T::compile(producer), consumer }
    }

    /// Those that count at a port of the service.
    pub fn at(&self, port: u16) -> &T {
        match &self.consumer {
            Some(own) if own.has_rules(port) => own,
            _ => &self.producer,
        }
    }

    /// All that may count at some port.
    pub fn tables(&self) -> impl Iterator<Item = &T> {
        self.consumer.as_deref().into_iter().chain([&self.producer])
    }
}
