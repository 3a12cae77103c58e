//! The promises that the table makes, held on a small fleet.
