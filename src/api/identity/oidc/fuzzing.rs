//! Tokens of an issuer, and its keys, from anywhere.

use std::{sync::LazyLock, time::SystemTime};

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto::sign};
use serde_json::{Map, Value};

use super::{Claim, Keys, Oidc, Rules, key, key::Key, key_name};
use crate::api::{
    identity::jwt::Claimed,
    rights::{Scope, Scopes},
};

const ISSUER: &str = "https://issuer.example";
/// The first key pair of RFC 8032, section 7.1: nobody's secret.
const PRIVATE: &str = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

struct Fake {
    oidc: Oidc,
    signs: EncodingKey,
    key: Key,
}

/// An issuer that is never asked.
static FAKE: LazyLock<Fake> = LazyLock::new(|| {
    let rules = Rules {
        issuer: ISSUER.parse().expect("an address"),
        audience: "us".into(),
        claims: vec![Claim { name: "repository_id".into(), value: "74".into() }],
        scopes: Scopes::NONE.and(Scope::Read),
        within: None,
    };
    let nobody = || Box::pin(async { Err("it is not asked".to_owned()) }) as super::keys::Fetching;
    let oidc = Oidc { rules, keys: Keys::new(Box::new(nobody), Box::new(std::time::Instant::now)).into() };
    let key = DecodingKey::from_ed_components(PUBLIC).expect("a key");
    let signs = EncodingKey::from_ed_der(&BASE64_STANDARD.decode(PRIVATE).expect("base64"));
    Fake { oidc, signs, key: Key { algorithm: Algorithm::EdDSA, key } }
});

/// A header and, in the next line, claims, which the issuer signs; `@@` stands for the time, in hundreds of seconds.
/// Also as they are: as a token, and as the keys of an issuer.
pub(crate) fn jwt(bytes: &[u8]) -> bool {
    if let Ok(token) = std::str::from_utf8(bytes) {
        let _ = (Claimed::by(token), key_name(token));
        assert!(FAKE.oidc.prove(token, &FAKE.key).is_err(), "nobody signed this");
    }
    let has_keys = key::parse(bytes).is_ok();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let text = String::from_utf8_lossy(bytes).replace("@@", &(now / 100).to_string());
    let (header, claims) = text.split_once('\n').unwrap_or((&text, "{}"));
    let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = sign(message.as_bytes(), &FAKE.signs, Algorithm::EdDSA).expect("a signature");
    let token = format!("{message}.{signature}");
    let Ok(name) = key_name(&token) else { return has_keys };
    assert!((1..=256).contains(&name.len()), "the name of a key");
    let Ok(grant) = FAKE.oidc.prove(&token, &FAKE.key) else { return has_keys };
    assert_holds(header, claims, now);
    assert!(
        grant.name.starts_with("oidc:") && grant.name.len() < 230 && grant.name.bytes().all(|b| b.is_ascii_graphic())
    );
    assert!(grant.scopes.has(Scope::Read) && !grant.scopes.has(Scope::Upload) && grant.within.is_none());
    assert!(Claimed::by(&token).is_some_and(|claimed| claimed.issuer.as_deref() == Some(ISSUER)), "whose it is");
    // Nothing else has that signature.
    let others = [
        format!("{message}."),
        message.clone(),
        format!("{message}.{}", signature.chars().rev().collect::<String>()),
        format!("{}.{}.{signature}", encode(header), encode(&format!("{claims} "))),
        format!("{}.{}.{signature}", encode(&format!("{header} ")), encode(claims)),
        format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(claims)),
        format!("{token}.{signature}"),
    ];
    for other in others {
        assert!(FAKE.oidc.prove(&other, &FAKE.key).is_err(), "{other} is let in");
    }
    true
}

/// What must be true of a token that is good, read by nothing but JSON.
fn assert_holds(header: &str, claims: &str, now: u64) {
    let object = |text| serde_json::from_str::<Map<String, Value>>(text).expect("an object");
    let (header, claims) = (object(header), object(claims));
    assert_eq!(header["alg"], "EdDSA");
    for brought in ["jku", "jwk", "x5u", "x5c", "crit"] {
        assert!(header.get(brought).is_none_or(Value::is_null), "a header with {brought}");
    }
    assert_eq!(claims["iss"], ISSUER);
    let audience = &claims["aud"];
    assert!(audience == "us" || audience.as_array().is_some_and(|all| all.iter().any(|one| one == "us")));
    assert!(claims["repository_id"] == "74" || claims["repository_id"] == 74);
    assert!(claims["sub"].as_str().is_some_and(|subject| !subject.is_empty()));
    let time = |name: &str| claims[name].as_u64().expect("a time");
    // A second may have passed.
    assert!(time("exp") + 60 >= now && time("nbf") <= now + 61 && time("iat") <= now + 61, "its times");
    assert!(time("exp").saturating_sub(time("iat")) <= 24 * 3_600, "good for too long");
}
