//! What can be wrong with an event's payload: the member and the fault, never the value.

/// An event was refused. Safe to show, log and store: it holds no value and no name a stranger chose.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event member {member}: {fault}")]
pub struct EventError {
    /// Which member; `events` is the payload as a whole.
    pub member: &'static str,
    /// What is wrong with it.
    pub fault: Fault,
}

impl EventError {
    /// A fault of the member `member`.
    pub(super) const fn at(member: &'static str, fault: Fault) -> Self {
        Self { member, fault }
    }
}

/// What is wrong with a member of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A required member is not there.
    #[error("is missing")]
    Missing,
    /// The value has another JSON type than the standard says.
    #[error("is not {0}")]
    NotA(&'static str),
    /// An empty object where content is required.
    #[error("is empty")]
    Empty,
    /// The word is not in the list of the standard.
    #[error(transparent)]
    UnknownWord(#[from] super::UnknownWord),
    /// The number is no time between 1970 and 9999.
    #[error("is not a time in seconds since 1970")]
    NotATime,
    /// A member name is not a language tag (BCP 47).
    #[error("has a member whose name is not a language tag (BCP 47)")]
    NotALanguageTag,
    /// A text is longer than this many bytes.
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    /// More entries than this.
    #[error("has more than {0} entries")]
    TooMany(usize),
    /// Nested deeper than this.
    #[error("is nested deeper than {0} levels")]
    TooDeep(usize),
    /// A text holds U+0000, which PostgreSQL cannot store.
    #[error("holds the character U+0000")]
    Nul,
}
