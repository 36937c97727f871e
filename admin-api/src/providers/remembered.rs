//! What a provider publishes (its endpoints, its keys), asked for seldom and remembered.
//!
//! One question at a time, none within a cool-down after the last, whether that was answered or not:
//! neither an outage nor somebody who sends rubbish turns into a flood at the provider. What was
//! learnt is good for a bounded time, also while the provider cannot be asked.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use kernel::time::Timestamp;

/// How long nothing is asked again, after success and failure alike.
pub(crate) const COOL_DOWN: Duration = Duration::from_secs(10);

/// How long an answer is good while no newer one can be had.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long anybody waits for another's question.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(5);

/// Why nothing is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unknown<E> {
    /// It was asked a moment ago, in vain, or somebody is asking for too long.
    Wait(Duration),
    /// It was asked, in vain.
    Failed(E),
}

/// The last answer to one question.
pub(crate) struct Remembered<T> {
    fresh_for: Duration,
    answer: Mutex<Option<(Arc<T>, Timestamp)>>,
    /// When it was asked last; held while it is being asked.
    asked: tokio::sync::Mutex<Option<Timestamp>>,
}

impl<T> Remembered<T> {
    /// Nothing yet; an answer is not asked for again for `fresh_for`, unless it does not suffice.
    pub(crate) fn new(fresh_for: Duration) -> Self {
        Self { fresh_for, answer: Mutex::default(), asked: tokio::sync::Mutex::default() }
    }

    /// The answer, asked for with `ask` if it is not known, not fresh or does not suffice.
    ///
    /// Within [`COOL_DOWN`], or when `ask` fails, it is the last one, if that is not older than
    /// [`KEPT_FOR`]: it may not suffice.
    ///
    /// # Errors
    /// [`Unknown`], where there is none.
    pub(crate) async fn read<E>(
        &self,
        now: Timestamp,
        suffices: impl Fn(&T) -> bool,
        ask: impl Future<Output = Result<T, E>>,
    ) -> Result<Arc<T>, Unknown<E>> {
        let good = || {
            let fresh = self.kept(now, self.fresh_for.min(KEPT_FOR));
            fresh.filter(|answer| suffices(answer))
        };
        if let Some(answer) = good() {
            return Ok(answer);
        }
        let last = |why| self.kept(now, KEPT_FOR).ok_or(why);
        let Ok(mut asked) = tokio::time::timeout(WAIT_MAX, self.asked.lock()).await else {
            return last(Unknown::Wait(COOL_DOWN));
        };
        // Whoever asked meanwhile has asked for us as well.
        if let Some(answer) = good() {
            return Ok(answer);
        }
        if let Some(at) = *asked
            // A clock that was put back makes the question look early.
            && at <= now
            && now.since(at) < COOL_DOWN
        {
            return last(Unknown::Wait(COOL_DOWN - now.since(at)));
        }
        // Before the answer: whoever gives up waiting for it has asked all the same.
        *asked = Some(now);
        match ask.await {
            Ok(answer) => {
                let answer = Arc::new(answer);
                *self.answer() = Some((Arc::clone(&answer), now));
                Ok(answer)
            }
            Err(error) => last(Unknown::Failed(error)),
        }
    }

    /// The last answer, if it is younger than `for_at_most`.
    fn kept(&self, now: Timestamp, for_at_most: Duration) -> Option<Arc<T>> {
        let answer = self.answer();
        let (answer, at) = answer.as_ref()?;
        (now.since(*at) < for_at_most).then(|| Arc::clone(answer))
    }

    fn answer(&self) -> MutexGuard<'_, Option<(Arc<T>, Timestamp)>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
