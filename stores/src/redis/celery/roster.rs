//! Who is known, what was last heard of each, and what follows from it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use kernel::celery::event::Kind;
use kernel::celery::event::WorkerEvent;

use super::workers::Said;
use super::workers::Verdict;
use super::workers::WORKERS_MAX;
use super::workers::Worker;

/// So many times as long as a worker pauses between two heartbeats, it may be silent.
const HEARTBEATS_MISSED_MAX: u32 = 3;

/// The longest pause between two heartbeats that is believed.
const FREQ_MAX: Duration = Duration::from_secs(60);

/// How long a worker that is gone is remembered.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// All workers that are known. Times are those since the machine came up.
#[derive(Debug, Default)]
pub(super) struct Roster {
    known: BTreeMap<String, Known>,
    left_out: u64,
}

#[derive(Debug, Default)]
struct Known {
    pong_at: Option<Duration>,
    heartbeat: Option<(Duration, Said)>,
    /// Whether it answered when all were last asked.
    answered: bool,
    /// Whether it was silent then, and connected.
    holds_place: bool,
    /// Whether it was gone then, and has not been heard since.
    was_gone: bool,
    /// Whether it has said that it goes, and nothing since.
    has_left: bool,
}

impl Known {
    fn seen_at(&self) -> Duration {
        self.pong_at.max(self.heartbeat.as_ref().map(|(at, _)| *at)).unwrap_or_default()
    }

    fn beats(&self, now: Duration) -> bool {
        self.heartbeat.as_ref().is_some_and(|(at, said)| {
            !self.has_left && now.saturating_sub(*at) < HEARTBEATS_MISSED_MAX * said.freq
        })
    }

    fn verdict(&self, now: Duration) -> Verdict {
        if self.has_left {
            Verdict::Gone
        } else if self.answered || self.beats(now) {
            Verdict::Alive
        } else if self.holds_place {
            Verdict::Unresponsive
        } else {
            Verdict::Gone
        }
    }
}

impl Roster {
    /// A worker has said something of itself.
    pub(super) fn heard(&mut self, event: WorkerEvent, now: Duration) {
        let Some(known) = self.known(&event.hostname, now) else { return };
        if event.kind == Kind::Offline {
            known.has_left = true;
            known.answered = false;
            known.holds_place = false;
            return;
        }
        known.has_left = false;
        known.was_gone = false;
        let said = Said {
            pid: event.pid,
            freq: event.freq.min(FREQ_MAX),
            active: event.active,
            processed: event.processed,
            load: event.load,
            software: event.software,
            version: event.version,
        };
        known.heartbeat = Some((now, said));
    }

    /// All were asked, and these have answered; so many were connected to be asked.
    pub(super) fn asked<'a>(
        &mut self,
        answered: impl ExactSizeIterator<Item = &'a str>,
        connected: u64,
        now: Duration,
    ) {
        let silent = connected.saturating_sub(answered.len() as u64);
        for known in self.known.values_mut() {
            known.answered = false;
        }
        for name in answered {
            if let Some(known) = self.known(name, now) {
                *known = Known {
                    pong_at: Some(now),
                    answered: true,
                    holds_place: false,
                    was_gone: false,
                    has_left: false,
                    heartbeat: known.heartbeat.take(),
                };
            }
        }
        self.place(usize::try_from(silent).unwrap_or(usize::MAX), now);
        self.known.retain(|_, known| {
            known.verdict(now) != Verdict::Gone
                || now.saturating_sub(known.seen_at()) < FORGOTTEN_AFTER
        });
    }

    /// So many are connected and silent; who they are, nobody says. Those that were so before still
    /// are, and those that were gone still are, as far as that goes; else it is those that have ever
    /// answered, and so listen; then those whose heartbeats have ended. Who never answered and goes on
    /// beating is likely to be deaf. Of equals it is who was heard last.
    fn place(&mut self, silent: usize, now: Duration) {
        let mut candidates: Vec<_> =
            self.known.values_mut().filter(|known| !known.answered && !known.has_left).collect();
        candidates.sort_by_key(|known| {
            let listens = known.pong_at.is_some();
            let may_listen = listens || !known.beats(now);
            let held = known.holds_place && may_listen;
            Reverse((held, !known.was_gone, listens, may_listen, known.seen_at()))
        });
        for (place, known) in candidates.into_iter().enumerate() {
            known.holds_place = place < silent;
            known.was_gone = known.verdict(now) == Verdict::Gone;
        }
    }

    /// How each does now, by name.
    pub(super) fn workers(&self, now: Duration) -> Vec<Worker> {
        let since = |at: Duration| now.saturating_sub(at);
        let worker = |(name, known): (&String, &Known)| Worker {
            name: name.clone(),
            verdict: known.verdict(now),
            since_pong: known.pong_at.map(since),
            since_heartbeat: known.heartbeat.as_ref().map(|(at, _)| since(*at)),
            said: known.heartbeat.as_ref().map(|(_, said)| said.clone()),
        };
        self.known.iter().map(worker).collect()
    }

    /// How often there was no room for one.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// What is known of the worker `name`, which is new or not; none where there is no room for it.
    fn known(&mut self, name: &str, now: Duration) -> Option<&mut Known> {
        if !self.known.contains_key(name) {
            if self.known.len() >= WORKERS_MAX && !self.make_room(now) {
                self.left_out += 1;
                return None;
            }
            self.known.insert(name.to_owned(), Known::default());
        }
        self.known.get_mut(name)
    }

    /// Forgets the one that has been gone for the longest; whether there is any.
    fn make_room(&mut self, now: Duration) -> bool {
        let gone = self.known.iter().filter(|(_, known)| known.verdict(now) == Verdict::Gone);
        let oldest = gone.min_by_key(|(_, known)| known.seen_at()).map(|(name, _)| name.clone());
        oldest.is_some_and(|name| self.known.remove(&name).is_some())
    }
}

