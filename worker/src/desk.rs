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
use stores::redis::broker::Finished;
use stores::redis::broker::TAKEN_MAX;
use stores::redis::broker::Taken;
use stores::redis::broker::Ticket;
use stores::redis::connection::Lost;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::sleep_until;

use crate::figures::Became;
use crate::figures::Figures;
use crate::figures::Moment;
use crate::outcome;
use crate::outcome::Outcome;
use crate::pool::Done;
use crate::pool::End;
use crate::pool::Job;
use crate::pool::Pool;
use crate::task::Call;
use crate::task::Failed;
use crate::task::Registry;
use crate::task::Task;
use crate::terms::LATER_MAX;
use crate::terms::Terms;

mod close;
mod pace;
mod settle;
mod trouble;
mod upkeep;

pub use self::close::WRITE_DOWN_FOR;
use self::pace::Pace;
use self::settle::CallEnd;
use self::settle::Hears;
use self::settle::Left;
use self::settle::Moved;
use self::settle::Settled;
use self::trouble::Act;
use self::trouble::Trouble;

/// How often it is looked whether a task's time is over or has come.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Everything that one worker has in hand.
pub(crate) struct Desk {
    broker: Arc<Broker>,
    registry: Registry,
    terms: Terms,
    pool: Pool,
    done: UnboundedReceiver<Done>,
    figures: Arc<Figures>,
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
    trouble: Trouble,
    /// That of results which are kept elsewhere.
    results_trouble: Trouble,
    said_at: Instant,
    put_back_at: Instant,
}

/// A message that was taken.
struct Held {
    /// The how manieth.
    number: u64,
    queue: String,
    task: Arc<dyn Task>,
    call: Call,
}

/// A message that was taken and calls for a task that there is.
struct Order {
    tag: String,
    queue: String,
    message: Message,
    task: Arc<dyn Task>,
}

