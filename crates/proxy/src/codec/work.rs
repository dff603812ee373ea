//! How many bytes are copied and parsed, counted for tests: what comes byte by byte must not cost more for each byte than what comes at once.

#[cfg(test)]
thread_local! {
    static WORK: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// So many bytes are parsed, from their first one.
#[inline(always)]
pub(crate) fn parses(bytes: usize) {
    works(bytes);
}

/// So many bytes are copied to another place.
#[inline(always)]
pub(super) fn copies(bytes: usize) {
    works(bytes);
}

#[inline(always)]
fn works(bytes: usize) {
    #[cfg(test)]
    WORK.set(WORK.get() + bytes);
    #[cfg(not(test))]
    let _ = bytes;
}

/// The work since the last time that this was asked.
#[cfg(test)]
pub(super) fn done() -> usize {
    WORK.take()
}
