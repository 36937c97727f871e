//! The place of a value that is loaded while the process starts.

use std::sync::Arc;
use std::sync::OnceLock;

/// A value that is there once its resource is loaded.
///
/// Clones are the same place.
pub struct Warm<T>(Arc<Place<T>>);

struct Place<T> {
    name: Arc<str>,
    value: OnceLock<T>,
}

/// A resource was asked for before it was loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not initialized")]
pub struct NotInitialized(pub Arc<str>);

impl<T> Warm<T> {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self(Arc::new(Place { name, value: OnceLock::new() }))
    }

    /// The value; never waits for it.
    ///
    /// # Errors
    /// [`NotInitialized`] until it is loaded, with the resource's name.
    pub fn get(&self) -> Result<&T, NotInitialized> {
        self.0.value.get().ok_or_else(|| NotInitialized(Arc::clone(&self.0.name)))
    }

    /// Puts the value in its place, once.
    pub(super) fn put(&self, value: T) {
        let is_first = self.0.value.set(value).is_ok();
        debug_assert!(is_first, "`{}` was loaded twice", self.0.name);
    }
}

impl<T> Clone for Warm<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
