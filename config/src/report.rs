//! Collects faults: where each is, and what of that place may be shown.

use std::fmt::Display;
use std::ops::Range;

use crate::fault::Fault;
use crate::fault::Faults;

/// The most characters of an operator's text that a message repeats.
const QUOTE_CHARS_MAX: usize = 60;

/// Where a value is, and how it is called.
#[derive(Clone, Debug)]
pub(crate) struct At {
    /// Where it was written.
    pub(crate) place: Place,
    /// The dotted path, such as `routes[0].upstream`.
    pub(crate) path: String,
    /// Whether the value must not be shown.
    pub(crate) secret: bool,
}

/// Where a value was written.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In the file, at these bytes.
    Span(Range<usize>),
    /// In this environment variable.
    Variable(&'static str),
}

impl At {
    /// The whole file.
    pub(crate) fn root() -> Self {
        Self { place: Place::Span(0..0), path: String::new(), secret: false }
    }

    /// An environment variable that stands for the key at `path`.
    pub(crate) fn variable(name: &'static str, path: &str) -> Self {
        Self { place: Place::Variable(name), path: path.to_owned(), secret: true }
    }

    /// The key `key` of the table here.
    pub(crate) fn key(&self, key: &str, span: Range<usize>) -> Self {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let key = if !key.is_empty() && key.chars().all(bare) {
            key.to_owned()
        } else {
            format!("\"{}\"", shown(key))
        };
        let path = if self.path.is_empty() { key } else { format!("{}.{key}", self.path) };
        Self { place: self.place_of(span), path, secret: self.secret }
    }

    /// The item `index` of the list here.
    pub(crate) fn item(&self, index: usize, span: Range<usize>) -> Self {
        let path = format!("{}[{index}]", self.path);
        Self { place: self.place_of(span), path, secret: self.secret }
    }

    /// The same place, of which nothing is shown.
    pub(crate) fn hidden(&self) -> Self {
        Self { secret: true, ..self.clone() }
    }

    /// What is read out of a variable lies in the variable, whatever span the reader saw.
    fn place_of(&self, span: Range<usize>) -> Place {
        match &self.place {
            Place::Variable(name) => Place::Variable(name),
            Place::Span(_) => Place::Span(span),
        }
    }

    /// The last part of the path: `limits[0]` of `routes[1].limits[0]`.
    fn label(&self) -> &str {
        self.path.rsplit_once('.').map_or(&self.path, |(_, label)| label)
    }
}

/// The faults found so far in one text.
pub(crate) struct Report<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
    found: Vec<(usize, Fault)>,
}

impl<'t> Report<'t> {
    /// No faults yet in `text`.
    pub(crate) fn new(text: &'t str) -> Self {
        let after_newline = text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(after_newline).collect();
        Self { text, line_starts, found: Vec::new() }
    }

    /// Notes a fault.
    pub(crate) fn fault(&mut self, at: &At, message: impl Display) {
        self.add(at, message.to_string(), None);
    }

    /// Notes a fault, with what was probably meant.
    pub(crate) fn fault_meaning(&mut self, at: &At, message: impl Display, meant: Option<&str>) {
        self.add(at, message.to_string(), meant.map(str::to_owned));
    }

    /// Notes a key that nothing here is called.
    pub(crate) fn unknown_key(&mut self, at: &At, key: &str, known: &[&str]) {
        let meant = crate::suggest::nearest(key, known);
        let mut message = format!("unknown key `{}`", shown(key));
        if meant.is_none() {
            message.push_str(&format!("; there are {}", crate::suggest::list(known)));
        }
        self.add(at, message, meant.map(str::to_owned));
        if let (Some((_, fault)), Place::Span(span)) = (self.found.last_mut(), &at.place) {
            fault.excerpt = shown(self.text.get(span.clone()).unwrap_or_default());
        }
    }

