//! Mistakes, in a list: one that is found hides no other.

use crate::check::Mistake;

/// What the rules found so far.
#[derive(Default)]
pub(crate) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Takes a rule's answer, or notes its mistake and lets the next rule have its say.
    pub(crate) fn keep<T>(&mut self, answer: Result<T, Mistake>) -> Option<T> {
        answer.map_err(|mistake| self.0.push(mistake)).ok()
    }

    /// As [`Mistakes::keep`], for each of a list.
    pub(crate) fn keep_all<T>(&mut self, answers: impl Iterator<Item = Result<T, Mistake>>) -> Option<Vec<T>> {
        let before = self.0.len();
        let kept = answers.filter_map(|answer| self.keep(answer)).collect();
        (self.0.len() == before).then_some(kept)
    }

    /// What was made of the answers, where there is no mistake.
    pub(crate) fn or<T>(self, made: Option<T>) -> Result<T, Vec<Mistake>> {
        made.filter(|_| self.0.is_empty()).ok_or(self.0)
    }
}
