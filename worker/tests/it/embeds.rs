//! Tasks that make vectors, with an embedder that all threads share.

use std::sync::Arc;
use std::sync::Barrier;
use std::time::Duration;

use embedding::Dimensions;
use embedding::EmbeddingService;
use kernel::celery::Task as Message;
use kernel::celery::result::State;
use kernel::celery::task::TimeLimit;
use parking_lot::Mutex;
use serde_json::Value;
use serde_json::json;
use worker::embed::Embed;
use worker::embed::EmbedError;

use crate::scene::Gate;
use crate::scene::Scene;

/// How many threads there are.
const THREADS: usize = 8;

/// How many tasks there are for each of them.
const ROUNDS: usize = 16;

/// The embedder of this process. Nobody gets vectors until every thread is at it.
struct Together {
    service: EmbeddingService,
    all_are_here: Barrier,
}

impl Embed for Together {
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.all_are_here.wait();
        self.service.embed(texts).map_err(|error| EmbedError(error.to_string()))
    }
}

fn embed(id: &str, texts: Value) -> Message {
    Message::new("embed", id, vec![texts], "celery", id)
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_tasks_make_vectors_at_one_time_the_embedder_is_loaded_once() {
    assert_eq!(EmbeddingService::loaded(), 0);
    let service = EmbeddingService::load(None, Dimensions::default()).expect("nothing to read");
    let one: Vec<f32> = service.embed(&["quay"]).expect("a text").remove(0);
    let all_are_here = Barrier::new(THREADS);
    let scene = Scene::new();
    let terms = worker::terms::Terms { concurrency: THREADS, ..Scene::terms() };
    let model = Arc::new(Together { service, all_are_here });
    let worker = scene.worker_that_embeds(terms, model).await;
    let ids: Vec<_> = (0..THREADS * ROUNDS).map(|number| number.to_string()).collect();
    ids.iter().for_each(|id| scene.send_message(&embed(id, json!("quay"))));
    for id in &ids {
        let result = scene.end_of(id).await;
        assert_eq!(result.state, State::Success);
        let vector: Vec<f32> = serde_json::from_value(result.result).expect("a vector");
        assert_eq!(vector, one);
    }
    assert_eq!(EmbeddingService::loaded(), 1);
    assert_eq!(worker.figure("embedders_loaded").as_deref(), Some("1"));
}

/// Keeps whoever comes until it is let, and notes how many texts each brought.
#[derive(Default)]
struct Slow {
    gate: Gate,
    brought: Mutex<Vec<usize>>,
}

impl Embed for Slow {
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.brought.lock().push(texts.len());
        self.gate.pass();
        Ok(vec![vec![0.5]; texts.len()])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_list_whose_soft_limit_is_over_within_the_first_sixteen_texts_no_others_are_embedded()
{
    let scene = Scene::new();
    let mut terms = Scene::terms();
    terms.concurrency = 1;
    let model = Arc::new(Slow::default());
    let _worker = scene.worker_that_embeds(terms, Arc::clone(&model) as Arc<dyn Embed>).await;
    let mut late = embed("late", json!(vec!["quay"; 48]));
    late.time_limit = TimeLimit { soft: Some(Duration::from_secs(2)), hard: None };
    scene.send_message(&late);
    let failure = scene.failure_of("late").await;
    assert_eq!(failure.exc_type, "SoftTimeLimitExceeded");
    assert_eq!(failure.exc_module.as_deref(), Some("billiard.exceptions"));
    assert_eq!(model.gate.inside(), 1, "it is at the first of them still");
    model.gate.open();
    // Done by the same thread, and so after whatever else it would do.
    scene.send_message(&embed("next", json!("quay")));
    assert_eq!(scene.end_of("next").await.state, State::Success);
    assert_eq!(*model.brought.lock(), [16, 1]);
    assert_eq!(scene.failure_of("late").await, failure, "the first word is the last");
}
