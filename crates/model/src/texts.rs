//! Texts that occur again and again, each held once.

use std::collections::HashSet;
use std::sync::Arc;

/// Distinct texts that are remembered; with more, sharing starts anew.
const SHARED_TEXTS_MAX: usize = 16 * 1024;

/// Gives the same copy for the same text.
#[derive(Debug, Default)]
pub struct SharedTexts(HashSet<Arc<str>>);

impl SharedTexts {
    /// The copy of a text.
    pub fn share(&mut self, text: &str) -> Arc<str> {
        match self.0.get(text) {
            Some(known) => Arc::clone(known),
            None => self.remember(text.into()),
        }
    }

    /// Puts the copy in the place of a text.
    pub fn unify(&mut self, text: &mut Arc<str>) {
        *text = match self.0.get(text) {
            Some(known) => Arc::clone(known),
            None => self.remember(Arc::clone(text)),
        };
    }

    fn remember(&mut self, text: Arc<str>) -> Arc<str> {
        if self.0.len() >= SHARED_TEXTS_MAX {
            self.0.clear();
        }
        self.0.insert(Arc::clone(&text));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_held_once() {
        let mut texts = SharedTexts::default();
        let first = texts.share("a");
        let mut other: Arc<str> = "a".into();
        texts.unify(&mut other);
        assert!(Arc::ptr_eq(&first, &texts.share("a")) && Arc::ptr_eq(&first, &other));
    }

    #[test]
    fn no_more_texts_are_remembered_than_that() {
        let mut texts = SharedTexts::default();
        (0..=SHARED_TEXTS_MAX).for_each(|number| _ = texts.share(&number.to_string()));
        assert!(texts.0.len() <= SHARED_TEXTS_MAX);
    }
}
