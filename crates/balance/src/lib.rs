//! Which endpoint gets the next request: pure, no I/O, clock and chance passed in.
