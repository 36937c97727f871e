//! The cookies that come with a request (RFC 6265 §5.4).

use http::HeaderMap;
use http::header::COOKIE;

/// The values of those called `name`, in order; of lines that are no text none.
pub(super) fn cookies<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).filter_map(move |pair| {
        let (known, value) = pair.trim().split_once('=')?;
        (known == name).then_some(value)
    })
}
