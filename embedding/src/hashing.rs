//! Vectors without a model: words and pieces of words, hashed.
//!
//! The same text has the same vector on every machine and in every version, so that vectors can be
//! kept. The algorithm, which a test pins:
//!
//! 1. The text in lower case is cut into words: the longest runs of letters and digits (Unicode's
//!    `Alphabetic` and `Numeric`).
//! 2. Each word is a feature of weight 1: `w` before the word. Each three characters in a row of
//!    `<word>`, the brackets included, are a feature of weight ½: `p` before them. So words that are
//!    written nearly alike have vectors that are nearly alike.
//! 3. A feature's number is FNV-1a over its UTF-8 bytes, in 64 bits, mixed by the last steps of
//!    SplitMix64. The number modulo the dimensions says where the weight is added, the highest bit
//!    whether it is added or taken away.
//! 4. The sum is given the length one. Where it has none (no word, or all weights cancel out), it is
//!    the one feature `t` before the whole text, as it was given.

use crate::unit::to_unit;

/// The fewest dimensions.
pub const DIMENSIONS_MIN: usize = 8;

/// The most dimensions, of a model too.
pub const DIMENSIONS_MAX: usize = 4_096;

/// How many dimensions there are where nobody says.
pub const DIMENSIONS_USUAL: usize = 256;

const WORD: f32 = 1.0;
const PIECE: f32 = 0.5;

/// How many numbers a vector has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimensions(usize);

/// A number of dimensions that no vector has here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` dimensions; use {DIMENSIONS_MIN} to {DIMENSIONS_MAX}")]
pub struct DimensionsError(pub usize);

impl Dimensions {
    /// As many as `dimensions`.
    ///
    /// # Errors
    /// Fewer than [`DIMENSIONS_MIN`], or more than [`DIMENSIONS_MAX`].
    pub fn new(dimensions: usize) -> Result<Self, DimensionsError> {
        let known = DIMENSIONS_MIN..=DIMENSIONS_MAX;
        known.contains(&dimensions).then_some(Self(dimensions)).ok_or(DimensionsError(dimensions))
    }

    /// How many.
    pub fn count(self) -> usize {
        self.0
    }
}

impl Default for Dimensions {
    fn default() -> Self {
        Self(DIMENSIONS_USUAL)
    }
}

/// The vector of `text`, of length one.
pub(crate) fn embed(text: &str, dimensions: Dimensions) -> Vec<f32> {
    let mut sum = vec![0.0; dimensions.0];
    let lower = text.to_lowercase();
    for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        add(&mut sum, "w", word, WORD);
        let bracketed = format!("<{word}>");
        let starts: Vec<usize> = bracketed.char_indices().map(|(at, _)| at).collect();
        for (place, start) in starts.iter().enumerate().take(starts.len().saturating_sub(2)) {
            let end = starts.get(place + 3).copied().unwrap_or(bracketed.len());
            add(&mut sum, "p", &bracketed[*start..end], PIECE);
        }
    }
    if !to_unit(&mut sum) {
        add(&mut sum, "t", text, WORD);
    }
    sum
}

fn add(sum: &mut [f32], kind: &str, feature: &str, weight: f32) {
    let number = mixed(fnv1a(kind.bytes().chain(feature.bytes())));
    let dimensions = sum.len() as u64;
    // Less than a usize, for it is less than the dimensions.
    let at = (number % dimensions) as usize;
    let signed = if number >> 63 == 0 { weight } else { -weight };
    if let Some(place) = sum.get_mut(at) {
        *place += signed;
    }
}

/// FNV-1a, 64 bits.
fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The last steps of SplitMix64: each bit of the input counts in each of the output.
fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Vec<f32> {
        embed(text, Dimensions::default())
    }

    fn likeness(a: &str, b: &str) -> f32 {
        of(a).iter().zip(of(b)).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // From the authors' own table of test vectors.
        assert_eq!(fnv1a("".bytes()), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a".bytes()), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a("foobar".bytes()), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn words_that_are_shared_or_written_nearly_alike_make_texts_alike() {
        let near = likeness("The invoice was paid late", "late payment of an invoice");
        let far = likeness("The invoice was paid late", "seagulls over grey water");
        assert!(near > 0.3 && far < 0.2, "{near} and {far}");
        assert!(likeness("colour", "colours") > likeness("colour", "harbour"));
    }

    #[test]
    fn case_and_punctuation_make_no_difference_and_words_do() {
        assert_eq!(of("Nine lanterns, on the quay!"), of("nine LANTERNS on the quay"));
        assert_ne!(of("lantern"), of("quay"));
    }

    #[test]
    fn a_text_without_words_has_a_vector_of_its_own() {
        for text in ["", " ", "?!", "—"] {
            assert_eq!(of(text).iter().filter(|x| x.abs() == 1.0).count(), 1, "{text:?}");
        }
        assert_ne!(of("?!"), of("—"));
    }

    #[test]
    fn dimensions_have_a_least_and_a_most() {
        assert!(Dimensions::new(DIMENSIONS_MIN).is_ok());
        assert!(Dimensions::new(DIMENSIONS_MAX).is_ok());
        assert_eq!(Dimensions::new(DIMENSIONS_MIN - 1), Err(DimensionsError(7)));
        let error = Dimensions::new(DIMENSIONS_MAX + 1).expect_err("one too many");
        assert_eq!(error.to_string(), "`4097` dimensions; use 8 to 4096");
    }

    proptest! {
        #[test]
        fn any_text_has_one_vector_of_length_one(text in ".{0,200}", dimensions in 8_usize..300) {
            let dimensions = Dimensions::new(dimensions).expect("within bounds");
            let vector = embed(&text, dimensions);
            prop_assert_eq!(vector.len(), dimensions.count());
            let length: f64 = vector.iter().map(|x| f64::from(*x).powi(2)).sum();
            prop_assert!((length - 1.0).abs() < 1e-5, "{}", length);
            prop_assert_eq!(embed(&text, dimensions), vector);
        }
    }
}
