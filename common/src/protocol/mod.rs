//! The bodies of SSF 1.0, RFC 8935, RFC 8936 and the token endpoint, as both parties write and read them.
//!
//! Shapes only, with the tolerances the field needs; who may send what is decided by the parties.

mod metadata;
mod oauth;
mod poll;
mod receipt;
mod stream;

pub use metadata::{AuthorizationScheme, DefaultSubjects, DeliveryMethod, Metadata, well_known_path};
pub use oauth::{OAuthError, TokenResponse};
pub use poll::{PollRequest, PollResponse, SetError};
pub use receipt::{Receipt, Receipts, ReceiptsTaken, WindowOutcome};
pub use stream::{
    AddSubject, CreateStream, Delivery, RemoveSubject, StatusBody, StreamConfiguration, UpdateStream, VerifyRequest,
};
