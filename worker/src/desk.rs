//! Takes messages as long as there are hands for them, watches the time of what is under way, and has
//! everything that came to an end written down before it is forgotten.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use kernel::celery::Task as Message;
use kernel::time::Timestamp;
use kernel::time::now;
use stores::redis::broker::Broker;
use stores::redis::broker::Returned;
use stores::redis::broker::TAKEN_MAX;
use stores::redis::broker::Taken;
use stores::redis::broker::Ticket;
use stores::redis::connection::Lost;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::sleep_until;
use tokio::time::timeout_at;

use crate::outcome;
use crate::outcome::Outcome;
use crate::pool::Done;
use crate::pool::End;
use crate::pool::Job;
use crate::pool::Pool;
use crate::presence::Counts;
use crate::task::Call;
use crate::task::Course;
use crate::task::Failed;
use crate::task::Registry;
use crate::terms::LATER_MAX;
use crate::terms::Terms;

mod pace;
mod settle;

use self::pace::Pace;
use self::settle::Left;
use self::settle::Settled;

/// How often it is looked whether a task's time is over or has come.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often it is looked for what others have dropped, at the least.
const PUT_BACK_EVERY: Duration = Duration::from_secs(10);

/// How often, within the visibility timeout, it is said that a message is still had.
const SAID_WITHIN_TIMEOUT: u32 = 4;

/// How long a worker that ends goes on trying to write down what came to an end.
const WRITE_DOWN_FOR: Duration = Duration::from_secs(5);

/// Everything that one worker has in hand.
pub(crate) struct Desk {
    broker: Arc<Broker>,
    registry: Registry,
    terms: Terms,
    pool: Pool,
    done: UnboundedReceiver<Done>,
    counts: Arc<Counts>,
    /// To be carried out, or being so; by tag.
    held: HashMap<String, Held>,
    /// To wait until their time comes. What they say stays in Redis.
    later: BTreeSet<(Timestamp, String)>,
    /// Given up for being late, by tag, while their threads go on.
    stuck: HashSet<String>,
    /// Come to an end, and not yet written down.
    settled: Vec<Settled>,
    /// An act of taking without an answer.
    unsure: Option<Ticket>,
    arrivals: u64,
    pace: Pace,
    said_at: Instant,
    put_back_at: Instant,
}

/// A message that was taken.
struct Held {
    /// The how manieth.
    number: u64,
    queue: String,
    message: Message,
    course: Arc<Course>,
}

impl Desk {
    pub(crate) fn new(
        broker: Arc<Broker>,
        registry: Registry,
        terms: Terms,
        pool: Pool,
        done: UnboundedReceiver<Done>,
        counts: Arc<Counts>,
    ) -> Self {
        let now = Instant::now();
        Self {
            broker,
            registry,
            terms,
            pool,
            done,
            counts,
            held: HashMap::new(),
            later: BTreeSet::new(),
            stuck: HashSet::new(),
            settled: Vec::new(),
            unsure: None,
            arrivals: 0,
            pace: Pace::new(now),
            said_at: now,
            put_back_at: now,
        }
    }

    /// Works until `stop`; what is in hand then stays there.
    pub(crate) async fn work(&mut self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ended = Vec::new();
        loop {
            self.take_and_settle().await;
            let take_at = if self.room() == 0 { None } else { Some(self.pace.next()) };
            tokio::select! {
                biased;
                () = &mut stop => return,
                _ = look.tick() => self.look_at_the_clock().await,
                _ = self.done.recv_many(&mut ended, TAKEN_MAX) => {}
                () = sleep_until(take_at.unwrap_or_else(Instant::now)), if take_at.is_some() => {}
            }
            ended.drain(..).for_each(|done| self.note(done));
        }
    }

