//! Subjects with long names, kept as digests, so that nobody fills a store with names.

use kernel::limit::Subject;
use ring::digest;

/// Policy and id together, in bytes, up to which they are kept as they are.
pub(crate) const TEXT_BYTES_MAX: usize = 128;

/// The SHA-256 of a long subject's text.
pub(crate) struct Digest(digest::Digest);

impl Digest {
    /// The digest of a subject that is too long to be kept.
    pub(crate) fn if_long(subject: &Subject<'_>) -> Option<Self> {
        let (policy, id) = (subject.policy.as_bytes(), subject.id.as_bytes());
        if policy.len().saturating_add(id.len()) <= TEXT_BYTES_MAX {
            return None;
        }
        let mut digest = digest::Context::new(&digest::SHA256);
        // The length first, so that no policy and id run into another pair.
        digest.update(&(policy.len() as u64).to_le_bytes());
        digest.update(policy);
        digest.update(id);
        Some(Self(digest.finish()))
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}
