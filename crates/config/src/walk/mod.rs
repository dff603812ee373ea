//! The typed walk over a parsed file.
//!
//! A [`Section`] knows its table of keys: opening it refuses what the table does not know, reading from it refuses what is of another
//! type or out of range. Nothing here stops at a problem: a reader gets `None` or the default, and goes on.

mod node;
mod section;
mod value;

pub(crate) use node::{Entry, Node};
pub(crate) use section::Section;
pub(crate) use value::{Value, Word};