    /// Gives back what was not begun, waits for what was, but not beyond the drain timeout or until
    /// `hurry`, and gives back the rest. Says how many tasks were given back at which somebody was.
    pub(crate) async fn close(&mut self, hurry: impl Future<Output = ()>) -> usize {
        self.pool.withdraw();
        self.give_back(|held| !held.course.is_begun()).await;
        self.give_back_later().await;
        let mut hurry = pin!(hurry);
        let until = Instant::now() + self.terms.drain_timeout;
        let mut look = interval(LOOK_EVERY);
        let mut ended = Vec::new();
        while !self.held.is_empty() {
            self.settle().await;
            tokio::select! {
                biased;
                () = &mut hurry => break,
                () = sleep_until(until) => break,
                _ = self.done.recv_many(&mut ended, TAKEN_MAX) => {}
                _ = look.tick() => {
                    self.give_up_overdue();
                    self.say_what_is_had().await;
                }
            }
            ended.drain(..).for_each(|done| self.note(done));
        }
        let unfinished = self.held.len();
        self.held.values().for_each(|held| held.course.end());
        self.give_back(|_| true).await;
        let until = Instant::now() + WRITE_DOWN_FOR;
        while !self.settled.is_empty() && Instant::now() < until {
            self.settle().await;
            tokio::time::sleep(LOOK_EVERY.min(until - Instant::now())).await;
        }
        unfinished
    }

    /// How many more messages can be in hand.
    fn hands(&self) -> usize {
        let threads = self.terms.concurrency.saturating_sub(self.stuck.len());
        let in_hand = self.held.len() + self.settled.len();
        (threads * self.terms.prefetch).saturating_sub(in_hand).min(TAKEN_MAX)
    }

    /// How many more can be taken: any of them may be one that waits for its time.
    fn room(&self) -> usize {
        match self.later.len() < LATER_MAX {
            true => self.hands(),
            false => 0,
        }
    }

    /// At one time: neither waits for the other's answer.
    async fn take_and_settle(&mut self) {
        let room = self.room();
        let takes = room > 0 && self.pace.is_due();
        if !takes && self.settled.is_empty() {
            return;
        }
        let ticket = match (&self.unsure, takes) {
            (_, false) => None,
            (Some(unsure), true) => Some((unsure.clone(), true)),
            (None, true) => Some((self.broker.ticket(room), false)),
        };
        let settled = std::mem::take(&mut self.settled);
        let taking = async {
            match &ticket {
                None => None,
                Some((ticket, true)) => Some(self.broker.find_again(ticket).await),
                Some((ticket, false)) => Some(self.broker.take(ticket, now()).await),
            }
        };
        let writes = !settled.is_empty();
        let settling = settle::settle(&self.broker, &self.terms, settled);
        let (taken, left) = tokio::join!(taking, settling);
        if writes {
            self.note_left(left);
        }
        let (Some(taken), Some((ticket, was_unsure))) = (taken, ticket) else { return };
        match taken {
            Ok(taken) => {
                self.unsure = None;
                let full = was_unsure || taken.len() == room;
                self.pace.took(taken.len(), full);
                self.receive(taken, false);
            }
            Err(lost) => {
                self.unsure = Some(ticket);
                self.pace.lost(&lost);
            }
        }
    }

    async fn settle(&mut self) {
        if self.settled.is_empty() {
            return;
        }
        let settled = std::mem::take(&mut self.settled);
        let left = settle::settle(&self.broker, &self.terms, settled).await;
        self.note_left(left);
    }

    fn note_left(&mut self, left: Left) {
        match &left.lost {
            Some(lost) => self.pace.lost(lost),
            None => self.pace.works(),
        }
        self.settled.extend(left.all);
    }

    /// Looks at what was taken; `is_time` where it has waited for its time.
    fn receive(&mut self, all: Vec<Taken>, is_time: bool) {
        let mut jobs = Vec::with_capacity(all.len());
        let now = now();
        for taken in all {
            let Taken { tag, queue, message: bytes } = taken;
            let message = match Message::read(&bytes) {
                Ok(message) => message,
                Err(why) => {
                    tracing::warn!(
                        error = %why,
                        queue,
                        "a message is no task: it is moved to `{}`",
                        self.terms.dead_letters
                    );
                    self.settled.push(Settled::Buried { tag, message: bytes });
                    continue;
                }
            };
            let task = self.registry.find(&message.name);
            if let Some(result) = outcome::refused(&message, task.is_some(), now) {
                tracing::warn!(
                    task.id = message.id,
                    queue,
                    "a task is refused: it is none of ours, or something is to follow on it"
                );
                self.settled.push(Settled::finished(tag, &message, result));
                continue;
            }
            let due = message.eta.map(|at| message.expires.map_or(at, |expires| at.min(expires)));
            if let Some(at) = due.filter(|at| !is_time && *at > now) {
                self.later.insert((at, tag));
                continue;
            }
            let Some(task) = task else { continue };
            jobs.push(self.hold(tag, queue, message, Arc::clone(task)));
        }
        self.pool.put(jobs);
        self.counts.set_active(self.held.len().min(self.terms.concurrency));
    }

