//! Who a counter belongs to: compared whole, looked up without an allocation.

use kernel::limit::Subject;
use kernel::limit::SubjectKind;
use kernel::limit::Tally;
use ring::digest;

use crate::memory::shard::Entry;

/// Policy and id together, in bytes, up to which they are kept as they are.
///
/// What is longer is kept as its SHA-256, so that nobody fills the memory with long names.
pub(super) const TEXT_BYTES_MAX: usize = 128;

/// The SHA-256 of a long subject's text.
pub(super) struct Digest(digest::Digest);

/// A subject as the table sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key<'a> {
    pub(super) kind: SubjectKind,
    pub(super) form: Form,
    pub(super) policy: &'a [u8],
    pub(super) id: &'a [u8],
}

/// What a key's text is; an id that looks like a digest is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    Plain,
    Digest,
}

impl Digest {
    /// The digest of a subject that is too long to be kept.
    pub(super) fn if_long(subject: &Subject<'_>) -> Option<Self> {
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

impl<'a> Key<'a> {
    /// The key of a subject and its digest, if it has one.
    pub(super) fn of(subject: &Subject<'a>, digest: Option<&'a Digest>) -> Self {
        let (form, policy, id) = match digest {
            None => (Form::Plain, subject.policy.as_bytes(), subject.id.as_bytes()),
            Some(Digest(digest)) => (Form::Digest, &[][..], digest.as_ref()),
        };
        Self { kind: subject.kind, form, policy, id }
    }

    /// An entry for this key, with nothing used.
    pub(super) fn entry(&self) -> Box<Entry> {
        Box::new(Entry {
            text: [self.policy, self.id].concat().into(),
            // Fits: the text is at most `TEXT_BYTES_MAX`.
            policy_bytes: self.policy.len() as u8,
            kind: self.kind,
            form: self.form,
            used_percent: 0,
            tally: Tally::new(),
        })
    }
}
