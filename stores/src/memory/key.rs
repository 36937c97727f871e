//! Who a counter belongs to: compared whole, looked up without an allocation.

use kernel::limit::Subject;
use kernel::limit::SubjectKind;
use kernel::limit::Tally;

use crate::digest::Digest;
use crate::memory::shard::Entry;

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

impl<'a> Key<'a> {
    /// The key of a subject and its digest, if it has one.
    pub(super) fn of(subject: &Subject<'a>, digest: Option<&'a Digest>) -> Self {
        let (form, policy, id) = match digest {
            None => (Form::Plain, subject.policy.as_bytes(), subject.id.as_bytes()),
            Some(digest) => (Form::Digest, &[][..], digest.as_ref()),
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