    fn hold(
        &mut self,
        tag: String,
        queue: String,
        mut message: Message,
        task: Arc<dyn crate::task::Task>,
    ) -> Job {
        let limits = [message.time_limit.soft, message.time_limit.hard];
        let limit = limits.into_iter().flatten().min().unwrap_or(self.terms.time_limit);
        let course = Arc::new(Course::new(limit));
        let call = Call {
            id: message.id.clone(),
            args: message.args.clone(),
            kwargs: message.kwargs.clone(),
            retries: message.retries,
            course: Arc::clone(&course),
        };
        let expires = message.expires;
        message.redelivered = true;
        self.arrivals += 1;
        self.held.insert(tag.clone(), Held { number: self.arrivals, queue, message, course });
        Job { tag, task, call, expires }
    }

    /// Somebody has come to an end.
    fn note(&mut self, done: Done) {
        let Done { tag, end } = done;
        let Some(held) = self.held.remove(&tag) else {
            if self.stuck.remove(&tag) {
                tracing::warn!(
                    "a task came to its end after its time, and what it gave is dropped"
                );
            }
            return;
        };
        let end = match end {
            End::Gave(_) if held.course.is_overdue() => End::Failed(Failed::Overdue),
            end => end,
        };
        self.end(tag, &held, end);
    }

    fn end(&mut self, tag: String, held: &Held, end: End) {
        if end == End::Panicked {
            tracing::error!(
                task.name = held.message.name,
                task.id = held.message.id,
                "a task has a fault"
            );
        }
        self.counts.processed();
        let settled = match outcome::of(&held.message, end, self.terms.retries_max, now()) {
            Outcome::Finished(result) => Settled::finished(tag, &held.message, result),
            Outcome::Again(result, again) => {
                Settled::Again { result, message: outcome::returned(&tag, &held.queue, &again) }
            }
        };
        self.settled.push(settled);
        self.counts.set_active(self.held.len().min(self.terms.concurrency));
    }

    async fn look_at_the_clock(&mut self) {
        self.give_up_overdue();
        self.begin_what_is_due().await;
        self.say_what_is_had().await;
        self.put_back_what_was_dropped().await;
    }

    /// Says of tasks whose time is over that it is, while their threads may go on for a while.
    fn give_up_overdue(&mut self) {
        let overdue = self.held.iter().filter(|(_, held)| held.course.is_overdue());
        let overdue: Vec<String> = overdue.map(|(tag, _)| tag.clone()).collect();
        for tag in overdue {
            let Some(held) = self.held.remove(&tag) else { continue };
            held.course.end();
            self.stuck.insert(tag.clone());
            self.end(tag, &held, End::Failed(Failed::Overdue));
            if self.stuck.len() == self.terms.concurrency {
                tracing::error!("every thread is at a task whose time is over: nothing is taken");
            }
        }
    }

    async fn begin_what_is_due(&mut self) {
        let now = now();
        let due = self.later.iter().take_while(|(at, _)| *at <= now).take(self.hands());
        let due: Vec<_> = due.cloned().collect();
        if due.is_empty() {
            return;
        }
        let tags = due.iter().map(|(_, tag)| tag.clone()).collect();
        match self.broker.booked(tags).await {
            Ok(taken) => {
                due.iter().for_each(|one| _ = self.later.remove(one));
                self.receive(taken, true);
            }
            Err(lost) => self.pace.lost(&lost),
        }
    }

