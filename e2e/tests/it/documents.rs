//! What the documents of `docs/` show, for tests that do as they say.

use std::fs;
use std::path::Path;

/// The text of a document.
pub(crate) fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All that a document shows in this language, in its order, as it stands.
pub(crate) fn shown(name: &str, language: &str) -> Vec<String> {
    code(&document(name), language)
}

/// The same of a text.
pub(crate) fn code(text: &str, language: &str) -> Vec<String> {
    let blocks = text.split("```").skip(1).step_by(2);
    let code = |block: &str| Some(block.strip_prefix(language)?.strip_prefix('\n')?.to_owned());
    blocks.filter_map(code).collect()
}
