//! A token that may be a JWT, before anything of it is proven: whose it says to be, to choose who is asked.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;

/// What a token says of itself. Nothing of it is true until its signature was checked.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Claimed {
    /// Who is said to have issued it.
    #[serde(rename = "iss")]
    pub issuer: Option<String>,
    /// Whom it is said to be for.
    #[serde(rename = "aud", default, deserialize_with = "one_or_many")]
    pub audiences: Vec<String>,
    /// When it is said to end.
    #[serde(rename = "exp")]
    pub expires: Option<u64>,
}

impl Claimed {
    /// Reads three parts of base64 with dots between, the second of JSON; everything else is no JWT.
    #[must_use]
    pub fn by(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        BASE64_URL_SAFE_NO_PAD.decode(header).ok()?;
        BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
}

/// RFC 7519, 4.1.3: one audience may stand without a list.
fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(deserializer)? {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(claims: &str) -> Option<Claimed> {
        Claimed::by(&format!("e30.{}.AAAA", BASE64_URL_SAFE_NO_PAD.encode(claims)))
    }

    #[test]
    fn a_token_says_whose_it_is() {
        let claimed = of(r#"{"iss":"https://i","aud":"a","exp":7,"x":[1]}"#).expect("a JWT");
        assert_eq!((claimed.issuer.as_deref(), claimed.expires), (Some("https://i"), Some(7)));
        assert_eq!(claimed.audiences, ["a"]);
        assert_eq!(of(r#"{"aud":["a","b"]}"#).expect("a JWT").audiences, ["a", "b"]);
        assert_eq!(of("{}"), Some(Claimed::default()));
    }

    #[test]
    fn what_is_odd_is_no_jwt() {
        let odd =
            [r#"{"iss":1}"#, r#"{"aud":{}}"#, r#"{"aud":[1]}"#, r#"{"exp":-1}"#, r#"{"iss":"a","iss":"b"}"#, "{", "1"];
        for claims in odd {
            assert_eq!(of(claims), None, "{claims}");
        }
        for token in
            ["", ".", "..", "e30.e30", "e30.e30.AAAA.AAAA", "e30.e30.A", "e30=.e30.AAAA", "e30.e3 0.AAAA", "e30.é.AAAA"]
        {
            assert_eq!(Claimed::by(token), None, "{token:?}");
        }
    }
}