    async fn say_what_is_had(&mut self) {
        if self.said_at.elapsed() < self.terms.visibility_timeout / SAID_WITHIN_TIMEOUT {
            return;
        }
        let later = self.later.iter().map(|(_, tag)| tag);
        let tags: Vec<String> = self.held.keys().chain(later).cloned().collect();
        match self.broker.still_have(&tags, now()).await {
            Ok(()) => self.said_at = Instant::now(),
            Err(lost) => self.pace.lost(&lost),
        }
    }

    async fn put_back_what_was_dropped(&mut self) {
        let every = PUT_BACK_EVERY.min(self.terms.visibility_timeout / SAID_WITHIN_TIMEOUT);
        if self.put_back_at.elapsed() < every {
            return;
        }
        let Terms { visibility_timeout, dead_letters, .. } = &self.terms;
        let kept = crate::terms::DEAD_LETTERS_MAX;
        let put =
            self.broker.put_back_overdue(*visibility_timeout, now(), dead_letters, kept).await;
        match put {
            Ok(put) => {
                if put.messages > 0 {
                    let count = put.messages;
                    tracing::warn!(count, "tasks that a worker took and dropped wait again");
                }
                if put.buried > 0 {
                    tracing::warn!(count = put.buried, "messages are moved to `{dead_letters}`");
                }
                if !put.more {
                    self.put_back_at = Instant::now();
                }
            }
            Err(lost) => {
                self.put_back_at = Instant::now();
                self.pace.lost(&lost);
            }
        }
    }

    /// Gives back those of what is in hand for which `whether` holds.
    async fn give_back(&mut self, whether: impl Fn(&Held) -> bool) {
        let mut back: Vec<_> = self.held.extract_if(|_, held| whether(held)).collect();
        back.sort_by_key(|(_, held)| held.number);
        let returned =
            back.iter().map(|(tag, held)| outcome::returned(tag, &held.queue, &held.message));
        let returned: Vec<_> = returned.collect();
        self.try_for_a_while(|| self.broker.give_back(&returned)).await;
    }

    /// Gives back what waits for its time, and what may have been taken without our knowing.
    async fn give_back_later(&mut self) {
        let unsure = self.unsure.take();
        let later = std::mem::take(&mut self.later);
        let tags: Vec<String> = later.into_iter().map(|(_, tag)| tag).collect();
        self.try_for_a_while(|| self.give_back_unread(&tags, unsure.as_ref())).await;
    }

    /// To do it twice does no harm.
    async fn give_back_unread(&self, tags: &[String], unsure: Option<&Ticket>) -> Result<(), Lost> {
        if let Some(ticket) = unsure {
            let taken = self.broker.find_again(ticket).await?;
            self.broker.give_back(&as_they_were(&taken)).await?;
        }
        for some in tags.chunks(TAKEN_MAX) {
            let taken = self.broker.booked(some.to_vec()).await?;
            self.broker.give_back(&as_they_were(&taken)).await?;
        }
        Ok(())
    }

    /// What is not done in the end, the visibility timeout does.
    async fn try_for_a_while<T, F>(&self, act: impl Fn() -> F)
    where
        F: Future<Output = Result<T, Lost>>,
    {
        let until = Instant::now() + WRITE_DOWN_FOR;
        loop {
            match timeout_at(until, act()).await {
                Ok(Ok(_)) => return,
                Ok(Err(_)) if Instant::now() < until => tokio::time::sleep(LOOK_EVERY).await,
                Ok(Err(_)) | Err(_) => {
                    tracing::warn!(
                        "the broker gives no answer: what was not given back waits until the \
                         visibility timeout"
                    );
                    return;
                }
            }
        }
    }
}

/// Messages as they go back; without those that are no tasks, which wait for the visibility timeout.
fn as_they_were(taken: &[Taken]) -> Vec<Returned> {
    let back = taken.iter().filter_map(|taken| {
        let mut message = Message::read(&taken.message).ok()?;
        message.redelivered = true;
        Some(outcome::returned(&taken.tag, &taken.queue, &message))
    });
    back.collect()
}

#[cfg(test)]
mod tests;
