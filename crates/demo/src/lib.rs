//! Three built-in endpoints, a gentle load and a live picture, for a first look on a bare machine.
