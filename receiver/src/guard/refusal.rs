//! [`Refusal`]: why a request does not get through. Pure: from an answer to what follows from it.

use super::ask::{AskError, Checked};
use super::dpop::DpopRefusal;
use super::presented::Presented;
use crate::validity::State;

/// Why a request does not get through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It came without a session or token.
    Nobody,
    /// The session or token is over, or nobody's. `None`: it could not even be asked for.
    Invalid(Option<Checked>),
    /// It must be proved again: the session's data may be kept, nothing continues until there is a newer assertion.
    Revalidate(Checked),
    /// The token is bound to a key that was not shown on this request.
    Unproved,
    /// The DPoP proof is not accepted. The nonce the client is to use, where nonces are asked for.
    Proof(DpopRefusal, Option<String>),
    /// Nobody could say whether it is good: let nobody through, and say so.
    Unanswered,
}

impl Refusal {
    /// What an answer means: through, or not.
    pub fn judged(presented: &Presented, answer: Result<Checked, AskError>) -> Result<Checked, Self> {
        if presented.lacks_proof() {
            return Err(Self::Unproved);
        }
        match answer {
            Ok(checked) => match checked.state {
                State::Active => Ok(checked),
                State::RevalidateRequired => Err(Self::Revalidate(checked)),
                State::Revoked | State::Unknown => Err(Self::Invalid(Some(checked))),
            },
            Err(AskError::Unaskable(_)) => Err(Self::Invalid(None)),
            Err(AskError::Unanswered(_)) => Err(Self::Unanswered),
        }
    }

    /// What the receiver answered, if it was asked.
    pub const fn checked(&self) -> Option<&Checked> {
        match self {
            Self::Invalid(checked) => checked.as_ref(),
            Self::Revalidate(checked) => Some(checked),
            Self::Nobody | Self::Unproved | Self::Proof(..) | Self::Unanswered => None,
        }
    }

    /// The code for machines (RFC 6750 §3.1, RFC 9449 §7.1, RFC 9470 §3), none for who brought nothing, and a sentence.
    /// `None` if it is not the client's to mend.
    pub const fn words(&self) -> Option<(Option<&'static str>, &'static str)> {
        Some(match self {
            Self::Nobody => (None, "a session or token is needed"),
            Self::Invalid(_) => (Some("invalid_token"), "the session is over or unknown"),
            Self::Revalidate(_) => {
                (Some("insufficient_user_authentication"), "a newer assertion of the issuer is required")
            }
            Self::Unproved => (Some("invalid_token"), "the token is bound to a key that was not shown"),
            Self::Proof(refusal, _) => (Some(refusal.code()), "the DPoP proof is not accepted"),
            Self::Unanswered => return None,
        })
    }

    /// The worse of two, where a request presents several sessions: nobody gets through by adding a good one.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        if other.weight() > self.weight() { other } else { self }
    }

    const fn weight(&self) -> u8 {
        match self {
            Self::Nobody => 0,
            Self::Revalidate(_) => 1,
            Self::Unproved | Self::Proof(..) => 2,
            Self::Invalid(_) => 3,
            Self::Unanswered => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use ssf_common::clock::Timestamp;

    use super::*;
    use crate::config::BindingClass;
    use crate::guard::ask::Unaskable;
    use crate::guard::{Confirmation, Shown};

    #[test]
    fn only_an_active_session_whose_key_was_shown_gets_through() {
        let checked = |state| Checked {
            sid: None,
            state,
            reason: None,
            as_of: Timestamp::EPOCH,
            class: BindingClass::Bearer,
            stale: false,
            break_glass: false,
        };
        let bearer = Presented::session("s".into());
        let token = Confirmation { jkt: Some("K".to_owned()), x5t_s256: None };
        let unproved = bearer.clone().confirmed(&token, &Shown::default());
        let of = |state| (checked(state), Refusal::judged(&bearer, Ok(checked(state))));
        let (active, through) = of(State::Active);
        assert_eq!(through, Ok(active.clone()));
        let (revalidate, refused) = of(State::RevalidateRequired);
        assert_eq!(refused, Err(Refusal::Revalidate(revalidate)));
        for state in [State::Revoked, State::Unknown] {
            let (over, refused) = of(state);
            assert_eq!(refused, Err(Refusal::Invalid(Some(over))));
        }
        assert_eq!(Refusal::judged(&unproved, Ok(active)), Err(Refusal::Unproved));
        let unaskable = Refusal::judged(&bearer, Err(AskError::Unaskable(Unaskable::Name)));
        assert_eq!(unaskable, Err(Refusal::Invalid(None)));
        assert_eq!(Refusal::judged(&bearer, Err(AskError::Unanswered("away".into()))), Err(Refusal::Unanswered));
    }
}