#[cfg(test)]
mod tests {
    use kernel::time::Timestamp;

    use super::*;

    const FREQ: Duration = Duration::from_secs(2);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000 + seconds)
    }

    fn event(kind: Kind, name: &str, freq: Duration) -> WorkerEvent {
        WorkerEvent {
            kind,
            hostname: name.to_owned(),
            pid: 1,
            clock: 1,
            freq,
            active: 0,
            processed: 0,
            load: [0.0; 3],
            software: String::new(),
            version: String::new(),
            at: Timestamp::default(),
        }
    }

    impl Roster {
        fn beats(&mut self, name: &str, now: Duration) {
            self.heard(event(Kind::Heartbeat, name, FREQ), now);
        }

        fn verdicts(&self, now: Duration) -> Vec<(String, Verdict)> {
            self.workers(now).into_iter().map(|worker| (worker.name, worker.verdict)).collect()
        }

        fn verdict(&self, name: &str, now: Duration) -> Option<Verdict> {
            let all = self.verdicts(now);
            all.into_iter().find(|(known, _)| known == name).map(|(_, verdict)| verdict)
        }
    }

    #[test]
    fn whoever_answered_last_is_alive_until_all_are_asked_again() {
        let mut roster = Roster::default();
        roster.asked(["a", "b"].into_iter(), 2, at(0));
        assert_eq!(roster.verdict("a", at(9)), Some(Verdict::Alive));
        roster.asked(["b"].into_iter(), 2, at(10));
        assert_eq!(roster.verdict("a", at(10)), Some(Verdict::Unresponsive));
        assert_eq!(roster.verdict("b", at(10)), Some(Verdict::Alive));
        roster.asked(["b"].into_iter(), 1, at(20));
        assert_eq!(roster.verdict("a", at(20)), Some(Verdict::Gone));
    }

    #[test]
    fn a_heartbeat_holds_for_three_pauses_and_no_longer() {
        let mut roster = Roster::default();
        // Remote control is off: it is never connected to be asked.
        roster.beats("a", at(0));
        roster.asked([].into_iter(), 0, at(3));
        let last = at(6) - Duration::from_millis(1);
        assert_eq!(roster.verdict("a", last), Some(Verdict::Alive));
        assert_eq!(roster.verdict("a", at(6)), Some(Verdict::Gone));
    }

    #[test]
    fn a_pause_that_nobody_would_make_is_not_believed() {
        let mut roster = Roster::default();
        roster.heard(event(Kind::Heartbeat, "a", Duration::MAX), at(0));
        assert_eq!(roster.verdict("a", at(179)), Some(Verdict::Alive));
        assert_eq!(roster.verdict("a", at(180)), Some(Verdict::Gone));
    }

    #[test]
    fn whoever_says_that_it_goes_is_gone_at_once_until_it_is_heard_again() {
        let mut roster = Roster::default();
        roster.asked(["a"].into_iter(), 1, at(0));
        roster.beats("a", at(1));
        roster.heard(event(Kind::Offline, "a", FREQ), at(2));
        assert_eq!(roster.verdict("a", at(2)), Some(Verdict::Gone));
        // Somebody else is connected and silent.
        roster.asked([].into_iter(), 1, at(10));
        assert_eq!(roster.verdict("a", at(10)), Some(Verdict::Gone));
        roster.heard(event(Kind::Online, "a", FREQ), at(11));
        assert_eq!(roster.verdict("a", at(11)), Some(Verdict::Alive));
    }

    #[test]
    fn a_busy_worker_is_not_taken_for_gone_between_its_last_heartbeat_and_the_next_question() {
        let mut roster = Roster::default();
        roster.asked(["solo"].into_iter(), 1, at(0));
        roster.beats("solo", at(9));
        roster.asked([].into_iter(), 1, at(10));
        assert_eq!(roster.verdict("solo", at(14)), Some(Verdict::Alive));
        assert_eq!(roster.verdict("solo", at(16)), Some(Verdict::Unresponsive));
    }

    #[test]
    fn of_two_that_are_silent_the_one_that_was_so_before_still_is() {
        let mut roster = Roster::default();
        roster.asked(["busy", "killed"].into_iter(), 2, at(0));
        roster.asked(["killed"].into_iter(), 2, at(10));
        roster.asked([].into_iter(), 1, at(20));
        assert_eq!(roster.verdict("busy", at(20)), Some(Verdict::Unresponsive));
        assert_eq!(roster.verdict("killed", at(20)), Some(Verdict::Gone));
    }

    #[test]
    fn who_never_listened_leaves_its_place_to_who_did() {
        let mut roster = Roster::default();
        roster.asked(["solo"].into_iter(), 1, at(0));
        roster.beats("deaf", at(9));
        roster.asked([].into_iter(), 1, at(10));
        assert_eq!(roster.verdict("solo", at(10)), Some(Verdict::Unresponsive));
        assert_eq!(roster.verdict("deaf", at(20)), Some(Verdict::Gone));
    }

    #[test]
    fn who_beats_and_never_answers_leaves_its_place_to_who_does_neither_any_more() {
        let mut roster = Roster::default();
        roster.beats("stopped", at(0));
        roster.beats("deaf", at(1));
        roster.asked([].into_iter(), 1, at(2));
        for second in [3, 5, 7, 9, 11, 13] {
            roster.beats("deaf", at(second));
        }
        roster.asked([].into_iter(), 1, at(12));
        assert_eq!(roster.verdict("stopped", at(12)), Some(Verdict::Unresponsive));
        assert_eq!(roster.verdict("deaf", at(13)), Some(Verdict::Alive));
    }

    #[test]
    fn who_was_gone_does_not_come_back_by_the_silence_of_another() {
        let mut roster = Roster::default();
        roster.asked(["killed"].into_iter(), 1, at(0));
        roster.asked([].into_iter(), 0, at(10));
        assert_eq!(roster.verdict("killed", at(10)), Some(Verdict::Gone));
        roster.beats("solo", at(11));
        roster.asked([].into_iter(), 1, at(20));
        assert_eq!(roster.verdict("killed", at(20)), Some(Verdict::Gone));
        assert_eq!(roster.verdict("solo", at(20)), Some(Verdict::Unresponsive));
        // Unless there are more of them than anybody else could be.
        roster.asked([].into_iter(), 2, at(30));
        assert_eq!(roster.verdict("killed", at(30)), Some(Verdict::Unresponsive));
    }

    #[test]
    fn whoever_is_gone_is_remembered_for_ten_minutes() {
        let mut roster = Roster::default();
        roster.asked(["a"].into_iter(), 1, at(0));
        roster.asked([].into_iter(), 0, at(599));
        assert_eq!(roster.verdict("a", at(599)), Some(Verdict::Gone));
        roster.asked([].into_iter(), 0, at(600));
        assert_eq!(roster.verdict("a", at(600)), None);
    }

    #[test]
    fn one_more_than_the_most_takes_the_place_of_one_that_is_gone_or_is_left_out() {
        let mut roster = Roster::default();
        let names: Vec<_> = (0..WORKERS_MAX).map(|n| format!("w{n}")).collect();
        let count = WORKERS_MAX as u64;
        roster.asked(names.iter().map(String::as_str), count, at(0));
        assert_eq!(roster.workers(at(0)).len(), WORKERS_MAX);
        roster.beats("more", at(1));
        assert_eq!((roster.verdict("more", at(1)), roster.left_out()), (None, 1));
        roster.heard(event(Kind::Offline, "w7", FREQ), at(2));
        roster.beats("more", at(3));
        assert_eq!(roster.verdict("more", at(3)), Some(Verdict::Alive));
        assert_eq!(roster.verdict("w7", at(3)), None);
        assert_eq!(roster.workers(at(3)).len(), WORKERS_MAX);
    }
}
