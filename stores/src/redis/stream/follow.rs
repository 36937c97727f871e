//! Follows a log by its stream, and asks a feed whenever that may not be all.

use std::collections::VecDeque;
use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use kernel::revocation::feed::FeedLost;
use kernel::revocation::feed::Position;
use kernel::revocation::feed::RevocationFeed;
use kernel::revocation::follower::Follower;
use kernel::revocation::frame::Message;
use kernel::revocation::frame::Verdict;
use kernel::time::Timestamp;
use tokio::sync::mpsc;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;
use tokio::time::sleep_until;

use super::reader::Entry;
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

/// How many answers of Redis wait while entries are taken in.
const ANSWERS_WAITING_MAX: usize = 4;

/// How many entries are kept while the feed is read, to be taken in afterwards; where more come, the oldest
/// are left to the feed. The rows of all of them are in force at once.
pub const ENTRIES_KEPT_MAX: usize = 256;

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
    ear: Ear,
    /// When the feed is to be asked at the latest.
    ask_at: Instant,
    asked_at: Instant,
    fails: bool,
}

/// Whether the stream is heard, and since when it was not.
struct Ear {
    hears: bool,
    heard_at: Instant,
    /// Whether the log says that it is heard, or that it is not.
    is_told: bool,
}

impl<N: Fn() -> Timestamp> Edge<N> {
    fn new(follower: Follower, now: N) -> Self {
        let start = Instant::now();
        Self {
            follower,
            now,
            is_whole: false,
            sees_gap: false,
            ear: Ear { hears: false, heard_at: start, is_told: false },
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
        self.ear.heard_at = Instant::now();
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
        let heard_at = (self.now)();
        for entry in self.ear.hear(news, &mut self.ask_at) {
            self.take(&entry, heard_at);
        }
    }

    fn take(&mut self, entry: &Entry, heard_at: Timestamp) {
        let now = (self.now)();
        let verdict = match entry {
            Ok(Message::Frame(frame)) => self.follower.take(frame, heard_at, now),
            Ok(Message::Heartbeat(heartbeat)) => self.follower.hear(heartbeat, heard_at.min(now)),
            Err(_) => Verdict::Repair,
        };
        self.sees_gap |= verdict == Verdict::Repair;
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
            (Ok(told), _) => self.read_up_to(told, asked_at, heard, feed).await,
            (Err(error), _) => self.answered(Err(error)),
        }
    }

    /// Reads off the feed what is missing up to `told`, where it was when it was asked at `asked_at`.
    /// Meanwhile, rows that the stream tells of are in force at once, and that is what is measured; how far
    /// they reach is seen afterwards.
    async fn read_up_to(
        &mut self,
        told: Position,
        asked_at: Timestamp,
        heard: &mut Receiver<Heard>,
        feed: &mut impl RevocationFeed,
    ) {
        let mut kept = VecDeque::new();
        let (set, log_id) = (self.follower.set().clone(), told.log_id.clone());
        let read = {
            let reading = self.follower.catch_up_to(told, asked_at, feed, (self.now)());
            let mut reading = pin!(reading);
            loop {
                let news = tokio::select! {
                    read = &mut reading => break read,
                    Some(news) = heard.recv() => news,
                };
                let heard_at = (self.now)();
                for entry in self.ear.hear(news, &mut self.ask_at) {
                    if let Ok(Message::Frame(frame)) = &entry
                        && frame.log_id == log_id
                    {
                        set.apply(&frame.rows, heard_at);
                    }
                    if kept.len() == ENTRIES_KEPT_MAX {
                        kept.pop_front();
                    }
                    kept.push_back((entry, heard_at));
                }
            }
        };
        self.answered(read);
        kept.iter().for_each(|(entry, heard_at)| self.take(entry, *heard_at));
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
        let wait = if self.ear.hears && !self.fails { REPAIR_EVERY } else { POLL_EVERY };
        self.ask_at = Instant::now() + wait;
    }
}

impl Ear {
    /// The entries of what came; where the stream is heard no more, the feed is to be asked, at `ask_at`.
    fn hear(&mut self, news: Heard, ask_at: &mut Instant) -> Vec<Entry> {
        match news {
            Heard::Entries(entries) if entries.is_empty() => {
                if self.is_silent() {
                    tracing::warn!(
                        "Redis has nothing to say of revocations; the admin API is asked instead"
                    );
                    self.deafen(ask_at);
                }
                entries
            }
            Heard::Entries(entries) => {
                if !self.hears {
                    tracing::info!("revocations are heard of by Redis");
                }
                *self = Self { hears: true, heard_at: Instant::now(), is_told: true };
                entries
            }
            Heard::Lost(lost) => {
                if self.hears || self.is_silent() {
                    tracing::warn!(
                        error = lost.source().unwrap_or(&lost),
                        "Redis tells no revocations; the admin API is asked instead"
                    );
                    self.deafen(ask_at);
                }
                Vec::new()
            }
        }
    }

    /// Whether nothing was heard for so long that it is to be told: once, also where there never was
    /// anything.
    fn is_silent(&self) -> bool {
        (self.hears || !self.is_told) && self.heard_at.elapsed() >= SILENT_AFTER
    }

    fn deafen(&mut self, ask_at: &mut Instant) {
        if self.hears {
            *ask_at = Instant::now();
        }
        (self.hears, self.is_told) = (false, true);
    }
}

#[cfg(test)]
mod tests {
    use kernel::revocation::frame::Heartbeat;
    use tokio::time::advance;

    use super::*;

    fn heartbeat() -> Heard {
        let heartbeat = Heartbeat { log_id: "l1".to_owned(), last: 7, at: Timestamp::default() };
        Heard::Entries(vec![Ok(Message::Heartbeat(heartbeat))])
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_was_never_heard_is_told_of_once_it_was_silent_and_not_again() {
        let start = Instant::now();
        let mut ear = Ear { hears: false, heard_at: start, is_told: false };
        let mut ask_at = start;
        for silence in [SILENT_AFTER - Duration::from_millis(1), Duration::from_millis(1)] {
            assert!(!ear.is_silent());
            ear.hear(Heard::Entries(Vec::new()), &mut ask_at);
            assert!(!ear.is_told);
            advance(silence).await;
        }
        assert!(ear.is_silent());
        ear.hear(Heard::Entries(Vec::new()), &mut ask_at);
        assert!(ear.is_told);
        assert_eq!(ask_at, start, "the feed was asked all the time");
        advance(SILENT_AFTER).await;
        assert!(!ear.is_silent(), "it was told");

        assert_eq!(ear.hear(heartbeat(), &mut ask_at).len(), 1);
        assert!(ear.hears && !ear.is_silent());
        advance(SILENT_AFTER).await;
        assert!(ear.is_silent(), "heard, and silent since");
        ear.hear(Heard::Entries(Vec::new()), &mut ask_at);
        assert!(!ear.hears && ask_at == Instant::now());
        assert!(!ear.is_silent());
    }
}
