//! Hears of changes as they happen: one reader a process, for all who listen in it.
//!
//! What is told at once may be lost on the way. Whenever that can have happened (a connection was made
//! anew, or more came than was heard), it is looked up how all stands that is listened to.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::interfaces::EventInterface;
use fred::interfaces::PubsubInterface;
use fred::types::Message;
use kernel::lost::StoreLost;
use kernel::status::ResourceId;
use kernel::status::Since;
use kernel::status::StatusStore;
use kernel::time::Timestamp;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::timeout;

use super::RedisStatus;
use super::stored;
use crate::listeners::Listeners;

/// How often it is made sure that we are still heard of: a connection on which nothing comes may be none.
const SURE_EVERY: Duration = Duration::from_secs(5);

/// How long that may take.
const SURE_WITHIN: Duration = Duration::from_secs(2);

/// The most messages that wait until they are heard; past it the oldest are lost, and that is told.
pub(crate) const MESSAGES_WAITING_MAX: usize = 4_096;

/// Hears what is told on the channel of `store`, for as long as this runs, and tells `listeners`. `now`
/// tells the time.
pub(crate) async fn hear(
    store: &RedisStatus,
    listeners: &Listeners,
    now: impl Fn() -> Timestamp + Send + Sync,
) {
    let client = store.guard.connection().for_messages(MESSAGES_WAITING_MAX);
    let (mut told, mut anew) = (client.message_rx(), client.reconnect_rx());
    drop(client.connect());
    let channel = store.channel();
    let mut sure = interval(SURE_EVERY);
    sure.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut is_heard, mut is_owed) = (false, false);
    loop {
        let may_have_missed = tokio::select! {
            message = told.recv() => match message {
                Ok(message) => !tell(store, listeners, &message),
                Err(RecvError::Lagged(_)) => true,
                Err(RecvError::Closed) => return,
            },
            connected = anew.recv() => match connected {
                Ok(_) | Err(RecvError::Lagged(_)) => {
                    is_heard = is_subscribed(&client, &channel).await;
                    true
                }
                Err(RecvError::Closed) => return,
            },
            _ = sure.tick() => {
                let was_heard = is_heard;
                is_heard = is_subscribed(&client, &channel).await;
                if was_heard && !is_heard {
                    // It fails where a connection is being made already.
                    let _ = client.force_reconnection().await;
                }
                is_heard && !was_heard
            }
        };
        is_owed |= may_have_missed;
        // Not before we are told what happens from then on.
        if is_owed && is_heard {
            is_owed = !look(store, listeners, &now).await;
        }
    }
}

/// Has Redis tell us; whether it will.
async fn is_subscribed(client: &Client, channel: &str) -> bool {
    matches!(timeout(SURE_WITHIN, client.subscribe(channel)).await, Ok(Ok(())))
}

/// Tells a change to whoever listens; `false`: it could not be read.
fn tell(store: &RedisStatus, listeners: &Listeners, message: &Message) -> bool {
    let Some(text) = message.value.as_bytes() else { return false };
    let told = stored::hinted(text).and_then(|id| {
        // All that is reported anywhere comes by here; most of it concerns nobody.
        if listeners.has(&id) {
            let change = Arc::new(stored::hint(text, &store.plan)?);
            listeners.tell(&id, || change);
        }
        Ok(())
    });
    if let Err(error) = &told {
        tracing::warn!("a change of job status could not be read: {error}");
    }
    told.is_ok()
}

/// Looks up how all stands that is listened to; whether it could.
async fn look(
    store: &RedisStatus,
    listeners: &Listeners,
    now: &(impl Fn() -> Timestamp + Send + Sync),
) -> bool {
    for (id, version) in listeners.known() {
        if let Err(error) = look_at(store, listeners, &id, version, now()).await
            && error.concerns_all()
        {
            tracing::debug!("it was not looked up how all stands: {error}");
            return false;
        }
    }
    true
}

async fn look_at(
    store: &RedisStatus,
    listeners: &Listeners,
    id: &ResourceId,
    version: u64,
    now: Timestamp,
) -> Result<(), StoreLost> {
    match store.since(id, version, now).await? {
        Since::Changes(changes) => {
            for change in changes {
                listeners.tell(id, || Arc::new(change));
            }
        }
        Since::Missed => {
            if let Some(record) = store.get(id, now).await? {
                listeners.renew(record);
            }
        }
    }
    Ok(())
}
