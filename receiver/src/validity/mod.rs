//! Is this session still good? One evaluator, whoever asks and wherever the cut-offs come from.
//!
//! [`verdict`] is the evaluator, pure; [`check`] asks PostgreSQL for what it needs, in one statement per question or
//! batch of questions, so that a batch is judged on one snapshot. [`witness`] remembers when what was last allowed.

pub mod check;
pub mod store;
pub mod verdict;
pub mod witness;

pub use check::{Answer, Question, Validity, ValidityError};
pub use verdict::{Asserted, Reason, State, Verdict, evaluate};
pub use witness::{DenialLog, Point, Witness};
