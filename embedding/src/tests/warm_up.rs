use std::sync::Arc;
use std::time::Duration;

use kernel::warm_up::Step;
use kernel::warm_up::WarmUp;
use kernel::warm_up::Witness;

use super::*;
use crate::RESOURCE;
use crate::resource;

struct Nobody;

impl Witness for Nobody {
    fn resident_bytes(&self) -> Option<u64> {
        None
    }

    fn saw(&self, _step: &Step<'_>) {}
}

/// Puts the model in its place once somebody has looked for it there in vain.
struct Late(TempDir, Vec<u8>);

impl Witness for Late {
    fn resident_bytes(&self) -> Option<u64> {
        None
    }

    fn saw(&self, step: &Step<'_>) {
        if step.outcome.is_err() {
            write(&self.0, "model.safetensors", &self.1);
        }
    }
}

#[tokio::test]
async fn the_embedder_is_loaded_once_and_shared() {
    let (resource, service) = resource(None, Dimensions::default());
    let error = service.get().map(|_| ()).expect_err("not loaded yet");
    assert_eq!(error.to_string(), format!("`{RESOURCE}` is not initialized"));
    let all = WarmUp::new(vec![resource], Nobody).expect("a plan");
    all.load().await.expect("it is loaded");
    let one = Arc::clone(service.get().expect("loaded"));
    all.load().await.expect("it stays loaded");
    assert!(Arc::ptr_eq(&one, service.get().expect("loaded")));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_comes_late_is_waited_for() {
    let place = directory(&[embeddings()]);
    let file = place.path().join("model.safetensors");
    let model = fs::read(&file).expect("a model");
    fs::remove_file(&file).expect("it was there");
    let (resource, service) = resource(Some(place.path().to_owned()), Dimensions::default());
    let began = tokio::time::Instant::now();
    let all = WarmUp::new(vec![resource], Late(place, model)).expect("a plan");
    all.load().await.expect("it is loaded in the end");
    assert_eq!(service.get().expect("loaded").dimensions(), DIMENSIONS_MIN);
    assert!(began.elapsed() >= Duration::from_secs(1), "a pause before the second attempt");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_model_is_not_tried_again() {
    let place = directory(&[("embeddings", Dtype::I8, vec![4, 8], vec![0; 32])]);
    let (resource, _) = resource(Some(place.path().to_owned()), Dimensions::default());
    let all = WarmUp::new(vec![resource], Nobody).expect("a plan");
    let error = all.load().await.expect_err("no model").to_string();
    assert!(error.starts_with("`embeddings` cannot be loaded, tried once: "), "{error}");
    assert!(error.ends_with("expected F32, F16, BF16 or F64"), "{error}");
}
