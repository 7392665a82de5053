//! Types of settings that YAML does not have: durations, sizes, rates, addresses, URLs, one or many.

mod address;
mod duration;
mod many;
mod number;
mod rate;
mod secret;
mod size;
mod url;

pub use address::{HostPort, Listen};
pub use duration::{Duration, DurationOrZero};
pub use many::OneOrMany;
pub use number::Ratio;
pub use rate::Rate;
pub use secret::SecretText;
pub use size::ByteSize;
pub use url::Url;

pub(crate) use many::ONE_OR_MANY;
pub use url::without_user_info;

/// Serde and schema of a type that is written as one text: `FromStr` reads it, `Display` writes it.
macro_rules! text_type {
    ($type:ty, $format:literal, $example:literal) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "format": $format, "examples": [$example] })
            }
        }
    };
}
pub(crate) use text_type;
