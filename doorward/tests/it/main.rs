//! The two halves against each other, which no other crate may know both of.

#![allow(clippy::unwrap_used, reason = "a test that cannot have what it needs has failed")]

mod feed;
