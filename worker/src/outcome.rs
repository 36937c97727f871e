//! What whoever called a task is told, and whether it is tried again.

use kernel::celery::MESSAGE_BYTES_MAX;
use kernel::celery::Task as Message;
use kernel::celery::TaskResult;
use kernel::celery::result::Failure;
use kernel::celery::result::State;
use kernel::time::Timestamp;
use stores::redis::broker::Returned;
use stores::redis::broker::Written;

use crate::pool::End;
use crate::task::Failed;
use crate::terms::retry_after;

/// What becomes of a message, and what is told of it where anybody wants to know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It is finished.
    Done(Option<Written>),
    /// It came to nothing.
    Failed(Option<Written>),
    /// It waits to be tried again.
    Again(Option<Written>, Box<Message>),
}

/// What becomes of `message`, whose task ended so at `now`; it may be tried again so often.
pub(crate) fn of(message: &Message, end: End, retries_max: u32, now: Timestamp) -> Outcome {
    let id = &message.id;
    let failure = |failure: &Failure| TaskResult::failure(id, failure, None, now);
    let result = match end {
        End::Gave(value) => match told(message, TaskResult::success(id, value, now)) {
            Some(told) if told.text().len() > MESSAGE_BYTES_MAX => {
                failure(&too_long(told.text().len()))
            }
            told => return Outcome::Done(told),
        },
        End::Failed(Failed::ForNow(why)) if message.retries < retries_max => {
            let mut again = message.clone();
            again.retries += 1;
            again.eta = Some(now.plus(retry_after(message.retries)));
            again.redelivered = false;
            let said = TaskResult::new(id, State::Retry, why.to_json());
            return Outcome::Again(told(message, said), Box::new(again));
        }
        End::Failed(Failed::ForGood(why) | Failed::ForNow(why)) => failure(&why),
        End::Failed(Failed::Overdue) => failure(&overdue()),
        End::Expired => revoked(id, "expired", now),
        // Whatever it says of itself is ours alone.
        End::Panicked => failure(&Failure::builtin("RuntimeError", "the task has a fault")),
    };
    Outcome::Failed(told(message, result))
}

/// What is told of a task that this worker cannot carry out as it is asked; none where it can.
pub(crate) fn refused(
    message: &Message,
    is_known: bool,
    now: Timestamp,
) -> Option<Option<Written>> {
    let why = if !is_known {
        Failure {
            exc_type: "NotRegistered".to_owned(),
            exc_message: vec![message.name.as_str().into()],
            exc_module: Some("celery.exceptions".to_owned()),
        }
    } else if !message.embed.is_empty() {
        let what = "this worker does not go on to callbacks, chains and chords";
        Failure::builtin("NotImplementedError", what)
    } else {
        return None;
    };
    Some(told(message, TaskResult::failure(&message.id, &why, None, now)))
}

fn too_long(bytes: usize) -> Failure {
    let what = format!("a result of {bytes} bytes; at most {MESSAGE_BYTES_MAX} are kept");
    Failure::builtin("ValueError", &what)
}

fn overdue() -> Failure {
    let exc_module = Some("billiard.exceptions".to_owned());
    let exc_type = "SoftTimeLimitExceeded".to_owned();
    Failure { exc_type, exc_message: Vec::new(), exc_module }
}

fn revoked(id: &str, why: &str, now: Timestamp) -> TaskResult {
    let why = Failure {
        exc_type: "TaskRevokedError".to_owned(),
        exc_message: vec![why.into()],
        exc_module: Some("celery.exceptions".to_owned()),
    };
    TaskResult { date_done: Some(now), ..TaskResult::new(id, State::Revoked, why.to_json()) }
}

/// A result, written, where anybody wants to know. It says to which group and parent it belongs, as
/// Celery's do.
fn told(message: &Message, mut result: TaskResult) -> Option<Written> {
    for (name, value) in [("group_id", &message.group), ("parent_id", &message.parent_id)] {
        if let Some(value) = value {
            result.others.insert(name.to_owned(), value.as_str().into());
        }
    }
    (!message.ignore_result).then(|| Written::new(&result))
}

/// A message as it goes back into its queue: for its sake, or for another try.
pub(crate) fn returned(tag: &str, queue: &str, message: &Message) -> Returned {
    Returned {
        tag: tag.to_owned(),
        queue: queue.to_owned(),
        priority: message.priority,
        message: message.write(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message() -> Message {
        Message::new("t", "id", Vec::new(), "celery", "tag")
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn read(told: Option<Written>) -> TaskResult {
        TaskResult::read(told.expect("it is told").text().as_bytes()).expect("a result")
    }

    fn failure_of(outcome: Outcome) -> Failure {
        let Outcome::Failed(told) = outcome else { panic!("{outcome:?}") };
        Failure::of(&read(told).result).expect("a failure")
    }

    #[test]
    fn what_may_pass_is_tried_again_after_a_while_and_three_times_at_most() {
        let why = Failure::builtin("RuntimeError", "not yet");
        let end = || End::Failed(Failed::ForNow(why.clone()));
        let mut message = message();
        for (retries, seconds) in [(1, 101), (2, 102), (3, 104)] {
            let Outcome::Again(told, again) = of(&message, end(), 3, at(100)) else {
                panic!("it is tried again")
            };
            let result = read(told);
            assert_eq!((again.retries, again.eta), (retries, Some(at(seconds))));
            assert_eq!((result.state, &result.result), (State::Retry, &why.to_json()));
            message = *again;
        }
        assert_eq!(failure_of(of(&message, end(), 3, at(100))), why);
    }

    #[test]
    fn nobody_is_told_of_our_faults() {
        let failure = failure_of(of(&message(), End::Panicked, 3, at(0)));
        assert_eq!(failure, Failure::builtin("RuntimeError", "the task has a fault"));
    }

    #[test]
    fn what_is_late_and_what_was_never_begun_are_celerys_own_exceptions() {
        let late = failure_of(of(&message(), End::Failed(Failed::Overdue), 3, at(0)));
        assert_eq!(late.exc_type, "SoftTimeLimitExceeded");
        let Outcome::Failed(expired) = of(&message(), End::Expired, 3, at(0)) else { panic!() };
        let expired = read(expired);
        assert_eq!(expired.state, State::Revoked);
        assert_eq!(expired.result["exc_message"], json!(["expired"]));
    }

    #[test]
    fn what_is_unknown_or_has_a_sequel_is_refused() {
        let mut message = message();
        assert_eq!(refused(&message, true, at(0)), None);
        assert!(refused(&message, false, at(0)).is_some());
        message.embed.chain = json!([{"task": "next"}]);
        assert!(refused(&message, true, at(0)).is_some());
    }

    #[test]
    fn a_result_of_four_mebibytes_is_kept_and_one_byte_more_is_a_failure() {
        let of = |message: &Message, bytes: usize| {
            of(message, End::Gave("x".repeat(bytes).into()), 3, at(0))
        };
        let Outcome::Done(Some(empty)) = of(&message(), 0) else { panic!("it is done") };
        let most = MESSAGE_BYTES_MAX - empty.text().len();
        assert!(matches!(of(&message(), most), Outcome::Done(_)));
        let why = format!("a result of {} bytes; at most 4194304 are kept", MESSAGE_BYTES_MAX + 1);
        let failure = failure_of(of(&message(), most + 1));
        assert_eq!(failure, Failure::builtin("ValueError", &why));
        let unwanted = Message { ignore_result: true, ..message() };
        assert_eq!(of(&unwanted, most + 1), Outcome::Done(None));
    }
}
