//! What is promised of an embedder, with a tiny model that is made here.

mod models;

mod service;

mod warm_up;

use std::fs;
use std::path::Path;

use safetensors::Dtype;
use safetensors::serialize;
use safetensors::tensor::TensorView;
use serde_json::json;
use tempfile::TempDir;

use crate::EmbeddingService;
use crate::hashing::DIMENSIONS_MIN;
use crate::hashing::Dimensions;

/// The tokens of the tiny model; the first stands for all that it does not know.
const TOKENS: [&str; 4] = ["[UNK]", "harbour", "lantern", "quay"];

/// A tensor: its name, its kind, its shape and its bytes.
type Tensor<'a> = (&'a str, Dtype, Vec<usize>, Vec<u8>);

fn f32s(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// A vector of the fewest dimensions that begins with `numbers`.
fn padded(numbers: &[f32]) -> Vec<f32> {
    let mut all = numbers.to_vec();
    all.resize(DIMENSIONS_MIN, 0.0);
    all
}

/// A row for each token: that of token `n` is `n` at place `n`, and nothing else.
fn embeddings() -> Tensor<'static> {
    let rows = (0..TOKENS.len()).flat_map(|n| {
        let mut row = padded(&[]);
        row[n] = n as f32;
        row
    });
    let shape = vec![TOKENS.len(), DIMENSIONS_MIN];
    ("embeddings", Dtype::F32, shape, f32s(&rows.collect::<Vec<_>>()))
}

/// A file of `tensors`.
fn tensors(tensors: &[Tensor<'_>]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, kind, shape, bytes)| {
        (*name, TensorView::new(*kind, shape.clone(), bytes).expect("a tensor"))
    });
    serialize(views, None).expect("a file")
}

/// A directory with a tokenizer of whole words and `tensors`.
fn directory(of: &[Tensor<'_>]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let vocab: serde_json::Map<_, _> =
        TOKENS.iter().enumerate().map(|(id, token)| ((*token).to_owned(), json!(id))).collect();
    let tokenizer = json!({
        "version": "1.0",
        "truncation": { "max_length": 2, "stride": 0, "strategy": "LongestFirst", "direction": "Right" },
        "padding": null,
        "added_tokens": [],
        "normalizer": { "type": "Lowercase" },
        "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": null,
        "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]" },
    });
    write(&directory, "tokenizer.json", tokenizer.to_string());
    write(&directory, "model.safetensors", tensors(of));
    write(&directory, "config.json", json!({ "normalize": false }).to_string());
    directory
}

fn write(directory: &TempDir, name: &str, content: impl AsRef<[u8]>) {
    fs::write(directory.path().join(name), content).expect("a file");
}

fn load(directory: &Path) -> Result<EmbeddingService, String> {
    let loaded = EmbeddingService::load(Some(directory), Dimensions::default());
    let place = format!("{}/", directory.display());
    loaded.map_err(|error| {
        error.to_string().replace(&place, "").replace(&place[..place.len() - 1], ".")
    })
}

/// The vector of one text.
fn vector(service: &EmbeddingService, text: &str) -> Vec<f32> {
    service.embed(&[text]).expect("a text that is embedded").remove(0)
}
