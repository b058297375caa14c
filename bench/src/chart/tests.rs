use super::{Bar, BarGroup, Chart};

#[test]
fn a_bar_is_as_long_as_its_value_and_text_is_escaped() {
    let bar = |label: &str, value| Bar { label: label.to_owned(), value, least: value, greatest: value };
    let chart = Chart {
        file: "x",
        title: "A & B".to_owned(),
        unit: "µs",
        groups: vec![BarGroup {
            label: "<1>".to_owned(),
            bars: vec![bar("Leno", 50.0), bar("other", 100.0)],
        }],
    };
    let svg = chart.svg();
    assert!(svg.contains("A &amp; B, µs"), "{svg}");
    assert!(svg.contains("&lt;1&gt;"), "{svg}");
    // Of 760, 130 are for labels and 70 for numbers.
    assert!(svg.contains("width=\"280.0\" height=\"18\" fill=\"#1f77b4\""), "{svg}");
    assert!(svg.contains("width=\"560.0\" height=\"18\" fill=\"#b0b7bf\""), "{svg}");
}
