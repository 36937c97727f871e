//! In which pages this process gets its memory, and when it gives them back.

use std::thread;
use std::time::Duration;

use rustix::thread::disable_transparent_huge_pages;

/// How often it is looked for memory that nobody has used for a while. That while is mimalloc's, a second.
const GIVEN_BACK_EVERY: Duration = Duration::from_secs(1);

/// Asks for small pages, for as long as this process lives.
///
/// Buffers are larger than what is in most of them: of the 64 KiB that a stream's body may fill, an event
/// fills a few hundred bytes. In small pages what was never touched is not there; in huge ones of 2 MiB all
/// of it is. docs/adr/0028-small-pages.md has what is gained, and what it costs.
pub(crate) fn keep_small() {
    // A kernel that knows no huge pages has none to turn off.
    let _ = disable_transparent_huge_pages(true);
}

/// Gives back to the system what nobody has used for a while, for as long as this process lives.
///
/// mimalloc looks for it only when it is asked for more. Who is idle asks for nothing, and would keep the
/// 19 MiB that the last password took to check (docs/adr/0029-memory-given-back.md).
///
/// # Errors
/// The system's, where it has no thread left.
pub(crate) fn give_back() -> std::io::Result<()> {
    let keeper = thread::Builder::new().name("memory".into());
    keeper.spawn(|| {
        // Of a thread that never had any of its own mimalloc is not asked.
        drop(std::hint::black_box(Box::new(0)));
        loop {
            thread::sleep(GIVEN_BACK_EVERY);
            collect();
        }
    })?;
    Ok(())
}

#[expect(unsafe_code, reason = "the allocator is C's, and its crate has no safe word for this")]
fn collect() {
    // SAFETY: it takes no pointer and leaves what is in use as it is; any thread may call it at any time
    // (mimalloc.h).
    unsafe { libmimalloc_sys::mi_collect(false) }
}
