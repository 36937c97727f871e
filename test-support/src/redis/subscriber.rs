//! Somebody who hears what is published.

use std::io;
use std::os::unix::net::UnixStream;

use super::RedisServer;
use super::resp::Connection;
use super::resp::Reply;

/// Hears all that is published on some channels, from when it was made until it is dropped.
pub struct Subscriber(Connection<UnixStream>);

impl RedisServer {
    /// Begins to listen on all channels like `pattern` (`PSUBSCRIBE`).
    ///
    /// # Panics
    /// When the server does not have it listen.
    pub fn hear(&self, pattern: &str) -> Subscriber {
        let mut connection = self.connect().expect("Redis is there");
        let answer = connection.ask(&["PSUBSCRIBE", pattern]).expect("it answers");
        let listens = ["psubscribe", pattern].map(Reply::text);
        let listens = Reply::Array(listens.into_iter().chain([Reply::Integer(1)]).collect());
        assert_eq!(answer, listens);
        Subscriber(connection)
    }
}

impl Subscriber {
    /// Waits for the next message, and says on which channel it came, and what it is.
    ///
    /// # Errors
    /// When none comes within 10 s, or the connection ends.
    pub fn next_message(&mut self) -> io::Result<(String, String)> {
        let message = self.0.next()?;
        if let Reply::Array(parts) = &message
            && let [_, _, Reply::Bulk(Some(channel)), Reply::Bulk(Some(text))] = &parts[..]
        {
            return Ok((channel.clone(), text.clone()));
        }
        Err(io::Error::other(format!("no message: {message:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_heard_in_order_and_nothing_of_other_channels() {
        let redis = RedisServer::start();
        let mut subscriber = redis.hear("news.*");
        for (channel, text) in [("news.1", "one"), ("other", "?"), ("news.2", "two")] {
            redis.command(&["PUBLISH", channel, text]).unwrap();
        }
        for (channel, text) in [("news.1", "one"), ("news.2", "two")] {
            let expected = (channel.to_owned(), text.to_owned());
            assert_eq!(subscriber.next_message().unwrap(), expected);
        }
    }
}
