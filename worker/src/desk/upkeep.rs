//! Says what is had, and puts back what others had.

use std::time::Duration;

use kernel::time::now;
use stores::redis::broker::Ticket;
use tokio::time::Instant;

use super::Desk;
use super::settle::Settled;
use super::trouble::Act;

/// How often it is looked for what others have dropped, at the least.
const PUT_BACK_EVERY: Duration = Duration::from_secs(10);

/// How often, within the visibility timeout, it is said that a message is still had.
const SAID_WITHIN_TIMEOUT: u32 = 4;

impl Desk {
    /// Says of everything that is in hand, or may be, that it still is.
    pub(super) async fn say_what_is_had(&mut self) {
        if self.said_at.elapsed() < self.terms.visibility_timeout / SAID_WITHIN_TIMEOUT {
            return;
        }
        let held = self.held.keys().chain(self.later.iter().map(|(_, tag)| tag)).cloned();
        let settled = self.settled.iter().map(|one| Settled::tag(one).to_owned());
        let unsure = self.unsure.iter().flat_map(Ticket::tags);
        let tags: Vec<String> = held.chain(settled).chain(unsure).collect();
        match self.broker.still_have(&tags, now()).await {
            Ok(()) => {
                self.trouble.is_over(Act::Have);
                self.said_at = Instant::now();
            }
            Err(lost) => self.note_lost(Act::Have, &lost),
        }
    }

    /// Whether nobody else can have been given what is in hand: it was said within the visibility timeout that it
    /// is.
    pub(super) fn is_sure_to_have(&self) -> bool {
        self.said_at.elapsed() < self.terms.visibility_timeout
    }

    pub(super) async fn put_back_what_was_dropped(&mut self) {
        let timeout = self.terms.visibility_timeout;
        if self.put_back_at.elapsed() < PUT_BACK_EVERY.min(timeout / SAID_WITHIN_TIMEOUT) {
            return;
        }
        let dead_letters = self.terms.dead_letters_kept();
        let put = match self.broker.put_back_overdue(timeout, now(), dead_letters).await {
            Ok(put) => put,
            Err(lost) => {
                self.put_back_at = Instant::now();
                return self.note_lost(Act::PutBack, &lost);
            }
        };
        self.trouble.is_over(Act::PutBack);
        if put.messages > 0 {
            let count = put.messages;
            tracing::warn!(count, "tasks that a worker took and dropped wait again");
        }
        if put.buried > 0 {
            let (count, list) = (put.buried, dead_letters.list);
            tracing::warn!(count, "messages are moved to `{list}`");
        }
        if put.stay > 0 {
            let count = put.stay;
            tracing::warn!(
                count,
                "messages that a worker took and dropped have no queue to go to: they stay in `unacked`"
            );
        }
        if !put.more {
            self.put_back_at = Instant::now();
        }
    }
}
