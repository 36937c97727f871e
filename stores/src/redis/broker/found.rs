//! What was taken is looked up again: where an answer was lost, or once its time has come.

use fred::types::Value;
use kernel::celery::MESSAGE_BYTES_MAX;

use super::books::Broker;
use super::books::Taken;
use super::books::Ticket;
use super::books::count;
use super::parts::PART_BYTES_MAX;
use crate::redis::connection::Lost;

/// What is booked by tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Messages of ours that are.
    pub taken: Vec<Taken>,
    /// How many of the tags were looked at, from the first: one at least, and of messages
    /// [`PART_BYTES_MAX`]. To be asked for the others, too, is for whoever asked.
    pub looked_at: usize,
}

impl Broker {
    /// Whatever was taken by `ticket` and is still booked.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn find_again(&self, ticket: &Ticket) -> Result<Found, Lost> {
        self.booked(&ticket.tags().collect::<Vec<_>>()).await
    }

    /// Those messages, of ours, that are still booked by these tags.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn booked(&self, tags: &[String]) -> Result<Found, Lost> {
        let bounds = [MESSAGE_BYTES_MAX, PART_BYTES_MAX, self.queues.len()];
        let mut words: Vec<Value> = bounds.map(count).into();
        words.extend(self.endings());
        words.extend(tags.iter().map(|tag| Value::from(tag.as_str())));
        let answer = self.act(&self.scripts().find, vec![self.names.unacked()], words).await?;
        let found = answer.chunks_exact(2).zip(tags).filter_map(|(pair, tag)| {
            let queue = self.queues.get(pair[0].as_usize()?.checked_sub(1)?)?;
            Taken::answered(tag.clone(), queue, &pair[1])
        });
        // Whatever is answered: whoever asks for the others comes to an end.
        let looked_at = (answer.len() / 2).clamp(1, tags.len().max(1));
        Ok(Found { taken: found.collect(), looked_at })
    }
}
