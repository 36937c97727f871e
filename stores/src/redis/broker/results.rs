//! What came of tasks: kept and published where whoever called them looks, while their messages are booked.

use fred::types::Value;

use super::books::Back;
use super::books::Broker;
use super::books::Returned;
use super::books::Written;
use super::books::seconds_kept;
use crate::redis::connection::Lost;

/// A message that came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// What it is called while it is taken.
    pub tag: String,
    /// What is told of its task, where anybody wants to know.
    pub told: Option<Written>,
}

/// Who gave no answer. It may have been done all the same.
#[derive(Debug, thiserror::Error)]
pub enum NotFinished {
    /// The broker; results that are kept beside it as well.
    #[error("the broker gave no answer")]
    Broker(#[source] Lost),
    /// The other Redis, in which results are kept.
    #[error("the result back end gave no answer")]
    Results(#[source] Lost),
}

impl Broker {
    /// Keeps what is told of those messages that are still booked for `kept_s` seconds and publishes it,
    /// and then forgets them. Says of each whether it was. To do it twice does no harm.
    ///
    /// # Errors
    /// [`NotFinished`].
    pub async fn finish(&self, all: &[Finished], kept_s: u64) -> Result<Vec<bool>, NotFinished> {
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let told = all.iter().filter_map(|one| Some((&one.tag, one.told.as_ref()?)));
        self.keep_elsewhere(&told.collect::<Vec<_>>(), kept_s).await?;
        let mut words = Vec::with_capacity(1 + 3 * all.len());
        words.push(seconds_kept(kept_s));
        for Finished { tag, told } in all {
            words.push(tag.as_str().into());
            words.extend(Written::words(told.as_ref().filter(|_| self.results.is_none())));
        }
        let script = &self.scripts().finish;
        let answer = self.act(script, self.unacked(), words).await.map_err(NotFinished::Broker)?;
        Ok(answer.iter().map(|was_booked| was_booked.as_usize() == Some(1)).collect())
    }

    /// Has `message` wait in its queue behind all others, in place of the one of its tag, if that is
    /// still booked; then whoever called is `told` so, where anybody wants to know.
    ///
    /// # Errors
    /// [`NotFinished`].
    pub async fn send_again(
        &self,
        message: &Returned,
        told: Option<&Written>,
        kept_s: u64,
    ) -> Result<(), NotFinished> {
        if let Some(told) = told {
            // First: what another worker tells of it once it waits again is the later word.
            self.keep_elsewhere(&[(&message.tag, told)], kept_s).await?;
        }
        let told = told.filter(|_| self.results.is_none()).map(|told| (told, kept_s));
        let back = std::iter::once(Back::of(message, &self.names));
        let done = self.put_back("+inf".into(), "LPUSH", told, back).await;
        done.map(drop).map_err(NotFinished::Broker)
    }

    /// Keeps in the other Redis, where there is one, what is told of messages that are booked just
    /// before. Between the two somebody may put a message back that was taken too long ago.
    async fn keep_elsewhere(
        &self,
        all: &[(&String, &Written)],
        kept_s: u64,
    ) -> Result<(), NotFinished> {
        let Some(results) = self.results.as_ref().filter(|_| !all.is_empty()) else {
            return Ok(());
        };
        let tags = all.iter().map(|(tag, _)| Value::from(tag.as_str())).collect();
        let (script, hash) = (&self.scripts().booked, self.names.unacked());
        let booked = self.connection.run::<Vec<Value>>(script, &hash, tags).await;
        let booked = booked.map_err(NotFinished::Broker)?;
        let told = all.iter().zip(booked).filter(|(_, is_booked)| is_booked.as_usize() == Some(1));
        let told: Vec<_> = told.map(|((_, told), _)| *told).collect();
        let Some(first) = told.first() else { return Ok(()) };
        let mut words = vec![seconds_kept(kept_s)];
        words.extend(told.iter().flat_map(|told| Written::words(Some(*told))));
        let done = results.run::<Value>(&self.scripts().keep, first.key(), words).await;
        done.map(drop).map_err(NotFinished::Results)
    }
}
