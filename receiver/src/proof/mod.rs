//! How long it took until nobody was let in any more, against the window that was promised.
//!
//! [`outcome`] judges one cut-off, pure; [`figures`] makes distributions of many; [`report`] puts them together from what
//! `store` reads, page by page, in the [`shape`] that the API answers; [`text`], [`csv`] and [`chart`] are the forms in which a person or an auditor gets it. Called
//! by the API and the command line. [`receipts`] tells transmitters what is enforced here, [`probe`]
//! times a session of its own from outside.

pub mod chart;
pub mod csv;
pub mod figures;
pub mod outcome;
pub mod probe;
pub mod receipts;
pub mod report;
pub mod shape;
mod store;
pub mod text;

pub use figures::{Bucket, Distribution};
pub use outcome::{CutOff, Legs, Outcome, Seen, Visible};
pub use probe::Probe;
pub use receipts::{Receipts, ReceiptsError};
pub use report::{Proof, Terms};
pub use shape::{Breach, Cursor, Line, Lines, PointRow, ProbeRow, Row, WindowsReport};
