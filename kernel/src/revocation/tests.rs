//! Tests of the revocation set.

mod bounds;
mod forgetting;
mod model;
mod races;
mod rules;
mod written;
