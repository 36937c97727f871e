//! What the service that Doorward replaces has revoked, while both run beside each other.
//!
//! It is asked about each token once a second at most, and what it said is kept with the verified
//! token, so that it is bounded as those are. It knows a token by its whole text, and so does this.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::HeaderMap;
use kernel::bearer;
use kernel::revocation::RevocationError;
use stores::redis::guard::Unanswered;
use stores::redis::old_service::OldService;
use tokio::sync::Mutex;

use crate::patience::Patience;

/// How long it is not asked again about a token that it had not revoked, from when it was asked.
pub const FRESH_FOR: Duration = Duration::from_secs(1);

/// How lately the old service was heard of about a token that, as far as is known, it has not revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Within [`FRESH_FOR`], or there is nothing that it could say.
    Lately,
    /// It gives no answer now; the last one is so old, or there never was one.
    Before(Option<Duration>),
}

/// What the old service last said of one token.
#[derive(Debug, Default)]
pub struct Word {
    /// That it has revoked it, which it never takes back.
    revoked: AtomicBool,
    /// When it was asked that said it has not, in milliseconds from any beginning; 0: never.
    clear_ms: AtomicU64,
    /// Held by whoever asks; when the last question ended, on the same scale.
    asking: Mutex<u64>,
}

impl Word {
    /// What needs no question at `now_ms`.
    fn known(&self, now_ms: u64) -> Option<Result<Heard, RevocationError>> {
        if self.revoked.load(Ordering::Relaxed) {
            return Some(Err(RevocationError::Revoked));
        }
        let clear_ms = self.clear_ms.load(Ordering::Relaxed);
        let is_fresh =
            clear_ms != 0 && now_ms.saturating_sub(clear_ms) <= FRESH_FOR.as_millis() as u64;
        is_fresh.then_some(Ok(Heard::Lately))
    }

    /// The same, where it has to be asked; whoever comes while somebody asks goes by that answer, or by
    /// there being none, and so waits no longer than one question does.
    async fn hear(
        &self,
        uptime_ms: impl Fn() -> u64,
        ask: impl AsyncFnOnce() -> Option<bool>,
    ) -> Result<Heard, RevocationError> {
        let came_ms = uptime_ms();
        let mut ended_ms = self.asking.lock().await;
        let asked_ms = uptime_ms();
        if let Some(known) = self.known(asked_ms) {
            return known;
        }
        if *ended_ms < came_ms || *ended_ms == 0 {
            match ask().await {
                Some(true) => self.revoked.store(true, Ordering::Relaxed),
                Some(false) => self.clear_ms.store(asked_ms.max(1), Ordering::Relaxed),
                None => {}
            }
            *ended_ms = uptime_ms().max(1);
            if let Some(known) = self.known(asked_ms) {
                return known;
            }
        }
        Ok(self.last(asked_ms))
    }

    /// How lately it was heard at `now_ms`, where nothing more can be heard.
    fn last(&self, now_ms: u64) -> Heard {
        let clear_ms = self.clear_ms.load(Ordering::Relaxed);
        let age = Duration::from_millis(now_ms.saturating_sub(clear_ms));
        Heard::Before((clear_ms != 0).then_some(age))
    }
}

/// The way to the old service.
#[derive(Debug)]
pub struct Line {
    service: Arc<OldService>,
    uptime: fn() -> Duration,
    asked: AtomicU64,
    unanswered: AtomicU64,
}

/// How the line does.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Questions.
    pub asked: u64,
    /// Those without an answer.
    pub unanswered: u64,
    /// Whether it is not asked, because it has failed.
    pub rests: bool,
}

impl Line {
    /// A line to `service`; `uptime` is a clock that only goes forward.
    pub fn new(service: Arc<OldService>, uptime: fn() -> Duration) -> Self {
        Self { service, uptime, asked: AtomicU64::new(0), unanswered: AtomicU64::new(0) }
    }

    /// Hears what the old service says of the token among `headers`, of which `word` is what it said
    /// last. A caller without a token of its own, as test mode makes them, it knows nothing of.
    ///
    /// Waits for `redis.call_timeout` at the longest, and for nothing where it was asked within
    /// [`FRESH_FOR`], or where `patience` is spent.
    ///
    /// # Errors
    /// [`RevocationError::Revoked`] for one that it has revoked.
    pub async fn hear(
        &self,
        word: &Word,
        headers: &HeaderMap,
        patience: &mut Patience,
    ) -> Result<Heard, RevocationError> {
        let now_ms = self.uptime_ms();
        if let Some(known) = word.known(now_ms) {
            return known;
        }
        let Ok(Some(token)) = bearer::token(headers) else { return Ok(Heard::Lately) };
        if patience.is_spent() {
            return Ok(word.last(now_ms));
        }
        // One that is not asked, because it has failed, keeps nobody waiting.
        let is_asked = !self.service.rests();
        // On the heap: all others' requests are the smaller for it.
        let hearing = Box::pin(word.hear(|| self.uptime_ms(), async || self.ask(token).await));
        let heard = hearing.await?;
        if is_asked && heard != Heard::Lately {
            patience.spend();
        }
        Ok(heard)
    }

