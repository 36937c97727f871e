//! Workers that end or die, and a Redis that is away: no task is lost.

use std::time::Duration;

use kernel::celery::pidbox::Request;
use kernel::celery::result::State;
use test_support::redis::Reply;

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_ends_finishes_what_runs_and_gives_back_the_rest_in_order() {
    let scene = Scene::new();
    let mut worker = scene.worker(Scene::terms()).await;
    let ids = ["1", "2", "3", "4", "5"];
    ids.iter().for_each(|id| scene.send("gate", id));
    scene.until(|| scene.gate.inside() == 2 && scene.in_hand() == 5).await;
    worker.ask_to_stop();
    scene.until(|| scene.waiting().len() == 3).await;
    let waiting = scene.waiting();
    let back: Vec<_> = waiting.iter().map(|task| (task.id.as_str(), task.redelivered)).collect();
    assert_eq!(back, [("3", true), ("4", true), ("5", true)]);
    scene.gate.open();
    assert_eq!(worker.stop().await.unfinished, 0);
    for id in ["1", "2"] {
        assert_eq!(scene.result(id).expect("it is done").state, State::Success);
    }
    assert_eq!(scene.in_hand(), 0);
    let _next = scene.worker(Scene::terms()).await;
    for id in ["3", "4", "5"] {
        scene.end_of(id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_for_too_long_is_given_back_too() {
    let scene = Scene::new();
    let mut terms = Scene::terms();
    terms.drain_timeout = Duration::ZERO;
    let worker = scene.worker(terms).await;
    scene.send("gate", "1");
    scene.until(|| scene.gate.inside() == 1).await;
    assert_eq!(worker.stop().await.unfinished, 1);
    assert_eq!((scene.waiting().len(), scene.in_hand()), (1, 0));
    scene.gate.open();
    let _next = scene.worker(Scene::terms()).await;
    assert_eq!(scene.end_of("1").await.state, State::Success);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_had_when_it_died_is_done_by_another_and_what_one_has_that_lives_is_not() {
    let scene = Scene::new();
    let mut terms = Scene::terms();
    terms.visibility_timeout = Duration::from_secs(2);
    let dies = scene.worker(terms.clone()).await;
    scene.send("gate", "1");
    scene.until(|| scene.gate.inside() == 1).await;
    dies.die().await;
    assert_eq!(scene.in_hand(), 1, "it wrote nothing down");
    let _lives = scene.worker(terms.clone()).await;
    let _too = scene.worker(terms).await;
    scene.until(|| scene.gate.inside() == 2).await;
    // It lasts longer than the timeout by far, and whoever is at it says so each time.
    let begun = scene.booked_at();
    scene.until(|| scene.booked_at() > begun + 5.0).await;
    assert_eq!(scene.gate.inside(), 2, "it is given to nobody else");
    scene.gate.open();
    assert_eq!(scene.end_of("1").await.state, State::Success);
    scene.until(|| scene.in_hand() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_task_was_given_to_another_says_nothing_over_what_that_one_said() {
    let scene = Scene::new();
    let worker = scene.worker(Scene::terms()).await;
    scene.send("gate", "1");
    scene.until(|| scene.gate.inside() == 1).await;
    scene.redis.command(&["DEL", "unacked", "unacked_index"]).expect("Redis is there");
    let (key, others) = ("celery-task-meta-1", "what another said");
    scene.redis.command(&["SET", key, others]).expect("Redis is there");
    scene.gate.open();
    worker.stop().await;
    assert_eq!(scene.redis.command(&["GET", key]).expect("Redis is there"), Reply::text(others));
    assert_eq!((scene.waiting().len(), scene.in_hand()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_to_an_end_while_redis_was_away_is_written_down_when_it_is_back() {
    let mut scene = Scene::new();
    let worker = scene.worker(Scene::terms()).await;
    scene.send("gate", "1");
    scene.until(|| scene.gate.inside() == 1).await;
    scene.redis.stop();
    scene.gate.open();
    scene.until(|| scene.gate.inside() == 0).await;
    scene.redis.restart();
    assert_eq!(scene.end_of("1").await.state, State::Success);
    scene.send("noop", "2");
    assert_eq!(scene.end_of("2").await.state, State::Success);
    scene.until(|| scene.in_hand() == 0).await;
    let ping = Request::ping("ticket", "me").write("tag");
    scene.until(|| scene.count(&["PUBLISH", "/0.celery.pidbox", &ping]) == 1).await;
    scene.until(|| scene.count(&["LLEN", "me.reply.celery.pidbox"]) == 1).await;
    worker.stop().await;
}
