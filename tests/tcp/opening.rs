//! What comes before the bytes: PROXY headers, in and out, and TLS that ends here.
