//! Who read what, whose findings depend on what, and who is found under which topic: relations between names, found
//! from both ends.
//!
//! Names are numbered, because each occurs in many pairs and there may be hundreds of thousands of these.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

type Number = u32;

/// Three relations between the same names.
pub(crate) struct Graph<N> {
    numbers: Numbers<N>,
    reads: Relation,
    looks: Relation,
    topics: Relation,
}

impl<N: Clone + Hash + Eq> Graph<N> {
    pub(crate) fn new() -> Self {
        Self {
            numbers: Numbers::new(),
            reads: Relation::default(),
            looks: Relation::default(),
            topics: Relation::default(),
        }
    }

    /// What `reader` has read, instead of what it read before.
    pub(crate) fn set_reads(&mut self, reader: &N, read: &[N]) {
        replace(&mut self.numbers, &mut self.reads, reader, read);
    }

    /// What was looked at to say what is wrong with `name`, instead of what was before.
    pub(crate) fn set_looks(&mut self, name: &N, at: &[N]) {
        replace(&mut self.numbers, &mut self.looks, name, at);
    }

    /// The topics under which `member` is found, instead of those before. Returns those that it joined or left.
    pub(crate) fn set_topics(&mut self, member: &N, topics: &[N]) -> Vec<N> {
        replace(&mut self.numbers, &mut self.topics, member, topics)
    }

    /// All that read `name`, in no order that means anything.
    pub(crate) fn readers(&self, name: &N) -> impl Iterator<Item = &N> {
        self.from(&self.reads, name)
    }

    /// All of which what is wrong with them depends on `name`, in no order that means anything.
    pub(crate) fn lookers(&self, name: &N) -> impl Iterator<Item = &N> {
        self.from(&self.looks, name)
    }

    /// All that are found under a topic, in no order that means anything.
    pub(crate) fn members(&self, topic: &N) -> impl Iterator<Item = &N> {
        self.from(&self.topics, topic)
    }

    fn from<'a>(&'a self, relation: &'a Relation, to: &N) -> impl Iterator<Item = &'a N> + use<'a, N> {
        let to = self.numbers.by_name.get(to).copied();
        let from = to.into_iter().flat_map(|to| seconds(&relation.backward, to));
        from.filter_map(|from| self.numbers.name(from))
    }
}

/// Pairs of numbers.
#[derive(Default)]
struct Relation {
    forward: BTreeSet<(Number, Number)>,
    backward: BTreeSet<(Number, Number)>,
}

/// The second numbers of all pairs with this first one, sorted.
fn seconds(pairs: &BTreeSet<(Number, Number)>, first: Number) -> impl Iterator<Item = Number> + use<'_> {
    pairs.range((first, Number::MIN)..=(first, Number::MAX)).map(|(_, second)| *second)
}

/// Puts pairs of `from` in the place of those that it had. Returns what is in only one of the two.
fn replace<N: Clone + Hash + Eq>(
    numbers: &mut Numbers<N>,
    relation: &mut Relation,
    from: &N,
    to: &[N],
) -> Vec<N> {
    let from = numbers.take(from);
    let taken: Vec<Number> = to.iter().map(|to| numbers.take(to)).collect();
    let mut new = taken.clone();
    new.sort_unstable();
    new.dedup();
    let old: Vec<Number> = seconds(&relation.forward, from).collect();
    let mut changed = Vec::new();
    for to in new.iter().filter(|to| old.binary_search(to).is_err()) {
        changed.extend(numbers.name(*to).cloned());
        relation.forward.insert((from, *to));
        relation.backward.insert((*to, from));
        numbers.keep(from);
        numbers.keep(*to);
    }
    for to in old.iter().filter(|to| new.binary_search(to).is_err()) {
        changed.extend(numbers.name(*to).cloned());
        relation.forward.remove(&(from, *to));
        relation.backward.remove(&(*to, from));
        numbers.release(from);
        numbers.release(*to);
    }
    taken.into_iter().chain([from]).for_each(|number| numbers.release(number));
    changed
}

/// Names and their numbers. A name that nobody uses any more gives its number back.
struct Numbers<N> {
    by_name: HashMap<Arc<N>, Number>,
    slots: Vec<NumberedName<N>>,
    free: Vec<Number>,
}

struct NumberedName<N> {
    name: Option<Arc<N>>,
    uses: u32,
}

impl<N: Clone + Hash + Eq> Numbers<N> {
    fn new() -> Self {
        Self { by_name: HashMap::new(), slots: Vec::new(), free: Vec::new() }
    }

    fn name(&self, number: Number) -> Option<&N> {
        self.slots.get(number as usize)?.name.as_deref()
    }

    /// The number of a name, used once more.
    fn take(&mut self, name: &N) -> Number {
        let number = match self.by_name.get(name) {
            Some(number) => *number,
            None => self.add(Arc::new(name.clone())),
        };
        self.keep(number);
        number
    }

    fn add(&mut self, name: Arc<N>) -> Number {
        let number = self.free.pop().unwrap_or(self.slots.len() as Number);
        let slot = NumberedName { name: Some(name.clone()), uses: 0 };
        match self.slots.get_mut(number as usize) {
            Some(free) => *free = slot,
            None => self.slots.push(slot),
        }
        self.by_name.insert(name, number);
        number
    }

    fn keep(&mut self, number: Number) {
        if let Some(slot) = self.slots.get_mut(number as usize) {
            slot.uses += 1;
        }
    }

    fn release(&mut self, number: Number) {
        let Some(slot) = self.slots.get_mut(number as usize) else { return };
        debug_assert!(slot.uses > 0, "released twice");
        slot.uses = slot.uses.saturating_sub(1);
        if slot.uses == 0
            && let Some(name) = slot.name.take()
        {
            self.by_name.remove(&name);
            self.free.push(number);
        }
    }
}

#[cfg(test)]
mod tests;
