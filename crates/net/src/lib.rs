//! Bytes: sockets, addresses, accepting and connecting. The one home of unsafe.
