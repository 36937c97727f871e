//! Gives back what is in hand: all of it at the end, and what waits where no thread is left.

use std::pin::pin;
use std::time::Duration;

use stores::redis::broker::Found;
use stores::redis::broker::Returned;
use stores::redis::broker::TAKEN_MAX;
use stores::redis::broker::Taken;
use stores::redis::broker::Ticket;
use stores::redis::connection::Lost;
use tokio::time::Instant;
use tokio::time::interval;
use tokio::time::sleep;
use tokio::time::sleep_until;
use tokio::time::timeout_at;

use super::Desk;
use super::Held;
use super::LOOK_EVERY;
use super::trouble::Act;
use crate::outcome;
use crate::pool::Job;

/// How long a worker that ends goes on trying to write down what came to an end.
pub const WRITE_DOWN_FOR: Duration = Duration::from_secs(5);

impl Desk {
    /// Gives back what was not begun, waits for what was, but not beyond the drain timeout or until
    /// `hurry`, and gives back the rest. Says how many tasks were given back at which somebody was.
    pub(crate) async fn close(&mut self, hurry: impl Future<Output = ()>) -> usize {
        self.give_back_what_waits().await;
        self.show();
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
                    self.show();
                }
            }
            ended.drain(..).for_each(|done| self.note(done));
        }
        let unfinished = self.held.len();
        self.held.values().for_each(|held| held.call.course.end());
        self.give_back(|_| true).await;
        let until = Instant::now() + WRITE_DOWN_FOR;
        while !self.settled.is_empty() && Instant::now() < until {
            self.settle().await;
            self.show();
            sleep(LOOK_EVERY.min(until - Instant::now())).await;
        }
        unfinished
    }

    /// Gives back what was not begun, what may have been taken without our knowing, and what has come due,
    /// for there is no thread for it. It is tried once: until there is an answer it stays in hand.
    pub(super) async fn give_back_for_others(&mut self) {
        match self.try_to_give_back().await {
            Ok(()) => self.trouble.is_over(Act::GiveBack),
            Err(lost) => self.note_lost(Act::GiveBack, &lost),
        }
    }

    async fn try_to_give_back(&mut self) -> Result<(), Lost> {
        let mut jobs = self.pool.withdraw();
        jobs.retain(|Job { tag, call, .. }| self.held.contains_key(tag) && !call.course.is_begun());
        let back = jobs.iter().filter_map(|Job { tag, call, .. }| {
            Some(outcome::returned(tag, &self.held.get(tag)?.queue, call.message()))
        });
        if let Err(lost) = self.broker.give_back(&back.collect::<Vec<_>>()).await {
            // A thread may be free before the next attempt.
            self.pool.put(jobs);
            return Err(lost);
        }
        jobs.iter().for_each(|job| _ = self.held.remove(&job.tag));
        self.count_active();
        if let Some(ticket) = self.unsure.clone() {
            let looked_at = self.give_back_found(self.broker.find_again(&ticket)).await?;
            self.unsure = ticket.after(looked_at);
        }
        let due = self.due(TAKEN_MAX);
        if !due.is_empty() {
            let looked_at = self.give_back_found(self.broker.booked(&due)).await?;
            self.forget_first_later(looked_at);
        }
        Ok(())
    }

    /// Gives back what is found, as it was. Says how many of the tags were looked at.
    async fn give_back_found(
        &self,
        found: impl Future<Output = Result<Found, Lost>>,
    ) -> Result<usize, Lost> {
        let found = found.await?;
        self.broker.give_back(&as_they_were(&found.taken)).await?;
        Ok(found.looked_at)
    }

    /// Gives back what was not begun, what waits for its time, and what may have been taken without our
    /// knowing.
    async fn give_back_what_waits(&mut self) {
        drop(self.pool.withdraw());
        self.give_back(|held| !held.call.course.is_begun()).await;
        let unsure = self.unsure.take();
        let later = std::mem::take(&mut self.later);
        let tags: Vec<String> = later.into_iter().map(|(_, tag)| tag).collect();
        self.try_for_a_while(|| self.give_back_unread(&tags, unsure.as_ref())).await;
    }

    /// Gives back those of what is in hand for which `whether` holds.
    async fn give_back(&mut self, whether: impl Fn(&Held) -> bool) {
        let mut back: Vec<_> = self.held.extract_if(|_, held| whether(held)).collect();
        self.count_active();
        back.sort_by_key(|(_, held)| held.number);
        let returned =
            back.iter().map(|(tag, held)| outcome::returned(tag, &held.queue, held.call.message()));
        let returned: Vec<_> = returned.collect();
        self.try_for_a_while(|| self.broker.give_back(&returned)).await;
    }

    /// To do it twice does no harm.
    async fn give_back_unread(&self, tags: &[String], unsure: Option<&Ticket>) -> Result<(), Lost> {
        let mut unsure = unsure.cloned();
        while let Some(ticket) = unsure {
            let looked_at = self.give_back_found(self.broker.find_again(&ticket)).await?;
            unsure = ticket.after(looked_at);
        }
        let mut left = tags;
        while !left.is_empty() {
            let next = &left[..left.len().min(TAKEN_MAX)];
            left = &left[self.give_back_found(self.broker.booked(next)).await?..];
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
                Ok(Err(_)) if Instant::now() < until => sleep(LOOK_EVERY).await,
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
        let mut message = taken.read().ok()?;
        message.redelivered = true;
        Some(outcome::returned(&taken.tag, &taken.queue, &message))
    });
    back.collect()
}
