//! What the crate promises, seen from outside: files in, problems and configurations out.
