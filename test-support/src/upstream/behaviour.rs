//! How the back end behaves, chosen by a segment of the path.

use std::time::Duration;

/// What to do with a request; anything unknown is [`Behaviour::Echo`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Answer 200 with what was received.
    Echo,
    /// `…/slow?ms=N`: echo, but only after a while.
    Slow(Duration),
    /// `…/status/N`: echo under another status.
    Status(u16),
    /// `…/bytes?n=N`: 200 with so many bytes of `x`.
    Bytes(usize),
    /// `…/headers`: echo with headers that only the gateway may set.
    SpoofedHeaders,
    /// `…/hold`: echo, but only once somebody asks for `/__release`.
    Hold,
    /// `…/later`: 503 until somebody asks for `/__release`, then echo.
    Later,
    /// `…/close`: close the connection instead of answering.
    Close,
    /// `…/hang`: never answer.
    Hang,
    /// `…/half`: announce a hundred bytes, send ten, and close.
    Half,
    /// `…/chunked`: two chunks and a trailer.
    Chunked,
    /// `…/stay`: echo, whatever protocol was asked for.
    Stay,
    /// `/__seen`: what was counted.
    Seen,
    /// `/__release`: let go of what holds.
    Release,
}

impl Behaviour {
    /// Reads it from a target.
    pub fn of(target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut segments = path.split('/');
        while let Some(segment) = segments.next() {
            let found = match segment {
                "slow" => Self::Slow(Duration::from_millis(number(query, "ms"))),
                "status" => match segments.next().and_then(|status| status.parse().ok()) {
                    Some(status) => Self::Status(status),
                    None => continue,
                },
                "bytes" => Self::Bytes(usize::try_from(number(query, "n")).unwrap_or(0)),
                "headers" => Self::SpoofedHeaders,
                "hold" => Self::Hold,
                "later" => Self::Later,
                "close" => Self::Close,
                "hang" => Self::Hang,
                "half" => Self::Half,
                "chunked" => Self::Chunked,
                "stay" => Self::Stay,
                "__seen" => Self::Seen,
                "__release" => Self::Release,
                _ => continue,
            };
            return found;
        }
        Self::Echo
    }

    /// Whether it belongs to the test, and so is not counted.
    pub fn is_the_tests_own(self) -> bool {
        matches!(self, Self::Seen | Self::Release)
    }
}

fn number(query: &str, name: &str) -> u64 {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_anywhere_chooses_the_behaviour() {
        assert_eq!(Behaviour::of("/api/status/503"), Behaviour::Status(503));
        assert_eq!(Behaviour::of("/bytes?n=12"), Behaviour::Bytes(12));
        assert_eq!(Behaviour::of("/api/slow?x=1&ms=5"), Behaviour::Slow(Duration::from_millis(5)));
        assert_eq!(Behaviour::of("/status"), Behaviour::Echo);
        assert_eq!(Behaviour::of("/slowly/closed"), Behaviour::Echo);
    }
}
