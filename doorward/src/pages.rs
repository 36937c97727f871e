//! In which pages this process gets its memory.

use rustix::thread::disable_transparent_huge_pages;

/// Asks for small pages, for as long as this process lives.
///
/// Buffers are larger than what is in most of them: of the 64 KiB that a stream's body may fill, an event
/// fills a few hundred bytes. In small pages what was never touched is not there; in huge ones of 2 MiB all
/// of it is. docs/adr/0028-small-pages.md has what is gained, and what it costs.
pub(crate) fn keep_small() {
    // A kernel that knows no huge pages has none to turn off.
    let _ = disable_transparent_huge_pages(true);
}
