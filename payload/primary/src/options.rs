//! Options from the load options and from a file beside the image, which overrules them.

use crate::{firmware::Given, notes::Notes};
use alloc::{format, string::String};
use scenario::options::RunOptions;
use wire::record::Severity;

/// Reads all option texts.
///
/// # Errors
/// One line for the first error of the first text that has one; an option that is wrong must not be taken for another.
pub(crate) fn read(given: &Given, notes: &mut Notes) -> Result<RunOptions, String> {
    let mut options = RunOptions::default();
    let mut refused = None;
    if given.load_options.is_none() {
        notes.add(
            Severity::Warning,
            "options",
            "load-options-not-text",
            "the load options are not text and were ignored",
        );
    }
    for text in [given.load_options.as_deref(), given.option_file.as_deref()].into_iter().flatten() {
        options.apply(text, |problem| {
            if problem.is_error() {
                refused.get_or_insert_with(|| format!("option {problem}"));
            } else {
                notes.add(Severity::Note, "options", "leading-word", format!("{problem}"));
            }
        });
    }
    refused.map_or(Ok(options), Err)
}
