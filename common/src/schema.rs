//! How the types that write themselves to JSON by hand describe themselves in OpenAPI; the others derive it.

use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, Type};
#[doc(hidden)]
pub use utoipa::openapi::{RefOr, Schema};
#[doc(hidden)]
pub use utoipa::{PartialSchema, ToSchema};

/// A text, of a format such as `uuid` or `date-time` if it has one.
pub fn text(format: Option<&str>) -> RefOr<Schema> {
    let format = format.map(|name| SchemaFormat::Custom(name.to_owned()));
    ObjectBuilder::new().schema_type(Type::String).format(format).into()
}

/// One of these words.
pub fn word(words: &[&str]) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.iter().copied())).into()
}

/// Says how a type describes itself, under its own name.
#[doc(hidden)]
#[macro_export]
macro_rules! described_as {
    ($name:ident, $schema:expr) => {
        impl $crate::schema::PartialSchema for $name {
            fn schema() -> $crate::schema::RefOr<$crate::schema::Schema> {
                $schema
            }
        }

        impl $crate::schema::ToSchema for $name {
            fn name() -> ::std::borrow::Cow<'static, str> {
                ::std::borrow::Cow::Borrowed(stringify!($name))
            }
        }
    };
}
