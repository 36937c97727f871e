//! A Redis Cluster.

use std::ops::RangeInclusive;

use super::RedisServer;
use super::Reply;
use crate::place::HeldPort;
use crate::wait::START_MAX;
use crate::wait::wait_until;

/// Which slots are whose; together all 16,384 (Redis Cluster specification, "Key distribution
/// model").
const SLOTS: [RangeInclusive<u16>; 3] = [0..=5460, 5461..=10922, 10923..=16383];

/// How long a master may be silent before the others take it for lost, in milliseconds.
const SILENCE_MAX_MS: &str = "1000";

/// Three masters without replicas, on ports of 127.0.0.1; ended on drop.
#[derive(Debug)]
pub struct RedisCluster {
    masters: Vec<RedisServer>,
    /// Where they speak with each other.
    _buses: [HeldPort; 3],
}

impl RedisCluster {
    /// Starts them, and waits until all three say that the cluster is whole.
    ///
    /// # Panics
    /// As [`RedisServer::start`], or when it is not whole within [`START_MAX`].
    #[track_caller]
    pub fn start() -> Self {
        let buses = SLOTS.map(|_| HeldPort::new());
        let masters = buses.iter().map(start_on).collect::<Vec<_>>();
        for (master, (slots, epoch)) in masters.iter().zip(SLOTS.iter().zip(1_u32..)) {
            // Two of the same epoch would have to agree on another first.
            must(master, &["SET-CONFIG-EPOCH", &epoch.to_string()]);
            let [first, last] = [slots.start(), slots.end()].map(u16::to_string);
            must(master, &["ADDSLOTSRANGE", &first, &last]);
        }
        for (master, bus) in masters.iter().zip(&buses).skip(1) {
            let [port, bus] = [master.port(), bus.number()].map(|port| port.to_string());
            must(&masters[0], &["MEET", "127.0.0.1", &port, &bus]);
        }
        let cluster = Self { masters, _buses: buses };
        wait_until(START_MAX, || cluster.is_whole());
        cluster
    }

    /// The address as fred takes it, with all three.
    pub fn url(&self) -> String {
        let [one, another, third] = self.ports().map(|port| format!("127.0.0.1:{port}"));
        format!("redis-cluster://{one}?node={another}&node={third}")
    }

    /// The three TCP ports on 127.0.0.1.
    pub fn ports(&self) -> [u16; 3] {
        [0, 1, 2].map(|at| self.masters[at].port())
    }

    /// The masters; each answers [`RedisServer::command`] for its own keys, and `MOVED` for others.
    pub fn masters(&self) -> &[RedisServer] {
        &self.masters
    }

    /// The master that has `key`.
    pub fn master_of(&self, key: &str) -> &RedisServer {
        &self.masters[place_of(key)]
    }

    /// The same, to be stopped, paused or started again.
    pub fn master_of_mut(&mut self, key: &str) -> &mut RedisServer {
        &mut self.masters[place_of(key)]
    }

    /// Says whether all masters answer that each slot is somebody's (`cluster_state:ok`); one that is
    /// stopped or paused answers nothing.
    pub fn is_whole(&self) -> bool {
        self.masters.iter().all(|master| says(master, "cluster_state:ok"))
    }
}

/// Whose slot is that of `key`, as a place in [`SLOTS`].
fn place_of(key: &str) -> usize {
    let slot = slot_of(key);
    SLOTS.iter().position(|slots| slots.contains(&slot)).expect("every slot is somebody's")
}

/// The slot of a key (Redis Cluster specification, "Hash tags"): CRC-16/XMODEM of what stands between
/// the first `{` and the next `}`, or of all where there is nothing between them, modulo 16,384.
fn slot_of(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    let crc = hashed.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => (crc << 1) ^ 0x1021,
        })
    });
    crc % 16_384
}

fn start_on(bus: &HeldPort) -> RedisServer {
    let bus = bus.number().to_string();
    RedisServer::setup()
        .settings(&["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"])
        .settings(&["--cluster-port", &bus, "--cluster-node-timeout", SILENCE_MAX_MS])
        .start()
}

#[track_caller]
fn must(master: &RedisServer, words: &[&str]) {
    let words = [&["CLUSTER"], words].concat();
    assert_eq!(master.command(&words).unwrap(), Reply::text("OK"), "{words:?}");
}

fn says(master: &RedisServer, line: &str) -> bool {
    match master.command(&["CLUSTER", "INFO"]) {
        Ok(Reply::Bulk(Some(info))) => info.lines().any(|found| found == line),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(master: &RedisServer, key: &str) -> Reply {
        master.command(&["SET", key, "value"]).unwrap()
    }

    #[test]
    fn every_key_has_one_master_and_the_others_say_which() {
        let cluster = RedisCluster::start();
        let ports = cluster.ports();
        let [one, another, third] = ports.map(|port| format!("127.0.0.1:{port}"));
        let url = format!("redis-cluster://{one}?node={another}&node={third}");
        assert_eq!(cluster.url(), url);
        for key in ["", "a", "b", "c", "{user}.1", "x{user}y}", "{}a", "a{", "}{", "über"] {
            let slot = cluster.masters()[0].command(&["CLUSTER", "KEYSLOT", key]).unwrap();
            assert_eq!(slot, Reply::Integer(slot_of(key).into()), "{key}");
        }
        // Slots 15495, 3300 and 7365.
        let owners = ["a", "b", "c"].map(|key| {
            let owner = cluster.master_of(key).port();
            for master in cluster.masters() {
                match set(master, key) {
                    Reply::Error(why) if why.starts_with("MOVED ") => {
                        assert_ne!(master.port(), owner);
                        assert!(why.ends_with(&format!(" 127.0.0.1:{owner}")), "{why}");
                    }
                    other => assert_eq!((other, master.port()), (Reply::text("OK"), owner)),
                }
            }
            owner
        });
        assert_eq!(owners, [ports[2], ports[0], ports[1]]);
    }

    #[test]
    fn a_cluster_that_lost_a_master_is_not_whole_until_it_is_back() {
        let mut cluster = RedisCluster::start();
        cluster.master_of_mut("b").stop();
        assert!(!cluster.is_whole());
        wait_until(START_MAX, || says(cluster.master_of("a"), "cluster_state:fail"));
        cluster.master_of_mut("b").restart();
        wait_until(START_MAX, || cluster.is_whole());
        assert_eq!(set(cluster.master_of("b"), "b"), Reply::text("OK"));
    }
}
