use super::*;

#[tokio::test(start_paused = true)]
async fn a_value_is_not_initialized_until_its_resource_is_loaded() {
    let (resource, value) = slow("model", 3);
    let all = warm_up(vec![resource]);
    let error = value.get().expect_err("nothing is loaded");
    assert_eq!(error, NotInitialized(Arc::from("model")));
    assert_eq!(error.to_string(), "`model` is not initialized");

    all.load().await.expect("all can be loaded");
    assert_eq!(value.get(), Ok(&"model"));
    let standing = standing_of("model", &all.progress());
    assert_eq!((standing.state, standing.attempts), (State::Warm, 1));
    assert_eq!(standing.took, Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn however_many_ask_at_once_a_resource_is_loaded_once() {
    for _ in 0..20 {
        let tally = Tally::default();
        let loads = tally.clone();
        let (resource, value) = Resource::required("model", move || {
            loads.next();
            async {
                tokio::task::yield_now().await;
                Ok(7)
            }
        });
        let all = warm_up(vec![resource]);
        let callers: Vec<_> = (0..100)
            .map(|_| {
                let (all, value) = (all.clone(), value.clone());
                tokio::spawn(async move {
                    all.load().await.expect("it can be loaded");
                    *value.get().expect("loaded for whoever has waited")
                })
            })
            .collect();
        for caller in callers {
            assert_eq!(caller.await.expect("no panic"), 7);
        }
        all.load().await.expect("still there");
        assert_eq!(tally.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_needed_comes_first_and_the_rest_at_the_same_time() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let resource = |name: &'static str, needs: &[&str]| {
        let order = Arc::clone(&order);
        let (resource, _) = Resource::required(name, move || {
            let order = Arc::clone(&order);
            async move {
                tokio::time::sleep(Duration::from_secs(5)).await;
                order.lock().push(name);
                Ok(())
            }
        });
        resource.after(needs)
    };
    let all = warm_up(vec![
        resource("routes", &["keys", "store"]),
        resource("keys", &["database"]),
        resource("database", &[]),
        resource("store", &[]),
    ]);
    let begun = Instant::now();
    all.load().await.expect("all can be loaded");
    assert_eq!(begun.elapsed(), Duration::from_secs(15), "three one after another, one beside");
    let order = order.lock();
    let place = |name: &str| order.iter().position(|one| *one == name).expect("it was loaded");
    assert!(place("database") < place("keys"));
    assert_eq!(place("routes"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_resource_uses_what_it_needs() {
    let (database, value) = slow("database", 1);
    let (keys, key) = Resource::required("keys", move || {
        let value = value.clone();
        async move { Ok(format!("a key of the {}", value.get()?)) }
    });
    warm_up(vec![keys.after(&["database"]), database]).load().await.expect("all can be loaded");
    assert_eq!(key.get().expect("loaded"), "a key of the database");
}

#[tokio::test(start_paused = true)]
async fn what_is_used_without_being_named_as_a_need_is_a_fault_that_lasts() {
    let (database, value) = slow("database", 1);
    let (keys, _) = Resource::required("keys", move || {
        let value = value.clone();
        async move { Ok(value.get()?.len()) }
    });
    let error = warm_up(vec![keys, database]).load().await.expect_err("it came too early");
    assert_eq!(
        error.to_string(),
        "`keys` cannot be loaded, tried once: `database` is not initialized"
    );
}

#[tokio::test(start_paused = true)]
async fn loading_goes_on_when_a_caller_gives_up() {
    let (resource, value) = slow("model", 3);
    let all = warm_up(vec![resource]);
    let given_up = tokio::time::timeout(Duration::from_secs(1), all.load()).await;
    assert!(given_up.is_err(), "it takes longer");
    until(&all.progress(), "model", |state| *state == State::Warm).await;
    assert_eq!(value.get(), Ok(&"model"));
}

#[tokio::test(start_paused = true)]
async fn whoever_asked_first_and_left_is_missed_by_nobody_who_waits() {
    let tally = Tally::default();
    let loads = tally.clone();
    let (resource, value) = Resource::required("model", move || {
        loads.next();
        async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            Ok(7)
        }
    });
    let all = warm_up(vec![resource]);
    let load = |all: &WarmUp| {
        let all = all.clone();
        tokio::spawn(async move { all.load().await })
    };
    let first = load(&all);
    until(&all.progress(), "model", |state| *state == State::Loading).await;
    let others = [load(&all), load(&all), load(&all)];
    first.abort();
    assert!(first.await.expect_err("it was sent away").is_cancelled());
    for other in others {
        assert_eq!(other.await.expect("no panic"), Ok(()));
    }
    assert_eq!((value.get(), tally.count()), (Ok(&7), 1));
}

#[tokio::test(start_paused = true)]
async fn each_step_is_told_with_its_attempt_its_time_and_memory() {
    type Memory = (Option<u64>, Option<u64>);
    #[derive(Clone, Default)]
    struct Measured(Scribe, Arc<Mutex<Vec<Memory>>>);
    impl Witness for Measured {
        fn resident_bytes(&self) -> Option<u64> {
            self.0.resident_bytes()
        }
        fn saw(&self, step: &Step<'_>) {
            self.1.lock().push((step.resident_before, step.resident_after));
            self.0.saw(step);
        }
    }
    let witness = Measured::default();
    let (store, _, _) = refused(Weight::Required, 1);
    let (model, _) = slow("model", 2);
    let all = WarmUp::new(vec![store.after(&["model"]), model], witness.clone()).expect("a plan");
    all.load().await.expect("all can be loaded");
    assert_eq!(
        *witness.0.lines.lock(),
        [
            "model 1 in 2000 ms: warm",
            "store 1 in 0 ms: refused for the 1. time, again after 1 s",
            "store 2 in 0 ms: warm"
        ]
    );
    assert_eq!(*witness.1.lock(), [(0, 1), (2, 3), (4, 5)].map(|(a, b)| (Some(a), Some(b))));
}

#[tokio::test(start_paused = true)]
async fn nothing_to_load_is_loaded_at_once() {
    let none = warm_up(Vec::new());
    assert_eq!(none.progress().standings(), Vec::new());
    none.load().await.expect("nothing can fail");
}
