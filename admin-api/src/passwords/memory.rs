//! The memory that argon2 goes through.

use std::time::Duration;

use argon2::Argon2;
use argon2::Block;
use argon2::Error;

/// How long a thread keeps its memory after the last password: whoever comes within that time is spared the
/// system's work of making 19 MiB anew, which is half of argon2's own. An idle process has none of it.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(5);

/// What a password of our own takes, in blocks of 1 KiB. More than that is given back at once.
pub(super) const KEPT_BLOCKS_MAX: usize = 19 * 1024;

/// One thread's memory, kept from one password to the next.
#[derive(Default)]
pub(super) struct Memory(Vec<Block>);

impl Memory {
    /// Hashes `password` under `salt` into `out`. What was there before makes no difference: argon2 writes
    /// every block before it reads it (RFC 9106 §3.2).
    ///
    /// # Errors
    /// Argon2's; [`Error::OutOfMemory`] where there is not as much as it takes.
    pub(super) fn hash(
        &mut self,
        argon2: &Argon2<'_>,
        password: &[u8],
        salt: &[u8],
        out: &mut [u8],
    ) -> Result<(), Error> {
        let blocks = argon2.params().block_count();
        let more = blocks.saturating_sub(self.0.len());
        self.0.try_reserve_exact(more).map_err(|_| Error::OutOfMemory)?;
        self.0.resize(self.0.len() + more, Block::default());
        let hashed = argon2.hash_password_into_with_memory(password, salt, out, &mut *self.0);
        if self.0.len() > KEPT_BLOCKS_MAX {
            self.give_back();
        }
        hashed
    }

    /// Keeps nothing.
    pub(super) fn give_back(&mut self) {
        self.0 = Vec::new();
    }

    /// How many blocks are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.0.len()
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
        let mut kept = Memory::default();
        for algorithm in [Algorithm::Argon2id, Algorithm::Argon2i, Algorithm::Argon2d] {
            for version in [Version::V0x10, Version::V0x13] {
                for (kib, password) in [(64, "one"), (32, "two"), (128, "one")] {
                    let argon2 = argon2(algorithm, version, kib);
                    let hashed = |memory: &mut Memory| {
                        let mut out = [0; 32];
                        let password = password.as_bytes();
                        memory.hash(&argon2, password, b"eight bytes", &mut out).unwrap();
                        out
                    };
                    assert_eq!(hashed(&mut kept), hashed(&mut Memory::default()));
                }
            }
        }
        assert_eq!(kept.kept(), 128, "the largest is there for all");
    }

    #[test]
    fn what_one_of_ours_takes_is_kept_and_more_than_that_is_not() {
        let mut memory = Memory::default();
        // In steps of four, as argon2 has it.
        for (kib, kept) in [(KEPT_BLOCKS_MAX, KEPT_BLOCKS_MAX), (KEPT_BLOCKS_MAX + 4, 0)] {
            let argon2 = argon2(Algorithm::Argon2id, Version::V0x13, kib);
            memory.hash(&argon2, b"one", b"eight bytes", &mut [0; 32]).unwrap();
            assert_eq!(memory.kept(), kept);
        }
    }
}
