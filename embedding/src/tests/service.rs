use super::*;
use crate::EmbedError;
use crate::TEXT_BYTES_MAX;
use crate::TEXTS_MAX;

fn hashing(dimensions: usize) -> EmbeddingService {
    let dimensions = Dimensions::new(dimensions).expect("within bounds");
    EmbeddingService::load(None, dimensions).expect("nothing to read")
}

#[test]
fn without_a_model_words_are_hashed() {
    let service = hashing(64);
    assert_eq!(service.dimensions(), 64);
    assert_eq!((service.kind().as_str(), service.bytes()), ("hashed words", 0));
    let both = service.embed(&["one", "two"]).expect("two texts");
    assert_eq!(both, [vector(&service, "one"), vector(&service, "two")]);
    assert_eq!(service.embed(&[]), Ok(Vec::new()));
}

#[test]
fn vectors_that_are_kept_go_on_being_comparable() {
    // From the description, by another program. Whoever changes one of these numbers makes all stored
    // vectors worthless.
    let service = hashing(DIMENSIONS_MIN);
    let rounded = |text| -> Vec<i32> {
        vector(&service, text).iter().map(|x| (x * 1e4).round() as i32).collect()
    };
    assert_eq!(rounded("Nine lanterns"), [-1890, -1890, 5669, -3780, -3780, 1890, -3780, -3780]);
    assert_eq!(rounded("Grüße, 東京"), [0, -4588, 6882, 0, 2294, -4588, -2294, 0]);
    assert_eq!(rounded(""), [0, 0, -10000, 0, 0, 0, 0, 0]);
}

#[test]
fn a_call_has_a_most_of_texts() {
    let service = hashing(DIMENSIONS_MIN);
    assert_eq!(service.embed(&[""; TEXTS_MAX]).expect("as many as may be").len(), TEXTS_MAX);
    let error = service.embed(&[""; TEXTS_MAX + 1]).expect_err("one too many");
    assert_eq!(error.to_string(), "1025 texts; at most 1024 at once");
}

#[test]
fn a_text_has_a_longest_length() {
    let service = hashing(DIMENSIONS_MIN);
    let longest = "x".repeat(TEXT_BYTES_MAX);
    assert!(service.embed(&[&longest]).is_ok());
    let longer = format!("{longest}x");
    let error = service.embed(&["short", &longer]).expect_err("one byte too many");
    assert_eq!(error, EmbedError::TooLong { at: 1, bytes: TEXT_BYTES_MAX + 1 });
    assert_eq!(error.to_string(), "text 1 has 65537 bytes; at most 65536");
}

#[test]
fn many_tasks_share_one_embedder() {
    let place = directory(&[embeddings()]);
    let service = load(place.path()).expect("a model");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    assert_eq!(vector(&service, "lantern"), padded(&[0.0, 0.0, 2.0]));
                }
            });
        }
    });
}
