//! Tests of the revocation set.

mod bounds;
mod follower;
mod forgetting;
mod memory;
mod model;
mod races;
mod rules;
mod stream;
mod written;
