//! How our values look in JSON, for the OpenAPI document.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{ObjectBuilder, OneOfBuilder, SchemaFormat, Type},
    },
};

use crate::{digest::Digest, entry::Cause};

/// 64 hexadecimal digits.
const DIGEST: &str = "^[0-9a-f]{64}$";

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

impl PartialSchema for Digest {
    fn schema() -> RefOr<Schema> {
        text().pattern(Some(DIGEST)).description(Some("SHA-256")).into()
    }
}

impl ToSchema for Digest {
    fn name() -> Cow<'static, str> {
        "Digest".into()
    }
}

impl PartialSchema for Cause {
    fn schema() -> RefOr<Schema> {
        let all = [Self::Seed, Self::Upload, Self::Patch, Self::Rollback, Self::Adopt];
        text().enum_values(Some(all.map(Self::as_str))).into()
    }
}

impl ToSchema for Cause {
    fn name() -> Cow<'static, str> {
        "Cause".into()
    }
}

/// How a release is named: by its number, or by the first 8 or more digits of its id.
pub(super) struct Target;

impl PartialSchema for Target {
    fn schema() -> RefOr<Schema> {
        let seq = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
        let id = text().pattern(Some("^[0-9]{1,7}$|^[0-9a-f]{8,64}$"));
        OneOfBuilder::new()
            .item(seq)
            .item(id)
            .description(Some("An entry's number, or the first 8 or more digits of the release id"))
            .into()
    }
}

impl ToSchema for Target {
    fn name() -> Cow<'static, str> {
        "Target".into()
    }
}

/// The same in a path.
pub(super) struct Id;

impl PartialSchema for Id {
    fn schema() -> RefOr<Schema> {
        text().pattern(Some("^[0-9]{1,7}$|^[0-9a-f]{8,64}$")).into()
    }
}

/// How many files a write may remove.
pub(super) struct MaxDelete;

impl PartialSchema for MaxDelete {
    fn schema() -> RefOr<Schema> {
        text().pattern(Some("^([0-9]{1,18}|([0-9]|[1-9][0-9]|100)%|all)$")).into()
    }
}

/// A boolean of RFC 9651.
pub(super) struct Boolean;

impl PartialSchema for Boolean {
    fn schema() -> RefOr<Schema> {
        text().enum_values(Some(["?0", "?1"])).into()
    }
}

/// A UUID.
pub(super) struct Uuid;

impl PartialSchema for Uuid {
    fn schema() -> RefOr<Schema> {
        text().format(Some(SchemaFormat::Custom("uuid".into()))).into()
    }
}

/// A whole number that is not negative, without an end.
pub(super) struct Count;

impl PartialSchema for Count {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).into()
    }
}

/// The version of tus that is spoken here.
pub(super) struct Tus;

impl PartialSchema for Tus {
    fn schema() -> RefOr<Schema> {
        text().enum_values(Some(["1.0.0"])).into()
    }
}

/// The number 1.
pub(super) struct One;

impl PartialSchema for One {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([1])).into()
    }
}

/// A method that POST may stand for.
pub(super) struct Override;

impl PartialSchema for Override {
    fn schema() -> RefOr<Schema> {
        text().enum_values(Some(["PATCH", "DELETE", "HEAD"])).into()
    }
}
