//! The two loops: revocations and keys, as the admin API tells them, for as long as they run.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::HeaderValue;
use http::StatusCode;
use http::header::ETAG;
use kernel::fleet::KEYS_PATH;
use kernel::fleet::PublicKeys;
use kernel::fleet::WAIT_MAX;
use kernel::keys::LiveKeys;
use kernel::keys::Stored;
use kernel::revocation::feed::FeedLost;
use kernel::revocation::feed::RevocationFeed;
use kernel::revocation::follower::Follower;
use kernel::time::now;
use tokio::time::Instant;
use tokio::time::sleep;

use super::feed::HttpFeed;
use super::line::Line;
use super::line::LineError;
use super::pace::Pace;

/// So many times in the bound of staleness it is heard, where nothing happens, that nothing does: each
/// time as of the question, so that what is known is at most two waits old.
const HEARD_WITHIN_BOUND: u32 = 4;

/// How long to wait for news, where what is older than `stale_after` is too old for some route.
pub fn wait_within(stale_after: Duration) -> Duration {
    (stale_after / HEARD_WITHIN_BOUND).min(WAIT_MAX)
}

/// Has `follower` follow the log at the other end of `line`, for as long as it runs. Each question
/// waits at most `wait` for news; `jitter` gives a number, any other each time, for what is waited
/// after a failure.
pub async fn revocations(
    line: Line,
    mut follower: Follower,
    wait: Duration,
    mut jitter: impl FnMut() -> u32,
) {
    let mut feed = HttpFeed::new(line);
    let mut pace = Pace::default();
    // Where something may be missing, it is not waited for news.
    let mut is_whole = false;
    let tell = |error: Option<&FeedLost>| match error {
        None => tracing::info!("revocations are followed again"),
        Some(error) => tracing::error!(
            error = error.source().unwrap_or(error),
            "the admin API does not tell revocations; those in force stay in force"
        ),
    };
    loop {
        if follower.tidy_up_if_due(now()) {
            tracing::warn!("the revocation set was over its bound, and is filled anew");
            is_whole = false;
        }
        let asked = Instant::now();
        let looked = look(&mut feed, &mut follower, wait, is_whole).await;
        is_whole = looked.is_ok();
        sleep(pace.after(looked, asked.elapsed(), jitter(), tell)).await;
    }
}

/// Takes in what is new; where nothing is missing (`is_whole`), waits for that. The set was complete
/// when the log was asked for, however long the answer was under way.
async fn look(
    feed: &mut HttpFeed,
    follower: &mut Follower,
    wait: Duration,
    is_whole: bool,
) -> Result<(), FeedLost> {
    let asked_at = now();
    let told = match follower.position().filter(|_| is_whole) {
        Some(known) => feed.wait_for_news(known, wait).await?,
        None => feed.position().await?,
    };
    follower.catch_up_to(told, asked_at, feed, now()).await
}

/// Keeps `keys` as the admin API at the other end of `line` has them, for as long as it runs, and
/// sets `known` once they are known. `wait` and `jitter` are as for [`revocations`].
pub async fn keys(
    line: Line,
    keys: Arc<LiveKeys>,
    known: Arc<AtomicBool>,
    wait: Duration,
    mut jitter: impl FnMut() -> u32,
) {
    let mut pace = Pace::default();
    let mut tag = None;
    let tell = |error: Option<&LineError>| match error {
        None => tracing::info!("signing keys are followed again"),
        Some(error) => tracing::error!(
            %error,
            "the admin API does not tell its keys; those in force stay so"
        ),
    };
    loop {
        let asked = Instant::now();
        let looked = look_at_keys(&line, tag.as_ref(), wait).await.map(|news| {
            if let Some((stored, version)) = news {
                keys.install(stored);
                tag = version;
            }
            known.store(true, Ordering::Release);
        });
        sleep(pace.after(looked, asked.elapsed(), jitter(), tell)).await;
    }
}

/// The keys and their version, where that is another than `tag`.
async fn look_at_keys(
    line: &Line,
    tag: Option<&HeaderValue>,
    wait: Duration,
) -> Result<Option<(Stored, Option<HeaderValue>)>, LineError> {
    let query = [("wait_ms", wait.as_millis().to_string())];
    let answer = line.ask(KEYS_PATH, &query, tag, wait).await?;
    if answer.status == StatusCode::NOT_MODIFIED {
        return Ok(None);
    }
    let read = PublicKeys::read(&answer.body);
    let (stored, left_out) = read.map_err(|error| LineError::Body(error.to_string()))?;
    if left_out > 0 {
        tracing::error!(
            "{left_out} keys of the admin API are of a kind that is not known here, and tokens \
             that they sign are refused: is this gateway older than it?"
        );
    }
    Ok(Some((stored, answer.headers.get(ETAG).cloned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_heard_four_times_within_the_bound_and_waited_ten_seconds_at_most() {
        for (stale_after, wait) in [(4_000, 1_000), (40_000, 10_000), (40_004, 10_000)] {
            assert_eq!(wait_within(Duration::from_millis(stale_after)).as_millis(), wait);
        }
    }
}
