//! Acts, looks, outages and restarts in any order, against all rows applied directly.

use std::sync::Arc;
use std::time::Duration;

use super::START;
use super::Truth;
use super::edge::Edge;
use super::entries::epoch;
use super::entries::over;
use super::entries::session_until;
use super::witnesses::EPOCHS;
use super::witnesses::ISSUER;
use super::witnesses::KIDS;
use super::witnesses::SESSIONS;
use super::witnesses::TOKENS;
use super::witnesses::USERS;
use super::witnesses::answers;
use crate::revocation::Entry;
use crate::revocation::RevocationSet;
use crate::revocation::Row;
use crate::time::Timestamp;
use crate::token::TokenKey;

const SEEDS: u64 = 40;

const STEPS: usize = 50;

/// Two feeds into one set, which now and then fail or begin anew, and an edge that only looks at
/// the end.
pub async fn following_at_random_moments_ends_with_the_answers_of_all_rows(truth: &impl Truth) {
    for seed in 0..SEEDS {
        let mut dice = Dice { seed, rolled: 0 };
        truth.restore(&format!("seed {seed}"), Vec::new()).await;
        let all = Arc::new(RevocationSet::default());
        all.apply_snapshot(0, &[], START);
        let first = Edge::new(truth.feed());
        let mut edges = [first.beside(truth.feed()), first];
        let mut now = START;
        for _ in 0..STEPS {
            let edge = &mut edges[dice.below(2) as usize];
            match dice.below(10) {
                0..5 => {
                    let entry = any_entry(&mut dice, now);
                    let seq = truth.write(entry.clone()).await;
                    all.apply(&[Row { seq, at: now, entry }], now);
                }
                5..7 => edge.catch_up(now).await,
                7 => {
                    edge.feed.answers_left = dice.below(3) as usize;
                    let _ = edge.try_to_catch_up(now).await;
                    edge.feed.answers_left = usize::MAX;
                }
                8 => *edge = edge.beside(truth.feed()),
                _ => now = now.plus(Duration::from_millis(dice.below(2_000))),
            }
        }
        // Past everything brief, and past the second to which the set rounds.
        now = now.plus(Duration::from_secs(10));
        edges[0].catch_up(now).await;
        let mut late = Edge::new(truth.feed());
        late.catch_up(now).await;
        for set in [&all, &edges[0].set, &late.set] {
            set.forget_expired(now);
        }
        assert_eq!(edges[0].answers(), answers(&all), "seed {seed}");
        assert_eq!(late.answers(), answers(&all), "seed {seed}, all at the end");
    }
}

/// What refuses by itself may be brief; a word on a user outlives the behaviour, for a user's
/// words are forgotten together. One session, one token and one key are never named, so that the
/// answers do not come to be all alike.
fn any_entry(dice: &mut Dice, now: Timestamp) -> Entry {
    let until = match dice.below(2) {
        0 => now.plus(Duration::from_millis(1 + dice.below(3_000))),
        _ => now.plus(Duration::from_secs(600)),
    };
    match dice.below(16) {
        0..4 => Entry::Token { key: TokenKey::of_id(ISSUER, dice.pick(&TOKENS[1..])), until },
        4..7 => session_until(dice.pick(&SESSIONS[1..]), until),
        7..10 => epoch(dice.pick(&USERS), dice.pick(&EPOCHS)),
        10..15 => {
            let tier = dice.pick(&[None, Some("free"), Some("premium")]);
            let scopes = dice.pick(&[None, Some(&[][..]), Some(&["a", "b"][..])]);
            over(dice.pick(&USERS), tier, scopes, dice.below(4) > 0)
        }
        _ => Entry::Key { kid: dice.pick(&KIDS[1..]).to_owned() },
    }
}

/// Random choices that are the same on every run: digests of the seed and a count.
struct Dice {
    seed: u64,
    rolled: u64,
}

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.rolled += 1;
        let digest = TokenKey::of_id(&self.seed.to_string(), &self.rolled.to_string());
        digest.halves().0 % n
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}
