//! All stories, by family: the table.

mod copies;
mod cors;
mod edge;
mod failure;
mod headers;
mod redirect;
mod rewrite;

use crate::story::Story;

/// Each family is a file here and a row.
const FAMILIES: &[&[Story]] = &[
    rewrite::STORIES,
    redirect::STORIES,
    headers::STORIES,
    cors::STORIES,
    copies::STORIES,
    failure::STORIES,
    edge::STORIES,
];

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Story> {
    FAMILIES.iter().copied().flatten()
}
