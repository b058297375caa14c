use super::{estimate, median, quantile};

#[test]
fn the_median_is_in_the_middle() {
    assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < 1e-9);
    assert!((median([4.0, 1.0, 2.0, 3.0].into_iter()) - 2.5).abs() < 1e-9);
    assert!(median(std::iter::empty()).is_nan());
}

#[test]
fn a_quantile_is_one_of_the_values() {
    let mut values: Vec<f64> = (1..=100).map(f64::from).collect();
    assert!((quantile(&mut values, 0.99) - 100.0).abs() < 1.5);
    assert!((quantile(&mut values, 0.0) - 1.0).abs() < 1e-9);
    assert!(quantile(&mut [], 0.5).is_nan());
}

#[test]
fn an_interval_holds_the_median_and_narrows_where_values_agree() {
    let wide = estimate(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    assert!(wide.low < wide.median && wide.median < wide.high, "{wide:?}");
    let narrow = estimate(&[4.0; 8]);
    assert!((narrow.low - 4.0).abs() < 1e-9 && (narrow.high - 4.0).abs() < 1e-9, "{narrow:?}");
}
