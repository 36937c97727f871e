//! Who a counter belongs to: compared whole, looked up without an allocation.

use kernel::limit::Subject;
use kernel::limit::SubjectKind;

use crate::digest::Digest;

/// A subject as the table sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key<'a> {
    pub(crate) kind: SubjectKind,
    pub(crate) form: Form,
    pub(crate) policy: &'a [u8],
    pub(crate) id: &'a [u8],
}

/// What a key's text is; an id that looks like a digest is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    Plain,
    Digest,
}

impl<'a> Key<'a> {
    /// The key of a subject and its digest, if it has one.
    pub(crate) fn of(subject: &Subject<'a>, digest: Option<&'a Digest>) -> Self {
        let (form, policy, id) = match digest {
            None => (Form::Plain, subject.policy.as_bytes(), subject.id.as_bytes()),
            Some(digest) => (Form::Digest, &[][..], digest.as_ref()),
        };
        Self { kind: subject.kind, form, policy, id }
    }

    /// The key as a table keeps it.
    pub(crate) fn kept(&self) -> KeptKey {
        KeptKey {
            text: [self.policy, self.id].concat().into(),
            // Fits: the text is at most `TEXT_BYTES_MAX`.
            policy_bytes: self.policy.len() as u8,
            kind: self.kind,
            form: self.form,
        }
    }
}

/// A key as a table keeps it: one allocation.
#[derive(Debug)]
pub(crate) struct KeptKey {
    /// The policy, then the id.
    text: Box<[u8]>,
    policy_bytes: u8,
    kind: SubjectKind,
    form: Form,
}

impl KeptKey {
    pub(crate) fn key(&self) -> Key<'_> {
        let (policy, id) = self.text.split_at(self.policy_bytes.into());
        Key { kind: self.kind, form: self.form, policy, id }
    }

    /// Bytes on the heap, the allocator's own apart.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.text.len()
    }
}
