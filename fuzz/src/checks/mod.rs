//! One check for each fuzz target. Also compiled into the workspace's tests, which replay the corpus.
//!
//! What is read from a socket is checked through sockets, against a proxy in this process (`stage`); what is a function is called.

pub mod answer_reading;
pub mod chunked_body;
pub mod client_hello;
pub mod config_file;
pub mod forwarded_parsing;
pub mod header_rewriting;
pub mod path_normaliser;
pub mod proxy_protocol;
pub mod request_head;
pub mod request_reading;
pub mod response_head;
mod stage;

/// Panics when something does not hold for these bytes.
pub type Check = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Check); 11] = [
    ("answer_reading", answer_reading::check),
    ("chunked_body", chunked_body::check),
    ("client_hello", client_hello::check),
    ("config_file", config_file::check),
    ("forwarded_parsing", forwarded_parsing::check),
    ("header_rewriting", header_rewriting::check),
    ("path_normaliser", path_normaliser::check),
    ("proxy_protocol", proxy_protocol::check),
    ("request_head", request_head::check),
    ("request_reading", request_reading::check),
    ("response_head", response_head::check),
];
