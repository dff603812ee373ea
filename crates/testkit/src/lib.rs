//! Servers, clients and waits for tests; dev-dependency only.
