//! The stores behind the kernel's contracts.
//!
//! [`memory`] keeps everything in the process: what a single Doorward runs on. The stores that a
//! fleet shares will live here, too, each a module beside it; they meet the same conformance
//! suites, so that nobody above this crate can tell one from another but by its speed.
//!
//! A store knows subjects, counts and moments. It must not know routes, tokens or answers.

pub mod memory;
