//! Why a block has no reading. Each ends the connection: both tables are out of step (RFC 9113 section 4.3).

/// Why a block has no reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HpackError {
    /// It ends within a field.
    #[error("field block ends within a field")]
    Truncated,
    /// A number larger than any length here.
    #[error("number in a field block is too large")]
    NumberTooLarge,
    /// A string whose code is none, or that is padded with what is no padding.
    #[error("string in a field block is not coded rightly")]
    BadCode,
    /// An index that no table has.
    #[error("field block refers to an entry that is not there")]
    NoSuchEntry,
    /// A change of the table's size behind a field, or above what we allow.
    #[error("field block changes the table's size where or as it must not")]
    BadTableSize,
    /// The change of the table's size that we had asked for is not there.
    #[error("field block does not begin with the table size that was asked for")]
    TableSizeMissing,
}
