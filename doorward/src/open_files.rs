//! How many files this process may have open: a connection of a client is one, and so is the one to
//! the back end behind it; a gateway's to the admin API is one alone.

use rustix::process::Resource;
use rustix::process::getrlimit;
use rustix::process::setrlimit;

/// What is open besides: the database, the log, sockets of our own, connections kept for reuse.
const OTHERS: u64 = 256;

/// Raises the limit as far as it goes; gives how many of `wanted` connections it has room for, each of
/// which is so many `files`.
pub(crate) fn make_room(wanted: usize, files: u64) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it may not be raised, what there is counts.
    let _ = setrlimit(Resource::Nofile, limit);
    room_for(wanted, files, getrlimit(Resource::Nofile).current)
}

/// `None`: no limit.
fn room_for(wanted: usize, files: u64, files_max: Option<u64>) -> usize {
    let Some(files_max) = files_max else { return wanted };
    let connections = files_max.saturating_sub(OTHERS) / files.max(1);
    wanted.min(usize::try_from(connections).unwrap_or(usize::MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_files_a_connection_and_some_for_the_house() {
        assert_eq!(room_for(10_000, 2, None), 10_000);
        assert_eq!(room_for(10_000, 2, Some(20_256)), 10_000);
        assert_eq!(room_for(10_000, 2, Some(20_254)), 9_999);
        assert_eq!(room_for(10_000, 2, Some(1_024)), 384);
        assert_eq!(room_for(10_000, 2, Some(10)), 1);
        assert_eq!(room_for(10_000, 1, Some(10_256)), 10_000);
        assert_eq!(room_for(10_000, 1, Some(10_255)), 9_999);
    }
}
