#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{Registry, SERIES_MAX};

#[test]
fn text_exposition_has_all_kinds() {
    let registry = Registry::new();
    registry.counter("b_total", "Bytes.", &[("to", "a\"\\\n")]).add(3);
    registry.gauge("open", "Open ones.", &[]).set(-2);
    let took = registry.histogram("took", "Milliseconds.", &[("to", "a")]);
    took.observe(0.5);
    took.observe(7.25);
    took.observe(1e9);
    let text = registry.render();
    for line in [
        "# HELP b_total Bytes.\n# TYPE b_total counter\nb_total{to=\"a\\\"\\\\\\n\"} 3\n",
        "# TYPE open gauge\nopen -2\n",
        "took_bucket{to=\"a\",le=\"0.5\"} 1\n",
        "took_bucket{to=\"a\",le=\"5\"} 1\n",
        "took_bucket{to=\"a\",le=\"10\"} 2\n",
        "took_bucket{to=\"a\",le=\"+Inf\"} 3\n",
        "took_sum{to=\"a\"} 1000000007.75\ntook_count{to=\"a\"} 3\n",
    ] {
        assert!(text.contains(line), "{line} not in {text}");
    }
}

#[test]
fn the_same_labels_are_the_same_series() {
    let registry = Registry::new();
    registry.counter("n", "N.", &[("a", "1")]).inc();
    assert_eq!(registry.counter("n", "N.", &[("a", "1")]).get(), 1);
    assert_eq!(registry.counter("n", "N.", &[("a", "2")]).get(), 0);
}

#[test]
fn too_many_series_share_one() {
    let registry = Registry::new();
    for index in 0..SERIES_MAX + 5 {
        registry.counter("n", "N.", &[("i", &index.to_string())]).inc();
    }
    assert!(registry.render().contains("n{overflow=\"true\"} 5\n"));
}

#[test]
fn forgotten_series_are_gone() {
    let registry = Registry::new();
    registry.counter("n", "N.", &[("a", "1"), ("b", "2")]).inc();
    registry.counter("n", "N.", &[("a", "1"), ("b", "22")]).inc();
    registry.forget("n", ("b", "2"));
    let text = registry.render();
    assert!(!text.contains("b=\"2\"") && text.contains("b=\"22\""), "{text}");
}
