//! In which pages this process gets its memory.

use rustix::thread::disable_transparent_huge_pages;

/// Asks for small pages, for as long as this process lives.
///
/// Buffers are larger than what is in most of them: of the 64 KiB that a stream's body may fill, an event
/// fills a few hundred bytes. In small pages what was never touched is not there; in huge ones of 2 MiB all
/// of it is. A thousand streams weigh half as much so, and an idle process two thirds; what a request
/// takes is the same within what can be measured (benches/README.md).
pub(crate) fn keep_small() {
    // A kernel that knows no huge pages has none to turn off.
    let _ = disable_transparent_huge_pages(true);
}
