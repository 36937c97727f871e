//! Tests of keys and of the ring.

mod jwk;
mod live;
mod pem;
mod ring;
mod silence;
