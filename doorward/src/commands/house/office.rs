//! The office: the admin API at work, with the feeds that carry its acts to where they count.

use std::sync::Arc;

use admin_api::AdminApi;
use admin_api::FleetDoor;
use kernel::revocation::follower::Follower;
use kernel::secret::Secret;
use stores::redis::stream::publisher::StreamPublisher;
use tokio::net::TcpListener;
use tokio::net::UnixListener;

use super::post::Posts;

/// The admin API at work.
pub(crate) struct Office {
    pub(crate) api: Arc<AdminApi>,
    pub(crate) posts: Posts,
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
        let Self { api, posts } = &self;
        let tail = api.tail_revocations(follower, posts.closed());
        let served = Arc::clone(api).serve(listener, posts.closed());
        tokio::join!(
            posts.hold("the feed of revocations", tail),
            posts.hold("the feed of keys", api.tail_signing_keys(posts.closed())),
            async {
                if let Err(error) = posts.hold("the admin API", served).await {
                    tracing::error!(%error, "the admin API cannot be served");
                }
            }
        );
    }

    /// Works for the gateways that come by `gate`, in the same way.
    ///
    /// Revocations go to them by Redis, too, where there is one.
    pub(crate) async fn work_for_the_fleet(self, gate: FleetGate, stream: Option<StreamPublisher>) {
        let Self { api, posts } = &self;
        let FleetGate { door, token, listener } = gate;
        let served = Arc::clone(api).serve_fleet(door, token, listener, posts.closed());
        tokio::join!(
            posts.hold("the lookout for revocations", api.look_out(posts.closed())),
            posts.hold("the feed of keys", api.tail_signing_keys(posts.closed())),
            posts.hold("the admin API", served),
            async {
                let Some(stream) = stream else { return };
                let published = api.publish_revocations(&stream, posts.closed());
                posts.hold("the stream of revocations", published).await;
            }
        );
    }
}
