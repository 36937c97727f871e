//! The tables of a model, out of a file in the format `safetensors`.

use safetensors::Dtype;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use crate::hashing::Dimensions;
use crate::hashing::DimensionsError;
use crate::numbers;

/// What the tensors are called, as `model2vec` writes them.
const EMBEDDINGS: &str = "embeddings";
const WEIGHTS: &str = "weights";
const MAPPING: &str = "mapping";

/// Tensors that are no table of embeddings.
#[derive(Debug, thiserror::Error)]
pub enum TensorError {
    /// Not the format.
    #[error("it is no file of the format safetensors: {0}")]
    Format(String),
    /// One that has to be there.
    #[error("there is no tensor `{EMBEDDINGS}`; there are {0}")]
    Missing(String),
    /// One of another shape.
    #[error("the tensor `{name}` has the shape {shape:?}; expected {expected}")]
    Shape {
        /// Which.
        name: &'static str,
        /// What it has.
        shape: Vec<usize>,
        /// What it should have.
        expected: &'static str,
    },
    /// One of numbers that are not read here.
    #[error("the tensor `{name}` holds numbers of the kind {kind}; expected {expected}")]
    Kind {
        /// Which.
        name: &'static str,
        /// What it holds.
        kind: Dtype,
        /// What it may hold.
        expected: &'static str,
    },
    /// Vectors that are too short or too long.
    #[error("the tensor `{EMBEDDINGS}` has {0}")]
    Dimensions(#[from] DimensionsError),
    /// Not a number, or without end.
    #[error("the tensor `{name}` holds something that is no finite number, at {at}")]
    NotFinite {
        /// Which.
        name: &'static str,
        /// Where in it, from 0.
        at: usize,
    },
    /// A token's row that is not there.
    #[error("the tensor `{MAPPING}` leads token {token} to row {row}; there are {rows}")]
    Row {
        /// Which token.
        token: usize,
        /// Where to.
        row: i64,
        /// How many there are.
        rows: usize,
    },
    /// As many of one as of the other are needed.
    #[error("the tensor `{WEIGHTS}` is of {weights} tokens, and `{MAPPING}` of {mapping}")]
    Disagree {
        /// How many weights.
        weights: usize,
        /// How many rows are mapped.
        mapping: usize,
    },
}

/// A vector for each token.
#[derive(Debug)]
pub(crate) struct Tables {
    dimensions: Dimensions,
    /// Row by row.
    embeddings: Vec<f32>,
    /// How much each token counts; `None`: all alike.
    weights: Option<Vec<f32>>,
    /// Which row is a token's; `None`: that of its number.
    mapping: Option<Vec<usize>>,
}

impl Tables {
    /// Reads the tables out of a whole file.
    pub(crate) fn read(file: &[u8]) -> Result<Self, TensorError> {
        let tensors = SafeTensors::deserialize(file);
        let tensors = tensors.map_err(|error| TensorError::Format(format!("{error:?}")))?;
        let Ok(view) = tensors.tensor(EMBEDDINGS) else {
            let mut names = tensors.names().into_iter().map(|name| format!("`{name}`"));
            let mut names: Vec<String> = names.by_ref().take(8).collect();
            names.sort();
            return Err(TensorError::Missing(names.join(", ")));
        };
        let &[rows, width] = view.shape() else {
            return Err(shape(EMBEDDINGS, &view, "[tokens, dimensions]"));
        };
        let dimensions = Dimensions::new(width)?;
        let embeddings = floats(EMBEDDINGS, &view)?;
        let weights = match tensors.tensor(WEIGHTS) {
            Ok(view) if view.shape().len() == 1 => Some(floats(WEIGHTS, &view)?),
            Ok(view) => return Err(shape(WEIGHTS, &view, "[tokens]")),
            Err(_) => None,
        };
        let mapping = match tensors.tensor(MAPPING) {
            Ok(view) if view.shape().len() == 1 => Some(mapping(&view, rows)?),
            Ok(view) => return Err(shape(MAPPING, &view, "[tokens]")),
            Err(_) => None,
        };
        if let (Some(weights), Some(mapping)) = (&weights, &mapping)
            && weights.len() != mapping.len()
        {
            let (weights, mapping) = (weights.len(), mapping.len());
            return Err(TensorError::Disagree { weights, mapping });
        }
        Ok(Self { dimensions, embeddings, weights, mapping })
    }

    /// How many numbers a vector has.
    pub(crate) fn dimensions(&self) -> Dimensions {
        self.dimensions
    }

    /// Of how many tokens there is a vector.
    pub(crate) fn tokens(&self) -> usize {
        let rows = self.embeddings.len() / self.dimensions.count();
        let mapped = self.mapping.as_ref().map_or(rows, Vec::len);
        self.weights.as_ref().map_or(mapped, |weights| weights.len().min(mapped))
    }

    /// How much memory they take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let weights = self.weights.as_ref().map_or(0, |weights| size_of_val(weights.as_slice()));
        let mapping = self.mapping.as_ref().map_or(0, |mapping| size_of_val(mapping.as_slice()));
        size_of_val(self.embeddings.as_slice()) + weights + mapping
    }

    /// The greatest number of a vector times the greatest weight, whatever their signs.
    pub(crate) fn greatest_product(&self) -> f64 {
        let greatest = |of: &[f32]| of.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
        let weight = self.weights.as_deref().map_or(1.0, greatest);
        f64::from(greatest(&self.embeddings)) * f64::from(weight)
    }

    /// The vector of a token, and how much it counts; `None` for a token that there is not.
    pub(crate) fn row(&self, token: usize) -> Option<(&[f32], f32)> {
        let row = match &self.mapping {
            Some(mapping) => *mapping.get(token)?,
            None => token,
        };
        let weight = match &self.weights {
            Some(weights) => *weights.get(token)?,
            None => 1.0,
        };
        let width = self.dimensions.count();
        let begin = row.checked_mul(width)?;
        Some((self.embeddings.get(begin..begin.checked_add(width)?)?, weight))
    }
}

fn shape(name: &'static str, view: &TensorView<'_>, expected: &'static str) -> TensorError {
    TensorError::Shape { name, shape: view.shape().to_vec(), expected }
}

fn floats(name: &'static str, view: &TensorView<'_>) -> Result<Vec<f32>, TensorError> {
    let kind = view.dtype();
    let expected = "F32, F16, BF16 or F64";
    let numbers = numbers::floats(kind, view.data());
    let numbers = numbers.ok_or(TensorError::Kind { name, kind, expected })?;
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(at) => Err(TensorError::NotFinite { name, at }),
        None => Ok(numbers),
    }
}

fn mapping(view: &TensorView<'_>, rows: usize) -> Result<Vec<usize>, TensorError> {
    let kind = view.dtype();
    let expected = "I64 or I32";
    let numbers = numbers::integers(kind, view.data());
    let numbers = numbers.ok_or(TensorError::Kind { name: MAPPING, kind, expected })?;
    let rows_of = numbers.into_iter().enumerate().map(|(token, row)| {
        let known = usize::try_from(row).ok().filter(|row| *row < rows);
        known.ok_or(TensorError::Row { token, row, rows })
    });
    rows_of.collect()
}
