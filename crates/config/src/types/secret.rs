use std::borrow::Cow;

/// Stands for `telegen_model::Secret` in schemas: a text that is never printed.
/// Use as `#[schemars(with = "SecretText")]`.
#[derive(Clone, Copy, Debug)]
pub struct SecretText;

impl schemars::JsonSchema for SecretText {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "secret", "writeOnly": true })
    }
}
