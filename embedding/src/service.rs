//! The one embedder of a process, shared by all its tasks.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::hashing;
use crate::hashing::Dimensions;
use crate::model::Model;
use crate::model::ModelError;

/// The longest text, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// The most texts of one call.
pub const TEXTS_MAX: usize = 1_024;

/// What is embedded first, before anybody asks.
const FIRST_TEXT: &str = "nine lanterns on the quay";

/// How many were loaded in this process.
static LOADED: AtomicU64 = AtomicU64::new(0);

/// Texts that are not embedded.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// Too many at once.
    #[error("{0} texts; at most {TEXTS_MAX} at once")]
    TooMany(usize),
    /// One that is too long.
    #[error("text {at} has {bytes} bytes; at most {TEXT_BYTES_MAX}")]
    TooLong {
        /// Which, from 0.
        at: usize,
        /// How long it is.
        bytes: usize,
    },
    /// One that the tokenizer does not take.
    #[error("text {at} cannot be cut into tokens: {why}")]
    Tokens {
        /// Which, from 0.
        at: usize,
        /// What the tokenizer says.
        why: String,
    },
}

/// Texts to vectors.
#[derive(Debug)]
pub struct EmbeddingService {
    embedder: Embedder,
}

#[derive(Debug)]
enum Embedder {
    Model(Box<Model>),
    Hashing(Dimensions),
}

impl EmbeddingService {
    /// Loads the model in `directory`, or without one hashes words into `dimensions`; embeds a first
    /// text. Blocks, and may take seconds.
    ///
    /// # Errors
    /// [`ModelError`]; never without a directory.
    pub fn load(directory: Option<&Path>, dimensions: Dimensions) -> Result<Self, ModelError> {
        let embedder = match directory {
            Some(directory) => Embedder::Model(Box::new(Model::load(directory)?)),
            None => Embedder::Hashing(dimensions),
        };
        let service = Self { embedder };
        match service.embed(&[FIRST_TEXT]) {
            Ok(_) => {
                LOADED.fetch_add(1, Ordering::Relaxed);
                Ok(service)
            }
            Err(error) => Err(ModelError::FirstText(error.to_string())),
        }
    }

    /// How many were loaded in this process, by whomever; what came to nothing does not count.
    pub fn loaded() -> u64 {
        LOADED.load(Ordering::Relaxed)
    }

    /// The vectors of `texts`, in their order, each of [`dimensions`](Self::dimensions) numbers.
    ///
    /// With a model, a text of which no token is known has zeros alone, and of a long text the first
    /// 512 tokens count. Blocks for as long as it computes.
    ///
    /// # Errors
    /// [`EmbedError`], for the first text that is not embedded; then none is.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        if texts.len() > TEXTS_MAX {
            return Err(EmbedError::TooMany(texts.len()));
        }
        let too_long = texts.iter().enumerate().find(|(_, text)| text.len() > TEXT_BYTES_MAX);
        if let Some((at, text)) = too_long {
            return Err(EmbedError::TooLong { at, bytes: text.len() });
        }
        let vectors = texts.iter().enumerate().map(|(at, text)| match &self.embedder {
            Embedder::Model(model) => {
                model.embed(text).map_err(|why| EmbedError::Tokens { at, why })
            }
            Embedder::Hashing(dimensions) => Ok(hashing::embed(text, *dimensions)),
        });
        vectors.collect()
    }

    /// How many numbers each vector has.
    pub fn dimensions(&self) -> usize {
        match &self.embedder {
            Embedder::Model(model) => model.dimensions().count(),
            Embedder::Hashing(dimensions) => dimensions.count(),
        }
    }

    /// How much memory its tables take, in bytes.
    pub fn bytes(&self) -> usize {
        match &self.embedder {
            Embedder::Model(model) => model.bytes(),
            Embedder::Hashing(_) => 0,
        }
    }

    /// What it is, for people.
    pub fn kind(&self) -> String {
        match &self.embedder {
            Embedder::Model(model) => format!("a model of {} tokens", model.tokens()),
            Embedder::Hashing(_) => "hashed words".to_owned(),
        }
    }
}
