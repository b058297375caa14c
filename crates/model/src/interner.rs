//! Values that occur again and again, each held once.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// Distinct values that are remembered; with more, it starts anew.
const INTERNED_MAX: usize = 16 * 1024;

/// Gives the same copy for the same value.
#[derive(Debug)]
pub struct Interner<T: ?Sized>(HashSet<Arc<T>>);

impl<T: ?Sized> Default for Interner<T> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<T: ?Sized + Eq + Hash> Interner<T> {
    /// The copy of a value.
    pub fn intern(&mut self, value: &T) -> Arc<T>
    where
        for<'v> Arc<T>: From<&'v T>,
    {
        match self.0.get(value) {
            Some(known) => Arc::clone(known),
            None => self.remember(value.into()),
        }
    }

    /// The copy of a value, which this one is if there is no other.
    pub fn intern_arc(&mut self, value: Arc<T>) -> Arc<T> {
        match self.0.get(&value) {
            Some(known) => Arc::clone(known),
            None => self.remember(value),
        }
    }

    fn remember(&mut self, value: Arc<T>) -> Arc<T> {
        if self.0.len() >= INTERNED_MAX {
            self.0.clear();
        }
        self.0.insert(Arc::clone(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_held_once() {
        let mut texts = Interner::<str>::default();
        let first = texts.intern("a");
        assert!(
            Arc::ptr_eq(&first, &texts.intern("a")) && Arc::ptr_eq(&first, &texts.intern_arc("a".into()))
        );
        assert_eq!(&*texts.intern_arc("b".into()), "b");
    }

    #[test]
    fn no_more_values_are_remembered_than_that() {
        let mut texts = Interner::<str>::default();
        (0..=INTERNED_MAX).for_each(|number| _ = texts.intern(&number.to_string()));
        assert!(texts.0.len() <= INTERNED_MAX);
    }
}
