//! A model of static embeddings out of a directory, laid out as `model2vec` does:
//!
//! - `tokenizer.json`: a tokenizer of Hugging Face's library;
//! - `model.safetensors`: the tensor `embeddings`, a row a token, and if need be `weights` (how much a
//!   token counts) and `mapping` (which row is a token's);
//! - `config.json`, where there is one: `"normalize": false` leaves vectors as long as they are,
//!   `"max_length"` says how many tokens of a text count.
//!
//! A text's vector is the mean of its tokens' vectors, each times its weight; tokens that the tokenizer
//! does not know are left out, and so are special ones. It is the vector that `model2vec` (0.10) gives, of the first
//! [`TOKENS_MAX`] tokens at the most.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Value;
use tokenizers::Tokenizer;

use crate::hashing::Dimensions;
use crate::tensors::Tables;
use crate::tensors::TensorError;
use crate::unit::to_unit;

/// How many tokens of a text count where the model says nothing of it, as in `model2vec`.
pub(crate) const TOKENS_USUAL: usize = 512;

/// How many of them count at the most, whatever the model says.
pub(crate) const TOKENS_MAX: usize = 8_192;

/// The greatest number of a vector times the greatest weight: half of what could be added up for
/// [`TOKENS_MAX`] tokens, as sums are rounded.
pub(crate) const PRODUCT_MAX: f32 = f32::MAX / (2 * TOKENS_MAX) as f32;

/// The largest `model.safetensors`, in bytes. While it is read it is in memory beside its tables, which
/// are as large as F32, half as large as F64, and twice as large as F16 and BF16.
pub(crate) const MODEL_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The largest `tokenizer.json`, in bytes.
pub(crate) const TOKENIZER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The largest `config.json`, in bytes.
pub(crate) const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// A directory that holds no model which can be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file that cannot be read.
    #[error("`{}` cannot be read: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else than a file, such as a pipe, which might never end.
    #[error("`{}` is no regular file", path.display())]
    NoFile {
        /// Which.
        path: PathBuf,
    },
    /// A file that is too large.
    #[error("`{}` has more than {bytes_max} bytes", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// How many it may have.
        bytes_max: u64,
    },
    /// A file that is no tokenizer.
    #[error("`{}` is no tokenizer: {why}", path.display())]
    Tokenizer {
        /// Which.
        path: PathBuf,
        /// What the library says.
        why: String,
    },
    /// A file that is no configuration.
    #[error("`{}` is no configuration of a model: {why}", path.display())]
    Config {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A file whose tensors are no embeddings.
    #[error("`{}`: {fault}", path.display())]
    Tensors {
        /// Which.
        path: PathBuf,
        /// Why.
        fault: TensorError,
    },
    /// Numbers so great that not every text would have a vector of finite ones.
    #[error(
        "`{}`: the greatest number times the greatest weight is {product:e}; at most {PRODUCT_MAX:e}",
        path.display()
    )]
    TooGreat {
        /// Where they are.
        path: PathBuf,
        /// What it is.
        product: f64,
    },
    /// Tokens without a vector.
    #[error(
        "the tokenizer in `{}` knows a token {token}, and the model has vectors of {tokens}: they are \
         not of one model",
        directory.display()
    )]
    Tokens {
        /// Where both are.
        directory: PathBuf,
        /// The last token.
        token: u32,
        /// Of how many tokens there is a vector.
        tokens: usize,
    },
    /// A first embedding, which failed.
    #[error("a first text cannot be embedded: {0}")]
    FirstText(String),
}

impl ModelError {
    /// Whether it may be gone the next time: a directory into which files are still being copied has
    /// none of some, a piece of others, and one of another model.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::File { .. }
            | Self::Tokenizer { .. }
            | Self::Config { .. }
            | Self::Tensors { fault: TensorError::Format(_), .. }
            | Self::Tokens { .. } => true,
            Self::NoFile { .. }
            | Self::TooLarge { .. }
            | Self::Tensors { .. }
            | Self::TooGreat { .. }
            | Self::FirstText(_) => false,
        }
    }
}

/// A tokenizer, and a vector for each of its tokens.
#[derive(Debug)]
pub(crate) struct Model {
    tokenizer: Tokenizer,
    tables: Tables,
    unknown: Option<u32>,
    normalizes: bool,
    /// How many tokens of a text count.
    tokens_max: usize,
    /// How many characters of it are looked at.
    chars_max: usize,
}

/// What `config.json` says.
struct Settings {
    normalizes: bool,
    /// `None`: as many tokens as there are.
    length_max: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { normalizes: true, length_max: Some(TOKENS_USUAL) }
    }
}

impl Model {
    /// Reads the model in `directory`.
    pub(crate) fn load(directory: &Path) -> Result<Self, ModelError> {
        let (tokenizer, unknown) = tokenizer(&directory.join("tokenizer.json"))?;
        let Settings { normalizes, length_max } = settings(&directory.join("config.json"))?;
        let path = directory.join("model.safetensors");
        let tables = match Tables::read(&bytes(&path, MODEL_BYTES_MAX)?) {
            Ok(tables) => tables,
            Err(fault) => return Err(ModelError::Tensors { path, fault }),
        };
        let product = tables.greatest_product();
        if product > PRODUCT_MAX.into() {
            return Err(ModelError::TooGreat { path, product });
        }
        let tokens = tables.tokens();
        let last = tokenizer.get_vocab(true).into_values().max();
        if let Some(token) = last.filter(|token| *token as usize >= tokens) {
            return Err(ModelError::Tokens { directory: directory.to_owned(), token, tokens });
        }
        let tokens_max = length_max.map_or(TOKENS_MAX, |max| max.min(TOKENS_MAX));
        // A text is cut before it is read, too: so it is there, and the vectors are to be the same.
        let chars_max =
            length_max.map_or(usize::MAX, |max| max.saturating_mul(median_length(&tokenizer)));
        Ok(Self { tokenizer, tables, unknown, normalizes, tokens_max, chars_max })
    }

