//! The table is whole.

use super::ORDER;

#[test]
fn each_stage_has_its_row_at_its_place_and_a_reason() {
    for (place, row) in ORDER.iter().enumerate() {
        assert_eq!(row.stage as usize, place, "{:?}", row.stage);
        assert_eq!(row.stage.row(), row);
        assert!(!row.sides.is_empty() && !row.why.is_empty(), "{:?}", row.stage);
    }
}
