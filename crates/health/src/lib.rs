//! Asks endpoints how they are, on the control thread.
