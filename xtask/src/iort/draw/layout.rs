//! Where each box goes: three columns, boxes of a column in the order of what they lead to.

use super::boxes::Box;

/// Width of a letter and height of a line in a monospaced font of 12 pixels.
const LETTER: f64 = 7.25;
pub const LINE: f64 = 17.0;
const PADDING: f64 = 10.0;
/// Between boxes of a column, and between columns.
const GAP: f64 = 14.0;
const COLUMN_GAP: f64 = 170.0;
pub const MARGIN: f64 = 24.0;
/// Room for the picture's name.
const HEAD: f64 = 30.0;

/// A rectangle.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Place {
    /// Middle of a row; of the title for `None`.
    pub fn row(&self, row: Option<usize>) -> f64 {
        self.y + PADDING / 2.0 + LINE * (row.map_or(0.0, |row| row as f64 + 1.0) + 0.5)
    }
}

/// Places of all boxes, and the whole picture's width and height.
pub fn place(boxes: &[Box]) -> (Vec<Place>, f64, f64) {
    let mut places: Vec<Place> = boxes.iter().map(size).collect();
    let mut x = MARGIN;
    let mut bottom = HEAD + MARGIN;
    for column in 0..3 {
        let mut here: Vec<usize> = (0..boxes.len()).filter(|at| boxes[*at].column == column).collect();
        if here.is_empty() {
            continue;
        }
        let width = here.iter().map(|at| places[*at].width).fold(0.0, f64::max);
        let wishes = match column {
            0 => here.iter().map(|at| mean(targets(boxes, *at).map(|to| to as f64))).collect::<Vec<_>>(),
            _ => here.iter().map(|at| mean(sources(boxes, &places, *at, column))).collect(),
        };
        let wish = |at: &usize| here.iter().position(|it| it == at).and_then(|at| wishes[at]);
        let mut order = here.clone();
        order.sort_by(|one, two| wish(one).unwrap_or(f64::MAX).total_cmp(&wish(two).unwrap_or(f64::MAX)));
        let mut y = HEAD + MARGIN;
        for at in &order {
            // The first column is packed; the others stand beside the middle of what leads to them.
            let middle = wish(at).filter(|_| column > 0).map_or(y, |middle| middle - places[*at].height / 2.0);
            let place = &mut places[*at];
            (place.x, place.y, place.width) = (x, y.max(middle), width);
            y = place.y + place.height + GAP;
        }
        bottom = f64::max(bottom, y);
        x += width + COLUMN_GAP;
        here.clear();
    }
    (places, (x - COLUMN_GAP + MARGIN).max(2.0 * MARGIN + 400.0), bottom + MARGIN)
}

fn size(of: &Box) -> Place {
    let letters = of.rows.iter().map(|row| row.text.chars().count()).chain([of.title.chars().count()]).max();
    let width = letters.unwrap_or(0) as f64 * LETTER + 2.0 * PADDING;
    Place { x: 0.0, y: 0.0, width, height: LINE * (of.rows.len() + 1) as f64 + PADDING }
}

fn targets(boxes: &[Box], at: usize) -> impl Iterator<Item = usize> + '_ {
    boxes[at].rows.iter().flat_map(|row| row.to.iter().copied())
}

/// Heights of the rows of columns further left that lead to a box.
fn sources(boxes: &[Box], places: &[Place], at: usize, column: usize) -> impl Iterator<Item = f64> {
    let from = boxes.iter().zip(places).filter(move |(of, _)| of.column < column);
    from.flat_map(move |(of, place)| {
        let rows = of.rows.iter().enumerate().filter(move |(_, row)| row.to.contains(&at));
        rows.map(|(row, _)| place.row(Some(row)))
    })
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}
