//! Follows a log by its stream, and asks a feed whenever that may not be all.

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use kernel::revocation::feed::FeedLost;
use kernel::revocation::feed::RevocationFeed;
use kernel::revocation::follower::Follower;
use kernel::revocation::frame::Message;
use kernel::revocation::frame::Verdict;
use kernel::time::Timestamp;
use tokio::sync::mpsc;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;
use tokio::time::sleep_until;

use super::reader::Heard;
use super::reader::StreamReader;

/// How often the feed is asked where the stream tells all.
pub const REPAIR_EVERY: Duration = Duration::from_secs(60);

/// How often the feed is asked while nothing is heard of the stream, and after it gave no answer.
pub const POLL_EVERY: Duration = Duration::from_secs(1);

/// How long a stream may be silent, that has a heartbeat each second, before the feed is asked instead.
pub const SILENT_AFTER: Duration = Duration::from_secs(3);

/// The shortest time between two questions to the feed, whatever the stream says.
pub const REPAIR_PAUSE: Duration = Duration::from_millis(100);

/// How many answers of Redis wait while the feed is read.
const ANSWERS_WAITING_MAX: usize = 4;

/// Has `follower` follow the log of `feed`, for as long as it runs: first by a snapshot of `feed`, then
/// by what `reader` reads. `feed` is asked again at every gap, every [`REPAIR_EVERY`], and every
/// [`POLL_EVERY`] while nothing is heard of the stream. `now` tells the time.
pub async fn follow(
    mut reader: StreamReader,
    follower: Follower,
    mut feed: impl RevocationFeed,
    now: impl Fn() -> Timestamp + Send,
) {
    let mut edge = Edge::new(follower, now);
    loop {
        let Some(at) = edge.follower.position().filter(|_| edge.is_whole) else {
            edge.catch_up(&mut feed).await;
            if !edge.is_whole {
                tokio::time::sleep(POLL_EVERY).await;
            }
            continue;
        };
        reader.begin(at);
        let log_id = at.log_id.clone();
        let (listener, mut heard) = mpsc::channel(ANSWERS_WAITING_MAX);
        tokio::select! {
            () = reader.tell(listener) => {}
            () = edge.listen(&log_id, &mut heard, &mut feed) => {}
        }
    }
}

/// An edge, and what it knows of its own knowledge.
struct Edge<N> {
    follower: Follower,
    now: N,
    /// Whether the feed's last answer was taken in.
    is_whole: bool,
    /// Whether the stream says that something is missing.
    sees_gap: bool,
    /// Whether the stream can be heard.
    hears: bool,
    heard_at: Instant,
    /// When the feed is to be asked at the latest.
    ask_at: Instant,
    asked_at: Instant,
    fails: bool,
}

impl<N: Fn() -> Timestamp> Edge<N> {
    fn new(follower: Follower, now: N) -> Self {
        let start = Instant::now();
        Self {
            follower,
            now,
            is_whole: false,
            sees_gap: false,
            hears: false,
            heard_at: start,
            ask_at: start,
            asked_at: start,
            fails: false,
        }
    }

    /// Takes in what is heard of the stream of log `log_id`, and asks `feed` where that is not all;
    /// returns once the log is another one.
    async fn listen(
        &mut self,
        log_id: &str,
        heard: &mut Receiver<Heard>,
        feed: &mut impl RevocationFeed,
    ) {
        loop {
            self.forget();
            tokio::select! {
                biased;
                () = sleep_until(self.next_question()) => {
                    self.ask(heard, feed).await;
                    if self.follower.position().is_none_or(|at| at.log_id != log_id) {
                        return;
                    }
                }
                Some(news) = heard.recv() => self.hear(news),
            }
        }
    }

    /// When the feed is to be asked.
    fn next_question(&self) -> Instant {
        match self.sees_gap && !self.fails {
            true => self.asked_at + REPAIR_PAUSE,
            false => self.ask_at,
        }
    }

    fn hear(&mut self, news: Heard) {
        match news {
            Heard::Entries(entries) if entries.is_empty() => {
                if self.hears && self.heard_at.elapsed() >= SILENT_AFTER {
                    tracing::warn!(
                        "Redis has nothing to say of revocations; the admin API is asked instead"
                    );
                    self.deafen();
                }
            }
            Heard::Entries(entries) => {
                if !self.hears {
                    tracing::info!("revocations are heard of by Redis");
                }
                self.hears = true;
                self.heard_at = Instant::now();
                for entry in entries {
                    let now = (self.now)();
                    let verdict = match &entry {
                        Ok(Message::Frame(frame)) => self.follower.take(frame, now),
                        Ok(Message::Heartbeat(heartbeat)) => self.follower.hear(heartbeat, now),
                        Err(_) => Verdict::Repair,
                    };
                    self.sees_gap |= verdict == Verdict::Repair;
                }
            }
            Heard::Lost(lost) => {
                if self.hears {
                    tracing::warn!(
                        error = lost.source().unwrap_or(&lost),
                        "Redis tells no revocations; the admin API is asked instead"
                    );
                    self.deafen();
                }
            }
        }
    }

    fn deafen(&mut self) {
        self.hears = false;
        self.ask_at = Instant::now();
    }

    fn forget(&mut self) {
        if self.follower.tidy_up_if_due((self.now)()) {
            tracing::warn!("the revocation set was over its bound, and is filled anew");
            self.ask_at = Instant::now();
        }
    }

    /// Asks the feed where the log is, and reads what is missing. While it is asked, the stream goes
    /// on being heard: a feed that hangs holds up nobody.
    async fn ask(&mut self, heard: &mut Receiver<Heard>, feed: &mut impl RevocationFeed) {
        self.asked_at = Instant::now();
        self.sees_gap = false;
        let (before, asked_at) = (self.follower.position().cloned(), (self.now)());
        let told = {
            let mut asking = pin!(feed.position());
            loop {
                tokio::select! {
                    told = &mut asking => break told,
                    Some(news) = heard.recv() => self.hear(news),
                }
            }
        };
        match (told, before) {
            (Ok(told), Some(before))
                if self.follower.has_all_of(&told, &before, asked_at, (self.now)()) =>
            {
                self.answered(Ok(()));
            }
            (Ok(_), _) => self.catch_up(feed).await,
            (Err(error), _) => self.answered(Err(error)),
        }
    }

    async fn catch_up(&mut self, feed: &mut impl RevocationFeed) {
        let caught_up = self.follower.catch_up(feed, (self.now)()).await;
        self.answered(caught_up);
    }

    fn answered(&mut self, answer: Result<(), FeedLost>) {
        self.is_whole = answer.is_ok();
        match &answer {
            Ok(()) if self.fails => tracing::info!("revocations can be asked for again"),
            // Once per outage.
            Err(error) if !self.fails => tracing::error!(
                error = error.source().unwrap_or(error),
                "revocations cannot be asked for; those in force stay in force"
            ),
            Ok(()) | Err(_) => {}
        }
        self.fails = answer.is_err();
        let wait = if self.hears && !self.fails { REPAIR_EVERY } else { POLL_EVERY };
        self.ask_at = Instant::now() + wait;
    }
}
