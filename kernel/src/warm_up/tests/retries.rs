use super::*;

#[tokio::test(start_paused = true)]
async fn a_failure_is_tried_again_after_1_2_4_8_and_16_seconds() {
    let (store, value, times) = refused(Weight::Required, TRIES_MAX - 1);
    let all = warm_up(vec![store]);
    all.load().await.expect("the last attempt succeeds");
    assert_eq!(*times.lock(), [0, 1, 3, 7, 15, 31]);
    assert_eq!(value.get(), Ok(&TRIES_MAX));
    assert_eq!(standing_of("store", &all.progress()).attempts, TRIES_MAX);
}

#[tokio::test(start_paused = true)]
async fn what_is_required_and_fails_once_more_ends_it_with_the_last_cause() {
    let (store, value, times) = refused(Weight::Required, TRIES_MAX);
    let (model, _) = slow("model", 1);
    let all = warm_up(vec![model, store]);
    let error = all.load().await.expect_err("no attempt succeeds");
    assert_eq!(
        error.to_string(),
        "`store` cannot be loaded, tried 6 times: refused for the 6. time"
    );
    assert_eq!(all.load().await, Err(error), "the same for whoever asks later");
    let last = Fault::passing("refused for the 6. time");
    assert_eq!(state_of("store", &all.progress()), State::Failed(last));
    assert!(value.get().is_err());
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(times.lock().len(), TRIES_MAX as usize, "nothing is tried any more");
}

#[tokio::test(start_paused = true)]
async fn what_is_optional_and_fails_is_done_without_and_tried_until_it_is_there() {
    let (store, value, times) = refused(Weight::Optional, 8);
    let all = warm_up(vec![store]);
    let progress = all.progress();
    all.load().await.expect("it can be done without");
    assert_eq!(
        state_of("store", &progress),
        State::Degraded(Fault::passing("refused for the 6. time"))
    );
    assert!(value.get().is_err());

    until(&progress, "store", |state| *state == State::Warm).await;
    assert_eq!(value.get(), Ok(&9));
    assert_eq!(*times.lock(), [0, 1, 3, 7, 15, 31, 47, 63, 79], "never longer than {PAUSE_MAX:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_stays_degraded_while_it_is_tried_again() {
    let (store, _, times) = refused(Weight::Optional, 2);
    let all = warm_up(vec![store.tried(1)]);
    all.load().await.expect("it can be done without");
    let mut board = all.progress().0;
    board.mark_unchanged();
    while times.lock().len() < 3 {
        assert!(matches!(board.borrow_and_update()[0].state, State::Degraded(_)));
        board.changed().await.expect("the warm-up lives");
    }
}

#[tokio::test(start_paused = true)]
async fn what_needs_something_degraded_is_not_waited_for_and_comes_after_it() {
    let (store, _, _) = refused(Weight::Optional, 2);
    let (counters, value) = Resource::optional("counters", || async { Ok(1) });
    let (figures, _) = Resource::optional("figures", || async { Ok(1) });
    let all =
        warm_up(vec![figures.after(&["counters"]), counters.after(&["store"]), store.tried(1)]);
    all.load().await.expect("all can be done without");
    assert_eq!(state_of("figures", &all.progress()), State::Waiting);
    until(&all.progress(), "figures", |state| *state == State::Warm).await;
    assert_eq!(value.get(), Ok(&1));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_lasts_is_not_tried_again() {
    for weight in [Weight::Required, Weight::Optional] {
        let tally = Tally::default();
        let tried = tally.clone();
        let (resource, _) = Resource::new::<(), _>("keys", weight, move || {
            tried.next();
            async { Err(Fault::lasting("not a key")) }
        });
        let all = warm_up(vec![resource]);
        let loaded = all.load().await;
        assert_eq!(loaded.is_ok(), weight == Weight::Optional);
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(tally.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_has_until_its_timeout() {
    let (in_time, _) = slow("in time", 9);
    let (late, _) = slow("late", 11);
    let scribe = Scribe::default();
    let ten = Duration::from_secs(10);
    let resources = vec![in_time.within(ten), late.within(ten).tried(2)];
    let all = WarmUp::new(resources, scribe.clone()).expect("a plan");
    let error = all.load().await.expect_err("one is too slow");
    assert_eq!(
        error.to_string(),
        "`late` cannot be loaded, tried 2 times: nothing came of it within 10 s"
    );
    assert_eq!(
        *scribe.lines.lock(),
        [
            "in time 1 in 9000 ms: warm",
            "late 1 in 10000 ms: nothing came of it within 10 s, again after 1 s",
            "late 2 in 10000 ms: nothing came of it within 10 s"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn two_attempts_never_overlap() {
    let (at_work, most) = (Tally::default(), Tally::default());
    struct Leaves(Tally);
    impl Drop for Leaves {
        fn drop(&mut self) {
            self.0.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let (working, seen) = (at_work.clone(), most.clone());
    let (resource, _) = Resource::required::<(), _>("hung", move || {
        seen.0.fetch_max(working.next(), Ordering::SeqCst);
        let leaves = Leaves(working.clone());
        async move {
            let _leaves = leaves;
            std::future::pending().await
        }
    });
    warm_up(vec![resource.tried(3)]).load().await.expect_err("it hangs");
    assert_eq!((most.count(), at_work.count()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_as_others_are() {
    let tally = Tally::default();
    let (resource, value) = Resource::required("model", move || {
        let attempt = tally.next();
        assert!(attempt > 1, "as a defect would");
        async move {
            assert!(attempt > 2, "as another would");
            Ok(attempt)
        }
    });
    warm_up(vec![resource]).load().await.expect("the third attempt succeeds");
    assert_eq!(value.get(), Ok(&3));
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_begins_when_patience_is_over() {
    let (store, _, times) = refused(Weight::Required, u32::MAX);
    let all = warm_up(vec![store.tried_for(Duration::from_secs(60))]);
    all.load().await.expect_err("no attempt succeeds");
    assert_eq!(*times.lock(), [0, 1, 3, 7, 15, 31, 47, 60]);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_for_want_of_one_thing_loads_nothing_more() {
    let (keys, _) = Resource::required::<(), _>("keys", || async { Err(Fault::lasting("none")) });
    let (store, _, times) = refused(Weight::Optional, u32::MAX);
    let (routes, _) = Resource::required("routes", || async { Ok(()) });
    let all = warm_up(vec![keys, store, routes.after(&["keys"])]);
    all.load().await.expect_err("no keys");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(times.lock().len() <= 1);
    assert_eq!(state_of("routes", &all.progress()), State::Waiting);
}
