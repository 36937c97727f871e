//! Which kinds of hashes there are in the table, so that nobody is told apart by the time it takes.
//!
//! A wrong password takes one check of every kind there is, whoever it was tried on: the person's
//! own hash stands for its kind, and hashes that no password is known for stand for the others.
//! Somebody unknown or inactive is checked against the latter alone: as much work, of the same sorts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

use kernel::random;

use super::HashError;
use super::ours;
use super::stored::Stored;
use super::stored::Work;

/// The most kinds that are kept level. A table with more is told apart by the rarest of them.
pub(crate) const KINDS_MAX: usize = 8;

type Nobodys = BTreeMap<Work, Arc<Stored>>;

/// A hash of nobody's for each kind.
pub(super) struct Kinds(RwLock<Nobodys>);

impl Kinds {
    /// Our own kind, which is always there.
    ///
    /// # Errors
    /// [`HashError::NoRandomness`].
    pub(super) fn ours_alone() -> Result<Self, HashError> {
        let kinds = Self(RwLock::default());
        kinds.replace([])?;
        Ok(kinds)
    }

    /// The kinds are ours and `found`, and no others.
    ///
    /// # Errors
    /// [`HashError::NoRandomness`].
    pub(super) fn replace(&self, found: impl IntoIterator<Item = Work>) -> Result<(), HashError> {
        let mut all = Nobodys::new();
        for work in [ours::WORK].into_iter().chain(found) {
            add(&mut all, work)?;
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(())
    }

    /// There is a hash of this kind: an import that nobody told us of shows itself at the first of
    /// its people.
    ///
    /// # Errors
    /// [`HashError::NoRandomness`].
    pub(super) fn learn(&self, work: Work) -> Result<(), HashError> {
        let is_known = self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(&work);
        if is_known {
            return Ok(());
        }
        add(&mut self.0.write().unwrap_or_else(PoisonError::into_inner), work)
    }

    /// A hash of nobody's of each kind but `own`.
    pub(super) fn others_than(&self, own: Option<Work>) -> Vec<Arc<Stored>> {
        let kinds = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let others = kinds.iter().filter(|(work, _)| Some(**work) != own);
        others.map(|(_, nobodys)| Arc::clone(nobodys)).collect()
    }
}

fn add(all: &mut Nobodys, work: Work) -> Result<(), HashError> {
    if all.len() < KINDS_MAX && !all.contains_key(&work) {
        // A work was read off a hash within the bounds, so one of nobody's can be made.
        if let Ok(nobodys) = Stored::of_nobody(work, &random::bytes()?) {
            all.insert(work, Arc::new(nobodys));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passwords::memory::Memory;

    fn bcrypt(cost: u32) -> Work {
        Work::Bcrypt { cost }
    }

    fn works(kinds: &Kinds, own: Option<Work>) -> Vec<Work> {
        kinds.others_than(own).iter().map(|stored| stored.work()).collect()
    }

    #[test]
    fn a_kind_is_learnt_once_and_forgotten_when_the_table_has_it_no_more() {
        let kinds = Kinds::ours_alone().unwrap();
        kinds.learn(bcrypt(4)).unwrap();
        kinds.learn(bcrypt(4)).unwrap();
        assert_eq!(works(&kinds, None), [ours::WORK, bcrypt(4)]);
        assert_eq!(works(&kinds, Some(bcrypt(4))), [ours::WORK]);
        kinds.replace([bcrypt(5)]).unwrap();
        assert_eq!(works(&kinds, None), [ours::WORK, bcrypt(5)]);
        kinds.replace([]).unwrap();
        assert_eq!(works(&kinds, None), [ours::WORK]);
    }

    #[test]
    fn eight_kinds_are_kept_level_and_a_ninth_is_not() {
        let kinds = Kinds::ours_alone().unwrap();
        kinds.replace((4..).map(bcrypt).take(KINDS_MAX - 1)).unwrap();
        assert_eq!(works(&kinds, None).len(), KINDS_MAX);
        kinds.learn(bcrypt(15)).unwrap();
        assert_eq!(works(&kinds, None).len(), KINDS_MAX);
    }

    #[test]
    fn a_hash_of_nobodys_takes_the_work_it_is_made_for() {
        for work in [ours::WORK, bcrypt(4), Work::Argon2 { memory_kib: 64, passes: 3, lanes: 4 }] {
            let nobodys = Stored::of_nobody(work, &[7; 48]).unwrap();
            assert_eq!(nobodys.work(), work);
            assert!(!nobodys.is_of(b"", &Memory::default()));
        }
    }
}
