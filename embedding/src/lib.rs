//! Texts to vectors, on this machine and without a network.
//!
//! An [`EmbeddingService`] is loaded once in a process and shared by all its tasks: a model of static
//! embeddings out of a local directory, or, where there is none, words that are hashed. [`resource`]
//! makes it part of a process' warm-up.
//!
//! Modules in reading order; each uses only those above it.

mod unit;

mod hashing;

mod numbers;

mod tensors;

mod model;

mod service;

mod warm;

#[cfg(test)]
mod tests;

pub use hashing::DIMENSIONS_MAX;
pub use hashing::DIMENSIONS_MIN;
pub use hashing::DIMENSIONS_USUAL;
pub use hashing::Dimensions;
pub use hashing::DimensionsError;
pub use model::ModelError;
pub use service::EmbedError;
pub use service::EmbeddingService;
pub use service::TEXT_BYTES_MAX;
pub use service::TEXTS_MAX;
pub use tensors::TensorError;
pub use warm::LOAD_TIMEOUT;
pub use warm::RESOURCE;
pub use warm::resource;
