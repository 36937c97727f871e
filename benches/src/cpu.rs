//! The processor time of another process.

use std::fs;
use std::io;
use std::time::Duration;

/// One unit of the times in `/proc/PID/stat`: `USER_HZ` is 100 wherever Linux and Rust run.
const TICK: Duration = Duration::from_millis(10);

/// Where user and system time stand, counted from the field after the program's name
/// (proc_pid_stat(5): fields 14 and 15; the name is field 2).
const USER_TIME_AT: usize = 11;

/// Reads how much processor time the process `pid` has taken, all its threads together, in user and
/// system mode, in steps of 10 ms.
///
/// # Errors
/// When there is no such process.
pub fn time_of(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    time_in(&stat).ok_or_else(|| io::Error::other(format!("`{}` has no times", stat.trim_end())))
}

fn time_in(stat: &str) -> Option<Duration> {
    // A name may hold anything, spaces and parentheses included.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(USER_TIME_AT).map(str::parse::<u32>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some(TICK * user + TICK * system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added_whatever_the_program_is_called() {
        let stat = "41 (a) b (c) S 1 41 41 0 -1 4194560 1 2 3 4 120 35 7 8 20 0 3 0 99 1 2";
        assert_eq!(time_in(stat), Some(Duration::from_millis(1550)));
    }

    #[test]
    fn a_line_that_ends_early_has_no_times() {
        assert_eq!(time_in("41 (a) S 1 41 41 0 -1 4194560 1 2 3 4 120"), None);
        assert_eq!(time_in(""), None);
    }

    #[test]
    fn our_own_time_can_be_read() {
        assert!(time_of(std::process::id()).is_ok());
    }
}
