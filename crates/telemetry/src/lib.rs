//! Counters, access log and logging.
