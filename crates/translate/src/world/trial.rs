//! Changes that are only tried: what would be wrong if they were made.

use super::{World, WorldChange};
use std::sync::Arc;

impl World {
    /// Makes these changes of objects, looks, and takes them back: nobody is concerned, and nothing of them stays.
    pub fn try_out<T>(&mut self, changes: Vec<WorldChange>, look: impl FnOnce(&mut World) -> T) -> T {
        // An address is given to a host for ever, but not to one that was only thought of.
        self.inputs.addresses.begin_trial();
        let mut undo = Vec::new();
        for change in changes {
            undo.extend(self.inverse(&change));
            self.apply(change);
        }
        let seen = look(self);
        for change in undo.into_iter().rev() {
            self.apply(change);
        }
        self.inputs.addresses.end_trial();
        seen
    }

    /// What takes a change of an object back; of others nothing does.
    fn inverse(&self, change: &WorldChange) -> Option<WorldChange> {
        let object = match change {
            WorldChange::Object(object) => &object.object,
            WorldChange::ObjectGone(object) => object,
            _ => {
                debug_assert!(false, "only changes of objects are tried");
                return None;
            }
        };
        Some(match self.inputs.object(object) {
            Some(before) => WorldChange::Object(Arc::clone(before)),
            None => WorldChange::ObjectGone(object.clone()),
        })
    }
}
