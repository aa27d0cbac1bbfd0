//! Callers whom an OIDC issuer vouches for, as GitHub Actions and GitLab do for each job: nobody has to store a secret.
//!
//! An issuer vouches for everybody it knows, which may be the whole world; so claims must be named that hold for the
//! callers that are meant. Everything that a token says is checked against what was set here: the algorithm comes from
//! the issuer's key, and keys come from the issuer's own address, never from what a token names.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::{Verdict, jwt::Claimed, name::name};
use crate::{
    api::rights::{Grant, Scopes},
    path::SitePath,
    telemetry::Way,
};

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod issuer;
mod key;
mod keys;

pub use issuer::Issuer;
use key::Key;
use keys::{Found, Keys};

/// How far the clocks of the issuer and of this machine may be apart, in seconds.
const LEEWAY: u64 = 60;
/// For how long a token may be good, in seconds: jobs take hours, not days.
const LONGEST: u64 = 24 * 3_600;
/// The longest name of a key that is looked for, in bytes.
const LONGEST_KEY_NAME: usize = 256;
/// The algorithms that are understood; which of them counts is said by the key.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// Whose tokens are good, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Who issues them.
    pub issuer: Issuer,
    /// Whom they must be for.
    pub audience: String,
    /// What else they must say; at least one.
    pub claims: Vec<Claim>,
    /// What their senders may do.
    pub scopes: Scopes,
    /// The folder that these do not reach out of.
    pub within: Option<SitePath>,
}

/// Something that a token must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub name: String,
    /// Its value; numbers and truths as they are written in JSON.
    pub value: String,
}

/// The callers of an issuer.
#[derive(Debug)]
pub struct Oidc {
    rules: Rules,
    keys: Arc<Keys>,
}

impl Oidc {
    /// Asks nobody yet: an issuer that is away must not keep the application beside us from starting.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(rules: Rules) -> Result<Self, reqwest::Error> {
        let client = rules.issuer.client()?;
        let issuer = rules.issuer.clone();
        let fetch = move || {
            let (issuer, client) = (issuer.clone(), client.clone());
            Box::pin(async move { issuer.fetch(&client).await }) as keys::Fetching
        };
        Ok(Self { rules, keys: Arc::new(Keys::new(Box::new(fetch), Box::new(Instant::now))) })
    }

    /// Whose token this is.
    pub(super) async fn check(&self, token: &str) -> Verdict {
        match Claimed::by(token) {
            Some(claimed) if claimed.issuer.as_deref() == Some(self.rules.issuer.as_str()) => {}
            _ => return Verdict::Nobody(None),
        }
        let name = match key_name(token) {
            Ok(name) => name,
            Err(why) => return Verdict::Nobody(Some(why)),
        };
        let key = match Arc::clone(&self.keys).find(name).await {
            Found::Key(key) => key,
            Found::Unknown => return Verdict::Nobody(Some("the issuer has no such key".to_owned())),
            Found::Away(after) => return Verdict::Away(after),
        };
        match self.prove(token, &key) {
            Ok(grant) => Verdict::Known(grant),
            Err(why) => Verdict::Nobody(Some(why)),
        }
    }

    fn prove(&self, token: &str, key: &Key) -> Result<Grant, String> {
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_issuer(&[self.rules.issuer.as_str()]);
        validation.set_audience(&[&self.rules.audience]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        let proven = decode::<Map<String, Value>>(token, &key.key, &validation).map_err(|error| error.to_string())?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        check_times(&proven.claims, now)?;
        for claim in &self.rules.claims {
            let said = proven.claims.get(&claim.name);
            if !said.is_some_and(|said| is_same(said, &claim.value)) {
                return Err(format!("its claim {} is another", claim.name));
            }
        }
        let subject = proven.claims.get("sub").and_then(Value::as_str).filter(|subject| !subject.is_empty());
        let subject = subject.ok_or("it has no subject")?;
        let Rules { scopes, within, .. } = &self.rules;
        Ok(Grant { name: name("oidc", subject), scopes: *scopes, within: within.clone(), way: Way::Oidc })
    }
}

/// The name of the key that a token says to be signed with.
fn key_name(token: &str) -> Result<String, String> {
    let header = decode_header(token).map_err(|error| error.to_string())?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err("its algorithm is none of those that are taken".to_owned());
    }
    // A key that the sender brings along proves nothing, and what must be understood is not.
    let brings = [header.jku.is_some(), header.jwk.is_some(), header.x5u.is_some(), header.x5c.is_some()];
    if brings.contains(&true) || header.crit.is_some() || header.enc.is_some() || header.zip.is_some() {
        return Err("its header has members that are not taken".to_owned());
    }
    let name = header.kid.filter(|name| (1..=LONGEST_KEY_NAME).contains(&name.len()));
    name.ok_or_else(|| "it names no key".to_owned())
}

/// What the library does not look at: when a token was issued, and for how long.
fn check_times(claims: &Map<String, Value>, now: u64) -> Result<(), String> {
    let time = |name| claims.get(name).and_then(Value::as_u64).ok_or_else(|| format!("it has no {name}"));
    let (issued, begins, ends) = (time("iat")?, time("nbf")?, time("exp")?);
    if issued > now.saturating_add(LEEWAY) {
        return Err("it is issued in the future".to_owned());
    }
    if ends.saturating_sub(issued.min(begins)) > LONGEST {
        return Err("it is good for too long".to_owned());
    }
    Ok(())
}

fn is_same(said: &Value, value: &str) -> bool {
    match said {
        Value::String(said) => said == value,
        // As JSON writes them.
        Value::Number(_) | Value::Bool(_) => format!("{said}") == value,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_of_the_future_or_of_many_days_is_refused() {
        let now = 1_800_000_000;
        let check = |iat: Value, nbf: Value, exp: Value| {
            let claims = json!({"iat": iat, "nbf": nbf, "exp": exp});
            check_times(claims.as_object().expect("an object"), now).is_ok()
        };
        assert!(check(json!(now), json!(now), json!(now + 600)));
        assert!(check(json!(now + LEEWAY), json!(now), json!(now + 600)));
        assert!(!check(json!(now + LEEWAY + 1), json!(now), json!(now + 600)));
        assert!(check(json!(now), json!(now), json!(now + LONGEST)));
        assert!(!check(json!(now), json!(now), json!(now + LONGEST + 1)));
        assert!(!check(json!(now), json!(now - 100), json!(now + LONGEST)));
        assert!(!check(json!(now), json!(now), json!(u64::MAX)));
        for odd in [json!(null), json!("1"), json!(-1), json!([now]), json!(1.5)] {
            assert!(!check(odd.clone(), json!(now), json!(now + 600)), "{odd}");
        }
    }

    #[test]
    fn a_claim_is_the_same_or_another() {
        assert!(is_same(&json!("74"), "74") && is_same(&json!(74), "74") && is_same(&json!(true), "true"));
        for other in [json!("740"), json!(7.4), json!(["74"]), json!({"74": 74}), json!(null), json!("")] {
            assert!(!is_same(&other, "74"), "{other}");
        }
    }
}
