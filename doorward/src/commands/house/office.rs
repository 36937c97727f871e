//! The office: the admin API at work, with the feeds that carry its acts to where they count.

use std::sync::Arc;

use admin_api::AdminApi;
use admin_api::FleetDoor;
use kernel::revocation::follower::Follower;
use kernel::secret::Secret;
use stores::redis::stream::publisher::StreamPublisher;
use tokio::net::TcpListener;
use tokio::net::UnixListener;

use super::duty::Duties;

/// The admin API at work.
pub(crate) struct Office {
    pub(crate) api: Arc<AdminApi>,
    pub(crate) duties: Duties,
}

/// Whoever shows the token may come in by the door.
pub(crate) struct FleetGate {
    pub(crate) door: FleetDoor,
    pub(crate) token: Secret,
    pub(crate) listener: TcpListener,
}

impl Office {
    /// Works for the gateway of this process, which comes to `listener`, until it is told to close,
    /// and finishes what is under way. Without any part of it nobody signs in, no revocation
    /// arrives, or no key takes another's place: nothing may be sent here.
    pub(crate) async fn work_within(self, listener: UnixListener, follower: Follower) {
        let Self { api, duties } = &self;
        let tail = api.tail_revocations(follower, duties.closed());
        let served = Arc::clone(api).serve(listener, duties.closed());
        tokio::join!(
            duties.fulfil("the feed of revocations", tail),
            duties.fulfil("the feed of keys", api.tail_signing_keys(duties.closed())),
            duties.fulfil("the admin API", served),
        );
    }

    /// Works for the gateways that come by `gate`, in the same way.
    ///
    /// Revocations go to them by Redis, too, where there is one.
    pub(crate) async fn work_for_the_fleet(self, gate: FleetGate, stream: Option<StreamPublisher>) {
        let Self { api, duties } = &self;
        let FleetGate { door, token, listener } = gate;
        let served = Arc::clone(api).serve_fleet(door, token, listener, duties.closed());
        tokio::join!(
            duties.fulfil("the lookout for revocations", api.look_out(duties.closed())),
            duties.fulfil("the feed of keys", api.tail_signing_keys(duties.closed())),
            duties.fulfil("the admin API", served),
            async {
                let Some(stream) = stream else { return };
                let published = api.publish_revocations(&stream, duties.closed());
                duties.fulfil("the stream of revocations", published).await;
            }
        );
    }
}
