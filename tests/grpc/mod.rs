//! gRPC as its users have it: clients and servers are tonic, over HTTP/2 without TLS and within it.
//!
//! What single frames show is in `http2/grpc`; what another implementation makes of us is in `tests/peers/python_grpc.py`.

mod calls;
mod client;
mod health;
mod life;
mod ours;
mod server;
