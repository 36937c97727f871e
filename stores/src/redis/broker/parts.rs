//! What is too much for one act is done by several.

use kernel::celery::MESSAGE_BYTES_MAX;

/// The most messages that one act is about.
pub const TAKEN_MAX: usize = 64;

/// The most bytes of results, of messages that go back, or of those that are found again, that one act is
/// about; one that has more goes alone.
pub const PART_BYTES_MAX: usize = MESSAGE_BYTES_MAX;

/// Cuts `all` into as many as one act is about: at most [`TAKEN_MAX`], and [`PART_BYTES_MAX`] of what
/// `bytes_of` says of each.
pub fn parts<T>(all: impl IntoIterator<Item = T>, bytes_of: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut parts, mut bytes) = (Vec::<Vec<T>>::new(), 0);
    for one in all {
        let more = bytes_of(&one);
        match parts.last_mut() {
            Some(part) if part.len() < TAKEN_MAX && bytes + more <= PART_BYTES_MAX => {
                part.push(one);
                bytes += more;
            }
            _ => {
                parts.push(vec![one]);
                bytes = more;
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(bytes: &[usize]) -> Vec<usize> {
        parts(bytes, |bytes| **bytes).iter().map(Vec::len).collect()
    }

    #[test]
    fn one_act_is_about_64_and_four_mebibytes_or_one_that_has_more() {
        assert_eq!(counts(&[]), Vec::<usize>::new());
        assert_eq!(counts(&[0; TAKEN_MAX]), [TAKEN_MAX]);
        assert_eq!(counts(&[0; TAKEN_MAX + 1]), [TAKEN_MAX, 1]);
        let half = PART_BYTES_MAX / 2;
        assert_eq!(counts(&[half, half, 0]), [3]);
        assert_eq!(counts(&[half, half + 1]), [1, 1]);
        assert_eq!(counts(&[PART_BYTES_MAX + 1, 1, 0]), [1, 2]);
    }
}