    pub(crate) fn dimensions(&self) -> Dimensions {
        self.tables.dimensions()
    }

    pub(crate) fn tokens(&self) -> usize {
        self.tables.tokens()
    }

    /// How much memory the tables take, in bytes; the tokenizer's own comes on top.
    pub(crate) fn bytes(&self) -> usize {
        self.tables.bytes()
    }

    /// The vector of `text`; all zeros where no token of it is known.
    pub(crate) fn embed(&self, text: &str) -> Result<Vec<f32>, String> {
        let end = text.char_indices().nth(self.chars_max).map_or(text.len(), |(at, _)| at);
        let encoding = self.tokenizer.encode_fast(&text[..end], false);
        let encoding = encoding.map_err(|error| error.to_string())?;
        let first = encoding.get_ids().iter().take(self.tokens_max);
        let mut sum = vec![0.0_f32; self.dimensions().count()];
        let mut count = 0_u32;
        for id in first.filter(|id| Some(**id) != self.unknown) {
            let Some((row, weight)) = self.tables.row(*id as usize) else { continue };
            for (sum, number) in sum.iter_mut().zip(row) {
                *sum += number * weight;
            }
            count += 1;
        }
        if count > 0 {
            sum.iter_mut().for_each(|number| *number /= count as f32);
        }
        if self.normalizes {
            // Zeros stay zeros: a text of which nothing is known is like no other.
            to_unit(&mut sum);
        }
        Ok(sum)
    }
}

fn tokenizer(path: &Path) -> Result<(Tokenizer, Option<u32>), ModelError> {
    let file = bytes(path, TOKENIZER_BYTES_MAX)?;
    let fault = |why: String| ModelError::Tokenizer { path: path.to_owned(), why };
    let mut tokenizer = Tokenizer::from_bytes(&file).map_err(|error| fault(error.to_string()))?;
    // The bounds here are our own, and texts come one at a time.
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|error| fault(error.to_string()))?;
    let written: Value = serde_json::from_slice(&file).map_err(|error| fault(error.to_string()))?;
    let model = &written["model"];
    // By name in most kinds of tokenizers, by number in Unigram.
    let unknown = match (model["unk_token"].as_str(), model["unk_id"].as_u64()) {
        (Some(name), _) => tokenizer.token_to_id(name),
        (None, Some(id)) => u32::try_from(id).ok(),
        (None, None) => None,
    };
    Ok((tokenizer, unknown))
}

/// How many characters a token has, in the middle of them all.
fn median_length(tokenizer: &Tokenizer) -> usize {
    let vocab = tokenizer.get_vocab(true);
    let mut lengths: Vec<usize> = vocab.into_keys().map(|token| token.chars().count()).collect();
    lengths.sort_unstable();
    let middle = lengths.len() / 2;
    match (lengths.get(middle), lengths.len() % 2) {
        (None, _) => 0,
        (Some(length), 1) => *length,
        (Some(length), _) => (lengths[middle - 1] + length) / 2,
    }
}

/// What the configuration at `path` says; the usual where there is none.
fn settings(path: &Path) -> Result<Settings, ModelError> {
    let mut settings = Settings::default();
    let file = match bytes(path, CONFIG_BYTES_MAX) {
        Err(ModelError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(settings);
        }
        file => file?,
    };
    let fault = |why: String| ModelError::Config { path: path.to_owned(), why };
    let config: Value = serde_json::from_slice(&file).map_err(|error| fault(error.to_string()))?;
    match config.get("normalize") {
        None | Some(Value::Null) => {}
        Some(Value::Bool(normalizes)) => settings.normalizes = *normalizes,
        Some(other) => {
            return Err(fault(format!("`normalize` is `{other}`; expected true or false")));
        }
    }
    match config.get("max_length") {
        None => {}
        Some(Value::Null) => settings.length_max = None,
        Some(length) => {
            let whole = length.as_u64().and_then(|length| usize::try_from(length).ok());
            let known = whole.filter(|length| *length > 0).ok_or_else(|| {
                fault(format!("`max_length` is `{length}`; expected a number from 1, or null"))
            });
            settings.length_max = Some(known?);
        }
    }
    Ok(settings)
}

/// The file at `path`, whole.
fn bytes(path: &Path, bytes_max: u64) -> Result<Vec<u8>, ModelError> {
    let size = size(path, bytes_max)?;
    // All at once: a vector that grows takes half as much again, and is copied.
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    let read = File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes));
    read.map_err(|source| ModelError::File { path: path.to_owned(), source })?;
    // It may have grown since.
    match bytes.len() as u64 > bytes_max {
        true => Err(ModelError::TooLarge { path: path.to_owned(), bytes_max }),
        false => Ok(bytes),
    }
}

/// How many bytes the file at `path` has, at most `bytes_max`.
pub(crate) fn size(path: &Path, bytes_max: u64) -> Result<u64, ModelError> {
    let named = || path.to_owned();
    // Before it is opened: who opens a pipe waits for somebody who writes to it.
    let about = fs::metadata(path).map_err(|source| ModelError::File { path: named(), source })?;
    match about.len() {
        _ if !about.is_file() => Err(ModelError::NoFile { path: named() }),
        size if size > bytes_max => Err(ModelError::TooLarge { path: named(), bytes_max }),
        size => Ok(size),
    }
}
