//! What an operator sees and may press: metrics, readiness, state and reload over HTTP.
