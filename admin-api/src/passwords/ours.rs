//! Hashes as we make them: argon2id, 19 MiB, two passes, one lane (OWASP's first choice).

use argon2::Algorithm;
use argon2::Argon2;
use argon2::Params;
use argon2::Version;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use kernel::random;
use kernel::secret::Secret;

use super::HashError;
use super::memory::KEPT_BLOCKS_MAX;
use super::memory::Memory;
use super::stored::Work;

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = Params::DEFAULT_OUTPUT_LEN;

const _: () = assert!(MEMORY_KIB as usize == KEPT_BLOCKS_MAX, "it is kept for the next");

/// What checking one takes.
pub(super) const WORK: Work = Work::Argon2 { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES };

/// How every hash of ours begins: known kind, known price.
pub(crate) const PREFIX: &str = "$argon2id$v=19$m=19456,t=2,p=1$";

/// Hashes `password` under a salt of its own.
///
/// # Errors
/// [`HashError::NoRandomness`], [`HashError::Argon2`].
pub(super) fn hash(password: &[u8], memory: &Memory) -> Result<Secret, HashError> {
    let salt = random::bytes::<SALT_BYTES>()?;
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .expect("the constants above are within argon2's bounds");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut output = [0; OUTPUT_BYTES];
    memory.hash(&argon2, password, &salt, &mut output).map_err(HashError::Argon2)?;
    let [salt, output] = [&salt[..], &output].map(|bytes| STANDARD_NO_PAD.encode(bytes));
    Ok(Secret::new(format!("{PREFIX}{salt}${output}")))
}
