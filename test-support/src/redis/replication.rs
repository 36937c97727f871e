//! A Redis that follows another, and takes its place.

use super::RedisServer;
use super::Reply;
use crate::wait::START_MAX;
use crate::wait::wait_until;

impl RedisServer {
    /// Starts another, set up alike, that follows this one.
    ///
    /// # Panics
    /// As [`RedisServer::start`] and [`RedisServer::follow`].
    #[track_caller]
    pub fn start_replica(&self) -> Self {
        let replica = self.setup.clone().start();
        replica.follow(self);
        replica
    }

    /// Becomes a replica of `master` (`REPLICAOF`), and returns when it has what that has.
    ///
    /// # Panics
    /// When that takes longer than [`START_MAX`], or when `master` speaks TLS: that between servers
    /// is not set up here.
    #[track_caller]
    pub fn follow(&self, master: &Self) {
        assert!(!master.setup.speaks_tls(), "the replica of a server that speaks TLS");
        self.must(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
        wait_until(START_MAX, || self.follows(master));
    }

    /// Becomes a master (`REPLICAOF NO ONE`), as when the one before is lost. That one is not told.
    ///
    /// # Panics
    /// When it does not answer.
    #[track_caller]
    pub fn promote(&self) {
        self.must(&["REPLICAOF", "NO", "ONE"]);
        wait_until(START_MAX, || self.has("role", "master"));
    }

    /// Changes places with `replica`, which follows it (`FAILOVER`): nothing is lost, and who writes
    /// here is answered `READONLY` afterwards.
    ///
    /// # Panics
    /// When it does not follow, or that takes longer than [`START_MAX`].
    #[track_caller]
    pub fn fail_over_to(&self, replica: &Self) {
        self.must(&["FAILOVER", "TO", "127.0.0.1", &replica.port().to_string()]);
        wait_until(START_MAX, || replica.has("role", "master") && self.follows(replica));
    }

    /// Says whether this one is a replica that `master` counts on.
    fn follows(&self, master: &Self) -> bool {
        let known = format!("port={},state=online", self.port());
        let known = |replica: String| replica.contains(&known);
        self.has("master_port", &master.port().to_string())
            && self.has("master_link_status", "up")
            && (0..).map_while(|at| master.info(&format!("slave{at}"))).any(known)
    }

    fn has(&self, field: &str, value: &str) -> bool {
        self.info(field).is_some_and(|found| found == value)
    }

    #[track_caller]
    fn must(&self, words: &[&str]) {
        assert_eq!(self.command(words).unwrap(), Reply::text("OK"), "{words:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(server: &RedisServer) -> Reply {
        server.command(&["GET", "key"]).unwrap()
    }

    #[track_caller]
    fn set(server: &RedisServer, value: &str) {
        server.must(&["SET", "key", value]);
        // Until all replicas have it.
        assert_eq!(server.command(&["WAIT", "1", "10000"]).unwrap(), Reply::Integer(1));
    }

    #[track_caller]
    fn assert_read_only(server: &RedisServer) {
        let reply = server.command(&["SET", "key", "other"]).unwrap();
        assert!(matches!(&reply, Reply::Error(why) if why.starts_with("READONLY")), "{reply:?}");
    }

    #[test]
    fn a_replica_has_what_its_master_has_and_takes_no_writes() {
        let master = RedisServer::start();
        master.must(&["SET", "key", "before"]);
        let replica = master.start_replica();
        assert_eq!(value(&replica), Reply::text("before"));
        set(&master, "after");
        assert_eq!(value(&replica), Reply::text("after"));
        assert_read_only(&replica);
    }

    #[test]
    fn two_change_places_and_back_whoever_they_let_in() {
        for setup in [
            RedisServer::setup(),
            RedisServer::setup().password("secret"),
            RedisServer::setup().user("ann", "secret", "~* +@all"),
        ] {
            let one = setup.start();
            let other = one.start_replica();
            for (from, to) in [(&one, &other), (&other, &one)] {
                set(from, "value");
                from.fail_over_to(to);
                assert_eq!(value(to), Reply::text("value"));
                assert_read_only(from);
                set(to, "newer");
                assert_eq!(value(from), Reply::text("newer"));
            }
        }
    }

    #[test]
    fn a_promoted_replica_takes_writes_of_its_own_until_it_follows_again() {
        let master = RedisServer::start();
        let replica = master.start_replica();
        set(&master, "value");
        replica.promote();
        replica.must(&["SET", "key", "newer"]);
        assert_eq!([value(&master), value(&replica)], ["value", "newer"].map(Reply::text));
        replica.follow(&master);
        assert_eq!(value(&replica), Reply::text("value"));
    }
}
