//! TLS that is passed on unopened, to where the name in its first message leads.
