//! What can be wrong with a subject: the member and the fault, never the value.

/// A subject was refused.
///
/// Safe to show, log and store: it holds no value. A member name that a stranger chose is shown only if it looks like a
/// name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("subject member {member}: {fault}")]
pub struct SubjectError {
    /// Where: a path of member names such as `user.email` or `identifiers[2].sub`; `sub_id` is the subject itself.
    pub member: String,
    /// What is wrong there.
    pub fault: Fault,
}

impl SubjectError {
    /// A fault of the member `member`.
    pub(super) fn at(member: &str, fault: Fault) -> Self {
        Self { member: member.to_owned(), fault }
    }

    /// The same fault, seen from one level further out.
    pub(super) fn within(self, outer: &str) -> Self {
        if self.member == WHOLE {
            Self { member: outer.to_owned(), ..self }
        } else {
            Self { member: format!("{outer}.{}", self.member), ..self }
        }
    }
}

/// What is wrong with a member of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A required member is not there.
    #[error("is missing")]
    Missing,
    /// The value has another JSON type than the standard says.
    #[error("is not {0}")]
    NotA(&'static str),
    /// An empty string, array or object where content is required.
    #[error("is empty")]
    Empty,
    /// The text does not have the syntax its format asks for.
    #[error("does not have the syntax of {0}")]
    Syntax(&'static str),
    /// A text is longer than [`MAX_TEXT`](super::MAX_TEXT) bytes.
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    /// A text holds U+0000, which neither a name nor an address has and PostgreSQL cannot store.
    #[error("holds the character U+0000")]
    Nul,
    /// More members or entries than [`MAX_MEMBERS`](super::MAX_MEMBERS).
    #[error("has more than {0} entries")]
    TooMany(usize),
    /// A proprietary member is nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    #[error("is nested deeper than {0} levels")]
    TooDeep(usize),
    /// `complex` where only a simple subject may stand, or `aliases` inside `aliases` (RFC 9493 §3.2.8).
    #[error("may not be of the format {0} here")]
    NotHere(&'static str),
    /// The transmitter calls this member critical and we cannot process it (SSF 1.0 §3.6).
    #[error("is critical and not understood")]
    CriticalNotUnderstood,
}

/// A member name as errors show it: as it is if it looks like a name, otherwise not at all.
pub(super) fn shown(name: &str) -> &str {
    let looks_like_a_name = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if looks_like_a_name { name } else { "(a name not shown)" }
}

/// How errors call the subject as a whole.
pub(super) const WHOLE: &str = "sub_id";