impl Desk {
    pub(crate) fn new(
        broker: Arc<Broker>,
        registry: Registry,
        terms: Terms,
        pool: Pool,
        done: UnboundedReceiver<Done>,
        figures: Arc<Figures>,
    ) -> Self {
        let now = Instant::now();
        Self {
            broker,
            registry,
            terms,
            pool,
            done,
            figures,
            held: HashMap::new(),
            later: BTreeSet::new(),
            stuck: HashSet::new(),
            settled: Vec::new(),
            unsure: None,
            arrivals: 0,
            pace: Pace::new(now),
            trouble: Trouble::with_broker(now),
            results_trouble: Trouble::with_results(now),
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
        let settled = self.next_to_settle();
        if !takes && settled.is_empty() {
            return;
        }
        let was_unsure = self.unsure.is_some();
        let ticket = self.unsure.clone().unwrap_or_else(|| self.broker.ticket(room));
        let taking = async {
            match (takes, was_unsure) {
                (false, _) => None,
                (true, true) => {
                    let found = self.broker.find_again(&ticket).await;
                    Some(found.map(|found| (found.taken, ticket.after(found.looked_at))))
                }
                (true, false) => {
                    let taken = self.broker.take(&ticket, now()).await;
                    Some(taken.map(|taken| (taken, None)))
                }
            }
        };
        let settling = settle::settle(&self.broker, &self.terms, settled, self.is_sure_to_have());
        let (taken, left) = tokio::join!(taking, settling);
        self.note_left(left);
        match taken {
            None => {}
            Some(Ok((taken, unsure))) => {
                self.unsure = unsure;
                self.trouble.is_over(Act::Find);
                // To find nothing says nothing of taking.
                if !was_unsure {
                    self.trouble.is_over(Act::Take);
                }
                match was_unsure || taken.len() == room {
                    true => self.pace.took_all(),
                    false => self.pace.took(taken.len()),
                }
                self.receive(taken);
            }
            Some(Err(lost)) => {
                self.unsure = Some(ticket);
                self.note_lost(if was_unsure { Act::Find } else { Act::Take }, &lost);
            }
        }
    }

    async fn settle(&mut self) {
        let settled = self.next_to_settle();
        let is_had = self.is_sure_to_have();
        let left = settle::settle(&self.broker, &self.terms, settled, is_had).await;
        self.note_left(left);
    }

    /// What is to be written down now: nothing for a moment after there was no answer.
    fn next_to_settle(&mut self) -> Vec<Settled> {
        match self.trouble.is_due() && self.results_trouble.is_due() {
            true => std::mem::take(&mut self.settled),
            false => Vec::new(),
        }
    }

    fn note_left(&mut self, left: Left) {
        match &left.broker {
            Some(lost) => self.note_lost(Act::WriteDown, lost),
            None if left.has_done => self.trouble.is_over(Act::WriteDown),
            None => {}
        }
        match &left.results {
            Some(lost) => self.results_trouble.found(Act::WriteDown, lost),
            None if left.has_told => self.results_trouble.is_over(Act::WriteDown),
            None => {}
        }
        self.settled.extend(left.all);
        if self.settled.is_empty() {
            // What could not be written down was given up.
            self.trouble.is_over(Act::WriteDown);
            self.results_trouble.is_over(Act::WriteDown);
        }
    }

    fn note_lost(&mut self, act: Act, lost: &Lost) {
        self.trouble.found(act, lost);
        self.pace.lost();
    }

    /// Looks at what was taken: it is begun, or waits for its time.
    fn receive(&mut self, all: Vec<Taken>) {
        let now = now();
        let mut orders = Vec::with_capacity(all.len());
        for order in all.into_iter().filter_map(|taken| self.read(taken)).collect::<Vec<_>>() {
            let Message { eta, expires, .. } = order.message;
            let due = eta.map(|at| expires.map_or(at, |expires| at.min(expires)));
            match due.filter(|at| *at > now) {
                Some(at) => _ = self.later.insert((at, order.tag)),
                None => orders.push(order),
            }
        }
        self.begin(orders);
    }

    /// What a message calls for; none where it is settled at once.
    fn read(&mut self, taken: Taken) -> Option<Order> {
        let message = taken.read();
        let Taken { tag, queue, .. } = taken;
        let message = match message {
            Ok(message) => message,
            Err(why) => {
                let list = &self.terms.dead_letters;
                tracing::warn!(error = %why, queue, "a message is no task: it is moved to `{list}`");
                self.figures.became(Became::Buried);
                self.settled.push(Settled::Moved(Moved::Buried { tag }));
                return None;
            }
        };
        let task = self.registry.find(&message.name);
        if let Some(told) = outcome::refused(&message, task.is_some(), now()) {
            tracing::warn!(
                task.id = message.id,
                queue,
                "a task is refused: it is none of ours, or something is to follow on it"
            );
            self.figures.became(Became::Refused);
            self.settled.push(Settled::Finished(Finished { tag, told }, None));
            return None;
        }
        let task = Arc::clone(task?);
        Some(Order { tag, queue, message, task })
    }

    fn begin(&mut self, orders: Vec<Order>) {
        let jobs = orders.into_iter().map(|order| self.hold(order)).collect();
        self.pool.put(jobs);
        self.count_active();
    }

    fn hold(&mut self, order: Order) -> Job {
        let Order { tag, queue, mut message, task } = order;
        let limits = [message.time_limit.soft, message.time_limit.hard];
        let longest = self.terms.time_limit;
        let limit = limits.into_iter().flatten().fold(longest, Duration::min);
        message.redelivered = true;
        let call = Call::of(message, limit);
        self.arrivals += 1;
        let held =
            Held { number: self.arrivals, queue, task: Arc::clone(&task), call: call.clone() };
        self.held.insert(tag.clone(), held);
        Job { tag, task, call }
    }

    /// Somebody has come to an end.
    fn note(&mut self, done: Done) {
        let Done { tag, end, took } = done;
        match self.held.remove(&tag) {
            Some(held) => {
                if !matches!(end, End::Expired | End::Failed(Failed::Overdue)) {
                    self.figures.took(&held.call.message().name, took);
                }
                self.end(tag, held, end);
            }
            None if self.stuck.remove(&tag) => {
                tracing::warn!("a task came to its end after its time, and what it gave is dropped")
            }
            None => {}
        }
    }

    fn end(&mut self, tag: String, held: Held, end: End) {
        let Held { queue, task, call, .. } = held;
        let message = call.message();
        if end == End::Panicked {
            let (name, id) = (&message.name, &message.id);
            tracing::error!(task.name = name, task.id = id, "a task has a fault");
        }
        let was_begun = end != End::Expired;
        let (told, end) = match outcome::of(message, end, self.terms.retries_max, now()) {
            Outcome::Done(told) => {
                self.figures.became(Became::Done);
                (told, CallEnd::Done)
            }
            Outcome::Failed(told) => {
                self.figures.became(if was_begun { Became::Failed } else { Became::Refused });
                (told, CallEnd::Nothing)
            }
            Outcome::Again(told, again) => {
                self.figures.became(Became::Again);
                let message = outcome::returned(&tag, &queue, &again);
                self.settled.push(Settled::Moved(Moved::Again { told, message }));
                return self.count_active();
            }
        };
        let hears = Hears { task, call, end, may_be_done: false };
        self.settled.push(Settled::Finished(Finished { tag, told }, Some(hears)));
        self.count_active();
    }

    fn count_active(&self) {
        self.figures.set_active(self.held.len().min(self.terms.concurrency));
    }

    async fn look_at_the_clock(&mut self) {
        self.give_up_overdue();
        match self.is_stuck() {
            true => self.give_back_for_others().await,
            false => self.trouble.is_over(Act::GiveBack),
        }
        self.begin_what_is_due().await;
        self.say_what_is_had().await;
        self.put_back_what_was_dropped().await;
        self.show();
    }

    fn show(&self) {
        self.figures.set(self.moment());
    }

    fn moment(&self) -> Moment {
        Moment {
            held: self.held.len(),
            later: self.later.len(),
            unsettled: self.settled.len(),
            stuck: self.stuck.len(),
            broker_works: self.trouble.is_none(),
            writes_down: self.results_trouble.is_none() && !self.trouble.concerns(Act::WriteDown),
        }
    }

    /// Says of tasks whose time is over that it is, while their threads may go on for a while.
    fn give_up_overdue(&mut self) {
        while let Ok(done) = self.done.try_recv() {
            self.note(done);
        }
        let overdue = self.held.iter().filter(|(_, held)| held.call.course.is_overdue());
        let overdue: Vec<String> = overdue.map(|(tag, _)| tag.clone()).collect();
        for tag in overdue {
            let Some(held) = self.held.remove(&tag) else { continue };
            held.call.course.end();
            self.stuck.insert(tag.clone());
            self.end(tag, held, End::Failed(Failed::Overdue));
            if self.is_stuck() {
                tracing::error!(
                    "every thread is at a task whose time is over: nothing is taken, and what was \
                     not begun is given back"
                );
            }
        }
    }

    /// Whether no thread is left for what is in hand.
    fn is_stuck(&self) -> bool {
        self.stuck.len() >= self.terms.concurrency
    }

    async fn begin_what_is_due(&mut self) {
        let due = self.due(self.hands());
        if due.is_empty() {
            return self.trouble.is_over(Act::Fetch);
        }
        match self.broker.booked(&due).await {
            Ok(found) => {
                self.trouble.is_over(Act::Fetch);
                self.forget_first_later(found.looked_at);
                let orders = found.taken.into_iter().filter_map(|taken| self.read(taken)).collect();
                self.begin(orders);
            }
            Err(lost) => self.note_lost(Act::Fetch, &lost),
        }
    }

    /// The tags of those whose time has come, so many at most: the first of all that wait for it.
    fn due(&self, at_most: usize) -> Vec<String> {
        let now = now();
        let due = self.later.iter().take_while(|(at, _)| *at <= now).take(at_most);
        due.map(|(_, tag)| tag.clone()).collect()
    }

    fn forget_first_later(&mut self, count: usize) {
        (0..count).for_each(|_| _ = self.later.pop_first());
    }
}

#[cfg(test)]
mod tests;
