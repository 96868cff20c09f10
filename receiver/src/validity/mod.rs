//! Is this session still good? One evaluator, whoever asks and wherever the cut-offs come from.
//!
//! [`verdict`] is the evaluator, pure; [`check`] answers from the memory of this process; [`definition`] says the same
//! from PostgreSQL, in one statement, and is what the memory is tested against. [`witness`] remembers when what was
//! last allowed; [`Waits`] are those who want to hear when a verdict changes.

pub mod check;
pub mod definition;
pub mod store;
pub mod touch;
pub mod verdict;
mod waits;
pub mod witness;

pub use check::{Answer, NotNow, Question, Validity, ValidityError};
pub use definition::Definition;
pub use touch::Touch;
pub use verdict::{Asserted, Reason, State, Verdict, evaluate};
pub use waits::{Waiting, Waits};
pub use witness::{DenialLog, Point, Witness};
