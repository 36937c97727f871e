//! The memory that argon2 goes through.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use argon2::Argon2;
use argon2::Block;
use argon2::Error;

/// How long memory is kept after its last password: whoever comes within that time is spared the system's
/// work of making 19 MiB anew, which is half of argon2's own. An idle process has none of it.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(5);

/// What a password of our own takes, in blocks of 1 KiB. Where one takes more, that is given back at once.
pub(super) const KEPT_BLOCKS_MAX: usize = 19 * 1024;

/// Memory that is kept from one password to the next: as much as was in use at one time, so never more
/// than one piece for each thread.
#[derive(Default)]
pub(super) struct Memory(Mutex<Vec<Piece>>);

struct Piece {
    blocks: Vec<Block>,
    used_at: Instant,
}

impl Memory {
    /// Hashes `password` under `salt` into `out`. What was in the memory before makes no difference: argon2
    /// writes every block before it reads it (RFC 9106 §3.2).
    ///
    /// # Errors
    /// Argon2's; [`Error::OutOfMemory`] where there is not as much as it takes.
    pub(super) fn hash(
        &self,
        argon2: &Argon2<'_>,
        password: &[u8],
        salt: &[u8],
        out: &mut [u8],
    ) -> Result<(), Error> {
        let count = argon2.params().block_count();
        let is_kept = count <= KEPT_BLOCKS_MAX;
        let mut blocks = if is_kept { self.take() } else { Vec::new() };
        if blocks.len() < count {
            // First: nobody has both.
            drop(std::mem::take(&mut blocks));
            blocks.try_reserve_exact(count).map_err(|_| Error::OutOfMemory)?;
            blocks.resize(count, Block::default());
        }
        let hashed = argon2.hash_password_into_with_memory(password, salt, out, &mut *blocks);
        if is_kept {
            self.pieces(|pieces| pieces.push(Piece { blocks, used_at: Instant::now() }));
        }
        hashed
    }

    /// Gives back what no password has used for so long.
    pub(super) fn give_back(&self, unused_for: Duration) {
        let is_unused = |piece: &mut Piece| piece.used_at.elapsed() >= unused_for;
        let unused: Vec<_> = self.pieces(|pieces| pieces.extract_if(.., is_unused).collect());
        // Without the lock.
        drop(unused);
    }

    /// The piece that was used last, so that those which are too many are not used, and go.
    fn take(&self) -> Vec<Block> {
        self.pieces(Vec::pop).map(|piece| piece.blocks).unwrap_or_default()
    }

    fn pieces<T>(&self, act: impl FnOnce(&mut Vec<Piece>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many blocks are kept, piece by piece.
    #[cfg(test)]
    fn kept(&self) -> Vec<usize> {
        self.pieces(|pieces| pieces.iter().map(|piece| piece.blocks.len()).collect())
    }
}

#[cfg(test)]
mod tests {
    use argon2::Algorithm;
    use argon2::Params;
    use argon2::Version;

    use super::*;

    fn argon2(algorithm: Algorithm, version: Version, kib: usize) -> Argon2<'static> {
        Argon2::new(algorithm, version, Params::new(kib as u32, 2, 1, None).unwrap())
    }

    #[test]
    fn what_was_in_the_memory_before_makes_no_difference() {
        let kept = Memory::default();
        for algorithm in [Algorithm::Argon2id, Algorithm::Argon2i, Algorithm::Argon2d] {
            for version in [Version::V0x10, Version::V0x13] {
                for (kib, password) in [(64, "one"), (32, "two"), (128, "one")] {
                    let argon2 = argon2(algorithm, version, kib);
                    let hashed = |memory: &Memory| {
                        let mut out = [0; 32];
                        let password = password.as_bytes();
                        memory.hash(&argon2, password, b"eight bytes", &mut out).unwrap();
                        out
                    };
                    assert_eq!(hashed(&kept), hashed(&Memory::default()));
                }
            }
        }
        assert_eq!(kept.kept(), [128], "the largest is there for all");
    }

    #[test]
    fn what_one_of_ours_takes_is_kept_and_more_than_that_is_not() {
        // In steps of four, as argon2 has it.
        for (kib, kept) in [(KEPT_BLOCKS_MAX, vec![KEPT_BLOCKS_MAX]), (KEPT_BLOCKS_MAX + 4, vec![])]
        {
            let memory = Memory::default();
            let argon2 = argon2(Algorithm::Argon2id, Version::V0x13, kib);
            memory.hash(&argon2, b"one", b"eight bytes", &mut [0; 32]).unwrap();
            assert_eq!(memory.kept(), kept);
        }
    }

    #[test]
    fn memory_is_given_back_once_it_was_not_used_for_a_while_and_not_before() {
        let memory = Memory::default();
        let argon2 = argon2(Algorithm::Argon2id, Version::V0x13, 64);
        memory.hash(&argon2, b"one", b"eight bytes", &mut [0; 32]).unwrap();
        memory.give_back(Duration::from_secs(60));
        assert_eq!(memory.kept(), [64]);
        memory.give_back(Duration::ZERO);
        assert!(memory.kept().is_empty());
    }
}
