//! Tests of keys and of the ring.

mod pem;
mod ring;
mod silence;
