//! Plain Rust: nothing in this crate knows about Python.
