//! Why something of Celery's cannot be read.

use super::NAME_BYTES_MAX;

/// What came is nothing that is understood here. It never says what came: that may be anybody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is too long.
    #[error("{bytes} bytes; at most {at_most} are read")]
    Long {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        at_most: usize,
    },
    /// It is no JSON of the shape, or a name in it is missing.
    #[error("not of the shape that Celery writes: {0}")]
    Shape(&'static str),
    /// It is written in another way than as JSON.
    #[error("its content is not JSON; use `task_serializer = \"json\"`")]
    Content,
    /// It is compressed.
    #[error("its body is compressed; leave `task_compression` unset")]
    Compressed,
    /// A name in it is empty, or longer than [`NAME_BYTES_MAX`].
    #[error("`{0}` is empty or longer than {NAME_BYTES_MAX} bytes")]
    Name(&'static str),
    /// A moment in it is none, or lies outside of what can be written.
    #[error("`{0}` is no moment in ISO 8601")]
    Moment(&'static str),
}
