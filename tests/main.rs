//! Promises made to users, one module each.
