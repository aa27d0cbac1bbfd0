//! The keys of an issuer, as it publishes them (RFC 7517).

use std::collections::HashMap;

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// The most keys that are taken; issuers have a handful.
const MOST: usize = 100;

/// A key, and the one algorithm that it is for.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

impl Key {
    fn of(key: &Jwk) -> Option<Self> {
        let common = &key.common;
        let is_for_signatures = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature))
            && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        let (algorithm, own) = match &key.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            // Secrets above all: what everybody can read signs nothing.
            _ => return None,
        };
        let is_of_ours = common.key_algorithm.is_none_or(|said| said == own);
        (is_for_signatures && is_of_ours).then_some(())?;
        Some(Self { algorithm, key: DecodingKey::from_jwk(key).ok()? })
    }
}

/// The keys of a set that can be used, by name; one that cannot is left out, and so are two of one name.
pub(super) fn parse(text: &[u8]) -> Result<HashMap<String, Key>, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_slice(text).map_err(|error| format!("its keys cannot be read: {error}"))?;
    let mut keys = HashMap::new();
    for key in set.keys.into_iter().take(MOST) {
        let Ok(key) = serde_json::from_value::<Jwk>(key) else { continue };
        let (Some(name), Some(good)) = (key.common.key_id.clone(), Key::of(&key)) else { continue };
        // Which one is meant is not to be guessed.
        keys.entry(name).and_modify(|known| *known = None).or_insert(Some(good));
    }
    let keys: HashMap<_, _> = keys.into_iter().filter_map(|(name, key)| Some((name, key?))).collect();
    if keys.is_empty() { Err("it has no key that can be used".to_owned()) } else { Ok(keys) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn algorithms(keys: &Value) -> Vec<(String, Algorithm)> {
        let set = json!({ "keys": keys }).to_string();
        let mut known: Vec<_> =
            parse(set.as_bytes()).unwrap_or_default().into_iter().map(|(name, key)| (name, key.algorithm)).collect();
        known.sort_by(|one, other| one.0.cmp(&other.0));
        known
    }

    #[test]
    fn a_key_has_one_algorithm_and_secrets_have_none() {
        let (n, x) = ("q".repeat(341) + "Q", "A".repeat(43));
        let keys = json!([
            {"kty": "RSA", "kid": "rsa", "n": n, "e": "AQAB", "use": "sig", "alg": "RS256"},
            {"kty": "EC", "kid": "ec", "crv": "P-256", "x": x, "y": x},
            {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": x},
            {"kty": "RSA", "kid": "other-algorithm", "n": n, "e": "AQAB", "alg": "RS512"},
            {"kty": "RSA", "kid": "for-encryption", "n": n, "e": "AQAB", "use": "enc"},
            {"kty": "RSA", "n": n, "e": "AQAB"},
            {"kty": "EC", "kid": "other-curve", "crv": "P-384", "x": x, "y": x},
            {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
            {"kty": "new", "kid": "new"},
            {"kty": "RSA", "kid": "twice", "n": n, "e": "AQAB"},
            {"kty": "EC", "kid": "twice", "crv": "P-256", "x": x, "y": x},
            7,
        ]);
        let expected = [("ec", Algorithm::ES256), ("ed", Algorithm::EdDSA), ("rsa", Algorithm::RS256)];
        assert_eq!(algorithms(&keys), expected.map(|(name, algorithm)| (name.to_owned(), algorithm)));
    }

    #[test]
    fn a_set_without_a_key_is_none() {
        for text in ["", "{}", "[]", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","kid":"a","k":"YQ"}]}"#] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