    /// Notes that the text is no TOML, once for each line.
    ///
    /// Only the line's key is shown: what is not understood may be a secret.
    pub(crate) fn syntax(&mut self, span: Option<Range<usize>>, message: &str) {
        let start = span.map_or(self.text.len(), |span| span.start).min(self.text.len());
        let at = At { place: Place::Span(start..start), ..At::root() };
        let (line, _) = self.position(start);
        if self.found.iter().any(|(_, fault)| fault.position.is_some_and(|at| at.0 == line)) {
            return;
        }
        let text = self.text[self.line_starts[line - 1]..].lines().next().unwrap_or_default();
        let key = text.split_once('=').map_or("", |(key, _)| key.trim());
        let plain = |b: u8| b.is_ascii_lowercase() || matches!(b, b'_' | b'.');
        let excerpt = if !key.is_empty() && key.bytes().all(plain) {
            format!("{key} = …")
        } else {
            String::new()
        };
        self.add(&at, message.to_owned(), None);
        if let Some((_, fault)) = self.found.last_mut() {
            fault.excerpt = excerpt;
        }
    }

    /// Whether nothing was found.
    pub(crate) fn is_clean(&self) -> bool {
        self.found.is_empty()
    }

    /// What was found, in the order of the file; what lies outside it first.
    pub(crate) fn into_faults(mut self, file: &str) -> Faults {
        self.found.sort_by_key(|(start, _)| *start);
        let problems = self.found.into_iter().map(|(_, fault)| fault).collect();
        Faults { file: file.to_owned(), problems }
    }

    fn add(&mut self, at: &At, message: String, suggestion: Option<String>) {
        let (order, position, excerpt) = match &at.place {
            Place::Variable(name) => (0, None, (*name).to_owned()),
            Place::Span(span) => {
                (span.start + 1, Some(self.position(span.start)), self.excerpt(at, span))
            }
        };
        let fault = Fault { position, path: at.path.clone(), excerpt, message, suggestion };
        self.found.push((order, fault));
    }

    /// Line and column, from 1, in characters.
    fn position(&self, start: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|&begin| begin <= start);
        let begin = self.line_starts[line - 1];
        let before = self.text.get(begin..start).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// `key = value`, or `[table]`; tables and lists are not spelt out, secrets not at all.
    fn excerpt(&self, at: &At, span: &Range<usize>) -> String {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let own_line = self.line_starts.binary_search(&span.start).is_ok();
        let value = match text.chars().next() {
            None => return String::new(),
            Some('[') if own_line => {
                return text.lines().next().map(shown).unwrap_or_default();
            }
            _ if at.secret => "…".to_owned(),
            Some('{') => "{ … }".to_owned(),
            Some('[') => "[ … ]".to_owned(),
            Some(_) => shown(text),
        };
        if at.label().ends_with(']') { value } else { format!("{} = {value}", at.label()) }
    }
}

/// `text` as a message may repeat it: one line, bounded, without a URL's user and password.
pub(crate) fn shown(text: &str) -> String {
    let mut safe = text.to_owned();
    if let (Some(scheme), Some(end)) = (safe.find("://"), safe.rfind('@'))
        && scheme + 3 <= end
    {
        safe.replace_range(scheme + 3..end, "…");
    }
    let mut line = String::new();
    for (count, c) in safe.chars().enumerate() {
        if count == QUOTE_CHARS_MAX {
            line.push('…');
            break;
        }
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_text_is_one_bounded_line_without_a_password() {
        assert_eq!(shown("a\nb"), "a\\nb");
        assert_eq!(shown(&"x".repeat(61)), format!("{}…", "x".repeat(60)));
        assert_eq!(shown("postgres://ann:pa@ss@db/x"), "postgres://…@db/x");
        assert_eq!(shown("ann@example.com"), "ann@example.com");
    }

    #[test]
    fn a_column_counts_characters_not_bytes() {
        let report = Report::new("a\nä = 1\n");
        assert_eq!(report.position(0), (1, 1));
        assert_eq!(report.position(7), (2, 5));
    }
}
