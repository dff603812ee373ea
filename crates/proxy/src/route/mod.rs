//! Which route a request takes.

mod predicate;
mod table;

pub(crate) use table::{Question, RouteTable};
