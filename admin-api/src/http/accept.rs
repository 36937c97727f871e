//! What a client would rather have: a page, as browsers, or JSON, as programs.

use http::HeaderMap;
use http::header::ACCEPT;

/// How many media ranges are looked at.
const RANGES_MAX: usize = 64;

/// Whether a client prefers `text/html` to `application/json` (RFC 9110 §12.5.1). One that does not
/// say does not.
pub(crate) fn prefers_html(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let ranges = lines.flat_map(|line| line.split(',')).take(RANGES_MAX).filter_map(range);
    let ranges: Vec<(String, u32)> = ranges.collect();
    quality(&ranges, "text", "html") > quality(&ranges, "application", "json")
}

/// How much a type is wanted, in thousandths, by the most specific range that has it.
fn quality(ranges: &[(String, u32)], kind: &str, subtype: &str) -> u32 {
    let of = |range: &str| {
        let found = ranges.iter().find(|(known, _)| known == range);
        found.map(|(_, quality)| *quality)
    };
    of(&format!("{kind}/{subtype}"))
        .or_else(|| of(&format!("{kind}/*")))
        .or_else(|| of("*/*"))
        .unwrap_or(0)
}

fn range(text: &str) -> Option<(String, u32)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next()?.to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let quality = quality.map_or(Some(1.0), |quality| quality.parse::<f32>().ok())?;
    Some((range, (quality.clamp(0.0, 1.0) * 1000.0) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_prefer_pages_and_programs_do_not() {
        for (accept, html) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("text/html", true),
            ("text/*", true),
            ("TEXT/HTML", true),
            ("application/json, text/html;q=0.9", false),
            ("application/json;q=0.5, text/html;q=0.9", true),
            ("text/html, application/json", false),
            ("text/html;q=0, */*", false),
            ("*/*", false),
            ("application/json", false),
            ("text/html;q=x", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            assert_eq!(prefers_html(&headers), html, "{accept}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
    }
}
