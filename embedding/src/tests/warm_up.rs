use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use kernel::warm_up::Step;
use kernel::warm_up::WarmUp;
use kernel::warm_up::Witness;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::advance;

use super::*;
use crate::LOAD_TIMEOUT;
use crate::RESOURCE;
use crate::resource;
use crate::warm::loaded_by;

struct Nobody;

impl Witness for Nobody {
    fn resident_bytes(&self) -> Option<u64> {
        None
    }

    fn saw(&self, _step: &Step<'_>) {}
}

/// Puts a file in its place once somebody has looked for it there in vain.
struct Late(TempDir, &'static str, Vec<u8>);

impl Witness for Late {
    fn resident_bytes(&self) -> Option<u64> {
        None
    }

    fn saw(&self, step: &Step<'_>) {
        if step.outcome.is_err() {
            write(&self.0, self.1, &self.2);
        }
    }
}

/// Tells what comes of each attempt.
struct Teller(UnboundedSender<String>);

impl Witness for Teller {
    fn resident_bytes(&self) -> Option<u64> {
        None
    }

    fn saw(&self, step: &Step<'_>) {
        let outcome = step.outcome.map_or_else(ToString::to_string, |()| "there".to_owned());
        let _ = self.0.send(outcome);
    }
}

/// What comes of the next attempt; time goes by until then.
async fn next(steps: &mut UnboundedReceiver<String>) -> String {
    for _ in 0..2 * LOAD_TIMEOUT.as_secs() {
        if let Ok(step) = steps.try_recv() {
            return step;
        }
        advance(Duration::from_secs(1)).await;
    }
    panic!("no attempt comes to an end");
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
    let late = Late(place, "model.safetensors", model);
    let all = WarmUp::new(vec![resource], late).expect("a plan");
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

#[tokio::test(start_paused = true)]
async fn files_that_are_still_being_copied_are_waited_for() {
    let three = ("embeddings", Dtype::F32, vec![3, 8], vec![0; 3 * 8 * 4]);
    // Of another model: the one that is replaced.
    let mut pieces = vec![("model.safetensors", tensors(&[three]))];
    let whole = directory(&[embeddings()]);
    let whole = |name| fs::read(whole.path().join(name)).expect("a file");
    for name in ["tokenizer.json", "model.safetensors", "config.json"] {
        let file = whole(name);
        for bytes in [0, 1, file.len() / 2, file.len() - 1] {
            pieces.push((name, file[..bytes].to_vec()));
        }
    }
    for (name, piece) in pieces {
        let place = directory(&[embeddings()]);
        write(&place, name, &piece);
        let (resource, service) = resource(Some(place.path().to_owned()), Dimensions::default());
        let late = Late(place, name, whole(name));
        let loaded = WarmUp::new(vec![resource], late).expect("a plan").load().await;
        assert_eq!(loaded, Ok(()), "{} bytes of {name}", piece.len());
        assert_eq!(vector(service.get().expect("loaded"), "harbour"), padded(&[0.0, 1.0]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_that_blocks_its_thread_is_over_before_the_next_begins() {
    let (begins, mut begun) = unbounded_channel();
    let (go_on, told) = mpsc::channel();
    let told = Mutex::new(told);
    let (resource, service) = loaded_by(move || {
        begins.send(()).expect("somebody counts");
        told.lock().expect("no panic").recv().expect("it goes on in the end");
        EmbeddingService::load(None, Dimensions::default())
    });
    let (tells, mut steps) = unbounded_channel();
    let all = WarmUp::new(vec![resource], Teller(tells)).expect("a plan");
    let loading = tokio::spawn(async move { all.load().await });
    begun.recv().await.expect("the first begins");
    for _ in 0..2 {
        assert_eq!(next(&mut steps).await, "nothing came of it within 120 s");
        assert!(begun.try_recv().is_err(), "the first is still at it");
    }
    go_on.send(()).expect("the first waits");
    go_on.send(()).expect("another will");
    loading.await.expect("no panic").expect("it is loaded in the end");
    assert_eq!(begun.len(), 1, "one more was enough");
    assert_eq!(service.get().expect("loaded").kind(), "hashed words");
}
