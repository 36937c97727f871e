use std::process::Command;

use super::*;
use crate::model::CONFIG_BYTES_MAX;
use crate::model::MODEL_BYTES_MAX;
use crate::model::PRODUCT_MAX;
use crate::model::TOKENIZER_BYTES_MAX;
use crate::model::TOKENS_MAX;
use crate::model::TOKENS_USUAL;
use crate::model::size;

/// Says what is wrong with a model of `of`.
fn fault(of: &[Tensor<'_>]) -> String {
    load(directory(of).path()).expect_err("no model")
}

#[test]
fn a_text_is_the_mean_of_its_tokens() {
    let place = directory(&[embeddings()]);
    let service = load(place.path()).expect("a model");
    assert_eq!(service.dimensions(), DIMENSIONS_MIN);
    assert_eq!(service.bytes(), TOKENS.len() * DIMENSIONS_MIN * 4);
    assert_eq!(service.kind(), "a model of 4 tokens");
    assert_eq!(vector(&service, "harbour"), padded(&[0.0, 1.0]));
    // More than the two that the tokenizer itself would cut at.
    assert_eq!(vector(&service, "Harbour QUAY quay quay"), padded(&[0.0, 0.25, 0.0, 2.25]));
}

#[test]
fn tokens_that_are_not_known_do_not_count() {
    let service = load(directory(&[embeddings()]).path()).expect("a model");
    assert_eq!(vector(&service, "seagull lantern seagull"), padded(&[0.0, 0.0, 2.0]));
    assert_eq!(vector(&service, "seagull"), padded(&[]));
    assert_eq!(vector(&service, ""), padded(&[]));
}

#[test]
fn vectors_are_of_length_one_unless_the_model_says_otherwise() {
    let place = directory(&[embeddings()]);
    for config in [Some(r#"{"normalize": true}"#), Some("{}"), Some(r#"{"normalize": null}"#), None]
    {
        match config {
            Some(config) => write(&place, "config.json", config),
            None => fs::remove_file(place.path().join("config.json")).expect("it was there"),
        }
        let service = load(place.path()).expect("a model");
        assert_eq!(vector(&service, "lantern"), padded(&[0.0, 0.0, 1.0]), "{config:?}");
        assert_eq!(vector(&service, "seagull"), padded(&[]), "nothing is known of it");
    }
}

#[test]
fn tokens_count_as_their_weights_say_and_may_share_rows() {
    let weights = ("weights", Dtype::F32, vec![4], f32s(&[0.0, 4.0, 1.0, 0.5]));
    let rows: Vec<u8> = [0_i64, 1, 1, 3].iter().flat_map(|row| row.to_le_bytes()).collect();
    let mapping = ("mapping", Dtype::I64, vec![4], rows);
    let service = load(directory(&[embeddings(), weights, mapping]).path()).expect("a model");
    assert_eq!(vector(&service, "harbour"), padded(&[0.0, 4.0]));
    assert_eq!(vector(&service, "lantern"), padded(&[0.0, 1.0]), "the row of another token");
    assert_eq!(vector(&service, "quay"), padded(&[0.0, 0.0, 0.0, 1.5]));
}

#[test]
fn numbers_of_half_the_width_are_read() {
    let ones: Vec<u8> =
        [0x3c00_u16; 4 * DIMENSIONS_MIN].iter().flat_map(|x| x.to_le_bytes()).collect();
    let half = ("embeddings", Dtype::F16, vec![4, DIMENSIONS_MIN], ones);
    let service = load(directory(&[half]).path()).expect("a model");
    assert_eq!(vector(&service, "quay"), [1.0; DIMENSIONS_MIN]);
}

#[test]
fn of_a_long_text_as_many_tokens_count_as_the_model_says() {
    let place = directory(&[embeddings()]);
    let counts = |said: &str, tokens_max: usize| {
        write(&place, "config.json", format!(r#"{{"normalize": false{said}}}"#));
        let service = load(place.path()).expect("a model");
        let full = "quay ".repeat(tokens_max);
        assert_eq!(vector(&service, &full), padded(&[0.0, 0.0, 0.0, 3.0]), "{said}");
        let and_one = format!("{full}harbour");
        assert_eq!(vector(&service, &and_one), padded(&[0.0, 0.0, 0.0, 3.0]), "{said}");
        let last = format!("{}harbour", "quay ".repeat(tokens_max - 1));
        assert_ne!(vector(&service, &last), padded(&[0.0, 0.0, 0.0, 3.0]), "{said}");
        // What is not known has a place all the same.
        let unknown = format!("seagull {}harbour", "quay ".repeat(tokens_max - 1));
        assert_eq!(vector(&service, &unknown), padded(&[0.0, 0.0, 0.0, 3.0]), "{said}");
    };
    counts("", TOKENS_USUAL);
    counts(r#", "max_length": 2"#, 2);
    counts(r#", "max_length": 8192"#, TOKENS_MAX);
    counts(r#", "max_length": 8193"#, TOKENS_MAX);
    counts(r#", "max_length": null"#, TOKENS_MAX);
}

#[test]
fn of_a_text_so_many_characters_are_looked_at_as_its_tokens_usually_have() {
    let place = directory(&[embeddings()]);
    write(&place, "config.json", r#"{"normalize": false, "max_length": 2}"#);
    let service = load(place.path()).expect("a model");
    // Six characters in the middle of `[UNK]`, `harbour`, `lantern` and `quay`: twelve for two tokens.
    let fits = format!("{}quay", " ".repeat(8));
    assert_eq!(vector(&service, &fits), padded(&[0.0, 0.0, 0.0, 3.0]));
    assert_eq!(vector(&service, &format!(" {fits}")), padded(&[]), "`qua` is not known");
    let wide = format!("{}quay", "\u{2003}".repeat(8));
    assert_eq!(vector(&service, &wide), padded(&[0.0, 0.0, 0.0, 3.0]), "characters, not bytes");
}

#[test]
fn tensors_that_are_no_embeddings_are_named() {
    let zeros = |count: usize| vec![0; count];
    assert_eq!(
        fault(&[("vectors", Dtype::F32, vec![1], zeros(4))]),
        "`model.safetensors`: there is no tensor `embeddings`; there are `vectors`"
    );
    assert_eq!(
        fault(&[("embeddings", Dtype::F32, vec![4], zeros(16))]),
        "`model.safetensors`: the tensor `embeddings` has the shape [4]; expected [tokens, dimensions]"
    );
    assert_eq!(
        fault(&[("embeddings", Dtype::F32, vec![4, 7], zeros(4 * 7 * 4))]),
        "`model.safetensors`: the tensor `embeddings` has `7` dimensions; use 8 to 4096"
    );
    assert_eq!(
        fault(&[("embeddings", Dtype::I8, vec![4, 8], zeros(32))]),
        "`model.safetensors`: the tensor `embeddings` holds numbers of the kind I8; expected F32, F16, \
         BF16 or F64"
    );
    let not_finite = f32s(&[0.0, f32::NAN, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(
        fault(&[("embeddings", Dtype::F32, vec![1, 8], not_finite)]),
        "`model.safetensors`: the tensor `embeddings` holds something that is no finite number, at 1"
    );
    assert_eq!(
        fault(&[embeddings(), ("weights", Dtype::F32, vec![2, 2], zeros(16))]),
        "`model.safetensors`: the tensor `weights` has the shape [2, 2]; expected [tokens]"
    );
    assert_eq!(
        fault(&[embeddings(), ("mapping", Dtype::F32, vec![4], zeros(16))]),
        "`model.safetensors`: the tensor `mapping` holds numbers of the kind F32; expected I64 or I32"
    );
    for row in [4_i32, -1] {
        let rows: Vec<u8> = [0, 1, row, 3].iter().flat_map(|row| row.to_le_bytes()).collect();
        assert_eq!(
            fault(&[embeddings(), ("mapping", Dtype::I32, vec![4], rows)]),
            format!(
                "`model.safetensors`: the tensor `mapping` leads token 2 to row {row}; there are 4"
            )
        );
    }
    let mapping = ("mapping", Dtype::I64, vec![4], zeros(32));
    assert_eq!(
        fault(&[embeddings(), mapping, ("weights", Dtype::F32, vec![3], zeros(12))]),
        "`model.safetensors`: the tensor `weights` is of 3 tokens, and `mapping` of 4"
    );
}

#[test]
fn numbers_whose_sums_would_not_be_finite_are_refused() {
    let all = |number: f32| {
        let numbers = f32s(&[number; 4 * DIMENSIONS_MIN]);
        ("embeddings", Dtype::F32, vec![4, DIMENSIONS_MIN], numbers)
    };
    let service = load(directory(&[all(-PRODUCT_MAX)]).path()).expect("as great as may be");
    let longest = vector(&service, &"quay ".repeat(TOKENS_MAX));
    assert!(longest.iter().all(|number| number.is_finite()), "{longest:?}");

    let weights = |weight: f32| ("weights", Dtype::F32, vec![4], f32s(&[0.0, 0.0, weight, 0.0]));
    for tensors in [
        vec![all(PRODUCT_MAX.next_up())],
        vec![all(3e38)],
        vec![all(1e20), weights(-1e20)],
        vec![all(2.0), weights(PRODUCT_MAX)],
    ] {
        let fault = fault(&tensors);
        let begin = "`model.safetensors`: the greatest number times the greatest weight is ";
        let end = format!("; at most {PRODUCT_MAX:e}");
        assert!(fault.starts_with(begin) && fault.ends_with(&end), "{fault}");
    }
    load(directory(&[all(1e20), weights(1e-20)]).path()).expect("it is their product that counts");
}

#[test]
fn a_tokenizer_of_another_model_is_found_out() {
    let three = ("embeddings", Dtype::F32, vec![3, 8], vec![0; 3 * 8 * 4]);
    assert_eq!(
        fault(&[three]),
        "the tokenizer in `.` knows a token 3, and the model has vectors of 3: they are not of one model"
    );
}

#[test]
fn files_that_are_not_there_or_hold_something_else_are_named() {
    let place = directory(&[embeddings()]);
    write(&place, "model.safetensors", "nothing of the kind");
    let error = load(place.path()).expect_err("no tensors");
    assert!(error.starts_with("`model.safetensors`: it is no file of the format"), "{error}");
    fs::remove_file(place.path().join("model.safetensors")).expect("it was there");
    let error = load(place.path()).expect_err("nothing there");
    assert!(error.starts_with("`model.safetensors` cannot be read: No such file"), "{error}");

    write(&place, "config.json", r#"{"normalize": 1}"#);
    assert_eq!(
        load(place.path()).expect_err("no configuration"),
        "`config.json` is no configuration of a model: `normalize` is `1`; expected true or false"
    );
    for length in ["0", "-1", "2.5", "\"2\""] {
        write(&place, "config.json", format!(r#"{{"max_length": {length}}}"#));
        let wanted = format!(
            "`config.json` is no configuration of a model: `max_length` is `{length}`; expected a \
             number from 1, or null"
        );
        assert_eq!(load(place.path()).expect_err("no configuration"), wanted);
    }
    write(&place, "tokenizer.json", "{}");
    let error = load(place.path()).expect_err("no tokenizer");
    assert!(error.starts_with("`tokenizer.json` is no tokenizer: "), "{error}");
}

#[test]
fn a_file_of_the_largest_size_is_read_and_one_byte_more_is_not() {
    let place = directory(&[embeddings()]);
    let blanks = |bytes: u64| format!("{{}}{}", " ".repeat(bytes as usize - 2));
    write(&place, "config.json", blanks(CONFIG_BYTES_MAX));
    assert!(load(place.path()).is_ok());
    write(&place, "config.json", blanks(CONFIG_BYTES_MAX + 1));
    assert_eq!(
        load(place.path()).expect_err("too large"),
        "`config.json` has more than 1048576 bytes"
    );
}

#[test]
fn files_of_the_largest_size_are_taken_and_those_of_one_byte_more_are_not() {
    for (name, bytes_max) in
        [("model.safetensors", MODEL_BYTES_MAX), ("tokenizer.json", TOKENIZER_BYTES_MAX)]
    {
        let place = directory(&[embeddings()]);
        let path = place.path().join(name);
        // Of holes: nothing is written.
        let file = fs::File::options().write(true).open(&path).expect("it is there");
        file.set_len(bytes_max).expect("there is room");
        assert_eq!(size(&path, bytes_max).expect("as large as may be"), bytes_max);
        file.set_len(bytes_max + 1).expect("there is room");
        assert_eq!(
            load(place.path()).expect_err("too large"),
            format!("`{name}` has more than {bytes_max} bytes")
        );
    }
}

#[test]
fn what_is_no_regular_file_is_refused_before_anybody_waits_for_it() {
    for name in ["model.safetensors", "tokenizer.json", "config.json"] {
        let place = directory(&[embeddings()]);
        let path = place.path().join(name);
        fs::remove_file(&path).expect("it was there");
        // Nobody ever writes to it.
        let made = Command::new("mkfifo").arg(&path).status().expect("it can be run");
        assert!(made.success(), "{made}");
        assert_eq!(
            load(place.path()).expect_err("no file"),
            format!("`{name}` is no regular file")
        );
    }
}

#[test]
fn a_tokenizer_that_fails_is_found_out_by_a_first_text() {
    let place = directory(&[embeddings()]);
    let tokenizer = fs::read_to_string(place.path().join("tokenizer.json")).expect("it is there");
    let tokenizer = tokenizer.replace(r#""unk_token":"[UNK]""#, r#""unk_token":"[GONE]""#);
    write(&place, "tokenizer.json", tokenizer);
    let error = load(place.path()).expect_err("no token for unknown words");
    let begin = "a first text cannot be embedded: text 0 cannot be cut into tokens: ";
    assert!(error.starts_with(begin), "{error}");
}
