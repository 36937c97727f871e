//! The stores behind the kernel's contracts.
//!
//! [`memory`] keeps everything in the process: what a single Doorward runs on. [`redis`] is what a
//! fleet shares, and [`shared`] one gateway's part in it. They meet the same conformance suites, so that nobody above this crate can tell one
//! from another but by its speed.
//!
//! A store knows subjects, counts and moments. It must not know routes, tokens or answers.

mod digest;

mod key;

pub mod listeners;

pub mod memory;

pub mod redis;

pub mod shared;

pub mod status;
