//! Bar charts as SVG, by hand: groups of bars, each with a whisker from its least to its greatest value.

use std::fmt::Write as _;

use crate::measured::{Block, Comparison};

/// Of the whole picture and its parts, in pixels.
const WIDTH: f64 = 760.0;
const LABELS: f64 = 130.0;
const BAR: f64 = 18.0;
const GAP: f64 = 5.0;
const GROUP_HEAD: f64 = 26.0;
const HEAD: f64 = 34.0;
/// Kept free for the numbers behind the bars.
const NUMBERS: f64 = 70.0;

/// One picture.
pub(crate) struct Chart {
    /// Without `.svg`.
    pub file: &'static str,
    pub title: String,
    pub unit: &'static str,
    pub groups: Vec<BarGroup>,
}

/// Bars that belong together.
pub(crate) struct BarGroup {
    pub label: String,
    pub bars: Vec<Bar>,
}

/// One bar.
pub(crate) struct Bar {
    pub label: String,
    pub value: f64,
    pub least: f64,
    pub greatest: f64,
}

impl Chart {
    /// CPU per request of all contenders, a group for each number of connections.
    pub(crate) fn of_comparisons(file: &'static str, title: &str, comparisons: &[Comparison]) -> Chart {
        let groups = comparisons.iter().map(|comparison| BarGroup {
            label: comparison.label.clone(),
            bars: comparison
                .measured
                .iter()
                .map(|measured| {
                    let totals = || measured.blocks.iter().map(Block::total_us);
                    Bar {
                        label: measured.name.to_owned(),
                        value: measured.median(Block::total_us),
                        least: totals().fold(f64::INFINITY, f64::min),
                        greatest: totals().fold(0.0, f64::max),
                    }
                })
                .collect(),
        });
        Chart { file, title: title.to_owned(), unit: "µs of CPU per request", groups: groups.collect() }
    }

    /// The picture.
    pub(crate) fn svg(&self) -> String {
        let bars = || self.groups.iter().flat_map(|group| &group.bars);
        let most = bars().map(|bar| bar.greatest.max(bar.value)).fold(f64::MIN_POSITIVE, f64::max);
        let scale = (WIDTH - LABELS - NUMBERS) / most;
        let height = HEAD + self.groups.len() as f64 * GROUP_HEAD + bars().count() as f64 * (BAR + GAP) + GAP;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"8\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{}, {}</text>\n",
            escaped(&self.title),
            escaped(self.unit)
        );
        let mut y = HEAD;
        for group in &self.groups {
            y += GROUP_HEAD;
            let _ = writeln!(
                out,
                "<text x=\"8\" y=\"{:.0}\" fill=\"#555555\">{}</text>",
                y - 8.0,
                escaped(&group.label)
            );
            for bar in &group.bars {
                out.push_str(&bar.svg(y, scale));
                y += BAR + GAP;
            }
        }
        out.push_str("</svg>\n");
        out
    }
}

impl Bar {
    fn svg(&self, y: f64, scale: f64) -> String {
        let colour = if self.label.starts_with("Leno") { "#1f77b4" } else { "#b0b7bf" };
        let middle = y + BAR / 2.0;
        let (end, least, greatest) =
            (LABELS + self.value * scale, LABELS + self.least * scale, LABELS + self.greatest * scale);
        format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LABELS}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\n\
             <line x1=\"{least:.1}\" x2=\"{greatest:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" stroke=\"#333333\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
            LABELS - 6.0,
            middle + 4.0,
            escaped(&self.label),
            (end - LABELS).max(0.0),
            end.max(greatest) + 6.0,
            middle + 4.0,
            rounded(self.value)
        )
    }
}

fn rounded(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
