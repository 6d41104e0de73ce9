//! The topology as a picture: devices and reserved memory on the left, SMMUs in the middle, ITS groups on the right.

mod boxes;
mod dot;
mod layout;
mod svg;

use super::answer::Answer;

/// The picture for Graphviz.
pub fn dot(answer: &Answer<'_>) -> String {
    dot::render(answer.name, &boxes::of(answer))
}

/// The picture as SVG, laid out here.
pub fn svg(answer: &Answer<'_>) -> String {
    svg::render(answer.name, &boxes::of(answer))
}
