use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);

/// Something to ask, which counts how often it was.
struct Asked {
    remembered: Remembered<u32>,
    times: AtomicU32,
}

impl Asked {
    fn new(fresh_for: Duration) -> Self {
        Self { remembered: Remembered::new(fresh_for), times: AtomicU32::new(0) }
    }

    /// Reads at `now`; the question, if it is asked, is answered with `answer`.
    async fn read(
        &self,
        now: Timestamp,
        least: u32,
        answer: Result<u32, &'static str>,
    ) -> Result<u32, Unknown<&'static str>> {
        let ask = async {
            self.times.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            answer
        };
        self.remembered.read(now, |known| *known >= least, ask).await.map(|answer| *answer)
    }

    fn times(&self) -> u32 {
        self.times.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn an_answer_is_remembered_and_asked_for_again_when_it_is_no_longer_fresh() {
    let asked = Asked::new(HOUR);
    assert_eq!(asked.read(NOW, 0, Ok(1)).await, Ok(1));
    assert_eq!(asked.read(NOW.plus(HOUR - Duration::from_millis(1)), 0, Ok(2)).await, Ok(1));
    assert_eq!(asked.times(), 1);
    assert_eq!(asked.read(NOW.plus(HOUR), 0, Ok(2)).await, Ok(2));
    assert_eq!(asked.times(), 2);
}

#[tokio::test]
async fn what_does_not_suffice_is_asked_for_once_in_a_cool_down() {
    let asked = Asked::new(HOUR);
    assert_eq!(asked.read(NOW, 0, Ok(1)).await, Ok(1));
    for _ in 0..1000 {
        assert_eq!(asked.read(NOW.plus(COOL_DOWN / 2), 9, Ok(2)).await, Ok(1));
    }
    assert_eq!(asked.times(), 1, "the cool-down counts from a success");
    assert_eq!(asked.read(NOW.plus(COOL_DOWN), 9, Ok(2)).await, Ok(2), "it may not suffice");
    assert_eq!(asked.times(), 2);
}

#[tokio::test]
async fn an_outage_is_one_question_in_a_cool_down_not_one_for_each_who_asks() {
    let asked = Asked::new(HOUR);
    assert_eq!(asked.read(NOW, 0, Err("gone")).await, Err(Unknown::Failed("gone")));
    for _ in 0..1000 {
        let early = NOW.plus(COOL_DOWN - Duration::from_secs(1));
        let wait = Unknown::Wait(Duration::from_secs(1));
        assert_eq!(asked.read(early, 0, Ok(1)).await, Err(wait));
    }
    assert_eq!(asked.times(), 1);
    assert_eq!(asked.read(NOW.plus(COOL_DOWN), 0, Ok(1)).await, Ok(1));
}

#[tokio::test]
async fn a_stale_answer_serves_for_a_day_of_outage_and_no_longer() {
    let asked = Asked::new(HOUR);
    assert_eq!(asked.read(NOW, 0, Ok(1)).await, Ok(1));
    let at = |later: Duration| asked.read(NOW.plus(later), 0, Err("gone"));
    assert_eq!(at(2 * HOUR).await, Ok(1));
    assert_eq!(at(KEPT_FOR - Duration::from_millis(1)).await, Ok(1));
    assert_eq!(at(KEPT_FOR + COOL_DOWN).await, Err(Unknown::Failed("gone")));
}

#[tokio::test]
async fn a_hundred_at_once_ask_once() {
    let asked = Arc::new(Asked::new(HOUR));
    let all: Vec<_> = (0..100)
        .map(|_| {
            let asked = Arc::clone(&asked);
            tokio::spawn(async move { asked.read(NOW, 0, Ok(1)).await })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), Ok(1));
    }
    assert_eq!(asked.times(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_another_for_more_than_five_seconds() {
    let asked = Arc::new(Asked::new(HOUR));
    let stuck = Arc::clone(&asked);
    let stuck = tokio::spawn(async move {
        let never = std::future::pending::<Result<u32, &str>>();
        stuck.remembered.read(NOW, |_| true, never).await
    });
    tokio::task::yield_now().await;
    let begun = tokio::time::Instant::now();
    assert_eq!(asked.read(NOW, 0, Ok(1)).await, Err(Unknown::Wait(COOL_DOWN)));
    assert_eq!(begun.elapsed(), WAIT_MAX);
    stuck.abort();
    assert!(stuck.await.unwrap_err().is_cancelled());
    let wait = Unknown::Wait(COOL_DOWN);
    assert_eq!(asked.read(NOW, 0, Ok(1)).await, Err(wait), "who gave up has asked all the same");
}

#[tokio::test]
async fn a_clock_that_was_put_back_does_not_silence_it() {
    let asked = Asked::new(HOUR);
    assert_eq!(asked.read(NOW, 0, Err("gone")).await, Err(Unknown::Failed("gone")));
    assert_eq!(asked.read(NOW.minus(HOUR), 0, Ok(1)).await, Ok(1));
}