    /// Whether it has revoked `token`; `None`: there is no answer.
    async fn ask(&self, token: &str) -> Option<bool> {
        let answer = self.service.has_revoked(token).await;
        // What is not asked is not counted as asked.
        if !matches!(answer, Err(Unanswered::Resting)) {
            self.asked.fetch_add(1, Ordering::Relaxed);
        }
        if answer.is_err() {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        answer.ok()
    }

    /// How it does.
    pub fn figures(&self) -> Figures {
        Figures {
            asked: self.asked.load(Ordering::Relaxed),
            unanswered: self.unanswered.load(Ordering::Relaxed),
            rests: self.service.rests(),
        }
    }

    fn uptime_ms(&self) -> u64 {
        (self.uptime)().as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use config::Redis;
    use http::HeaderValue;
    use http::header::AUTHORIZATION;
    use kernel::secret::Secret;
    use kernel::time::uptime;
    use stores::redis::connection::Connection;
    use test_support::redis::RedisServer;
    use tokio::sync::Notify;

    use super::*;

    /// A word, a clock that is held, and a service that says what it is told to.
    #[derive(Default)]
    struct Scene {
        word: Word,
        now_ms: Cell<u64>,
        asked: Cell<u32>,
    }

    impl Scene {
        fn at(now_ms: u64) -> Self {
            Self { now_ms: Cell::new(now_ms), ..Self::default() }
        }

        async fn hear(&self, answer: Option<bool>) -> Result<Heard, RevocationError> {
            if let Some(known) = self.word.known(self.now_ms.get()) {
                return known;
            }
            let ask = async || {
                self.asked.set(self.asked.get() + 1);
                answer
            };
            self.word.hear(|| self.now_ms.get(), ask).await
        }
    }

    #[tokio::test]
    async fn it_is_asked_again_past_a_second_and_not_at_it() {
        let scene = Scene::at(50_000);
        assert_eq!(scene.hear(Some(false)).await, Ok(Heard::Lately));
        scene.now_ms.set(51_000);
        assert_eq!(scene.hear(Some(true)).await, Ok(Heard::Lately));
        assert_eq!(scene.asked.get(), 1);
        scene.now_ms.set(51_001);
        assert_eq!(scene.hear(Some(true)).await, Err(RevocationError::Revoked));
        assert_eq!(scene.asked.get(), 2);
    }

    #[tokio::test]
    async fn what_was_revoked_stays_so_though_nobody_answers_or_somebody_says_otherwise() {
        let scene = Scene::at(50_000);
        assert_eq!(scene.hear(Some(true)).await, Err(RevocationError::Revoked));
        for later in [None, Some(false)] {
            scene.now_ms.set(scene.now_ms.get() + 60_000);
            assert_eq!(scene.hear(later).await, Err(RevocationError::Revoked));
        }
        assert_eq!(scene.asked.get(), 1);
    }

    #[tokio::test]
    async fn without_an_answer_the_last_one_grows_old() {
        let scene = Scene::at(50_000);
        assert_eq!(scene.hear(None).await, Ok(Heard::Before(None)));
        scene.now_ms.set(50_001);
        assert_eq!(scene.hear(Some(false)).await, Ok(Heard::Lately));
        scene.now_ms.set(57_001);
        assert_eq!(scene.hear(None).await, Ok(Heard::Before(Some(Duration::from_secs(7)))));
        // Each that comes later asks anew.
        scene.now_ms.set(57_002);
        assert_eq!(scene.hear(Some(false)).await, Ok(Heard::Lately));
        assert_eq!(scene.asked.get(), 4);
    }

    /// So many that come at once, all while the first of them waits for `answer`.
    async fn crowd(answer: Option<bool>) -> (Vec<Result<Heard, RevocationError>>, u32) {
        let (word, asked, asks) = (Word::default(), Cell::new(0), Notify::new());
        let one = async || {
            let ask = async || {
                asked.set(asked.get() + 1);
                asks.notified().await;
                answer
            };
            word.hear(|| 50_000, ask).await
        };
        let all = async { tokio::join!(one(), one(), one(), one()) };
        let answers = async {
            tokio::task::yield_now().await;
            asks.notify_one();
        };
        let ((a, b, c, d), ()) = tokio::join!(all, answers);
        (vec![a, b, c, d], asked.get())
    }

    #[tokio::test]
    async fn who_comes_while_somebody_asks_goes_by_that_answer() {
        for (answer, heard) in [
            (Some(false), Ok(Heard::Lately)),
            (Some(true), Err(RevocationError::Revoked)),
            // Nobody waits for a second question after the first has failed.
            (None, Ok(Heard::Before(None))),
        ] {
            assert_eq!(crowd(answer).await, (vec![heard; 4], 1), "{answer:?}");
        }
    }

    /// A line to a Redis that hangs; how long it is waited for decides how long this takes, and no more.
    async fn hanging() -> (Line, RedisServer) {
        let mut server = RedisServer::start();
        let call_timeout = Duration::from_millis(300);
        let redis = Redis { call_timeout, ..Redis::at(Secret::new(server.url())) };
        let connection = Connection::open(&redis, None).expect("a URL");
        connection.connected().await.expect("Redis is there");
        server.pause();
        (Line::new(Arc::new(OldService::new(connection)), uptime), server)
    }

    #[tokio::test]
    async fn who_has_waited_in_vain_has_no_patience_left_and_who_has_none_does_not_wait() {
        let (line, _server) = hanging().await;
        let headers =
            HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer a.b.c"))]);
        let hear = async |patience: &mut Patience| {
            let heard = line.hear(&Word::default(), &headers, patience).await;
            assert_eq!(heard, Ok(Heard::Before(None)));
        };
        let mut patience = Patience::default();
        hear(&mut patience).await;
        assert!(patience.is_spent());
        hear(&mut patience).await;
        assert_eq!(line.figures().asked, 1);
        // Where it rests nobody waits, so there is patience for something else.
        while !line.figures().rests {
            hear(&mut Patience::default()).await;
        }
        let mut patience = Patience::default();
        hear(&mut patience).await;
        assert!(!patience.is_spent());
    }
}
