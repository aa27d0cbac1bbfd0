//! Whoever has a token for us.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{
    Rules,
    answers::{self, Answer, Answers},
    reviews::Reviews,
};
use crate::{
    api::{
        identity::{Verdict, jwt::Claimed, name::name},
        rights::{Grant, Scope, Scopes},
    },
    telemetry::Way,
};

/// How far the clocks of the cluster and of this machine may be apart, in seconds.
const LEEWAY: u64 = 60;
/// The group of the resource that roles name.
pub(super) const GROUP: &str = "longshore.dev";
/// That resource; nobody has to define it.
pub(super) const RESOURCE: &str = "sites";

/// The callers of a cluster.
#[derive(Debug)]
pub struct Kubernetes {
    rules: Rules,
    reviews: Arc<Reviews>,
    answers: Answers,
}

impl Kubernetes {
    /// Reads where the API server is; asks it nothing yet.
    ///
    /// # Errors
    /// When this is no Pod with a service account, and `KUBECONFIG` names no other cluster.
    pub async fn new(rules: Rules) -> anyhow::Result<Self> {
        let reviews = Arc::new(Reviews::new(rules.clone()).await?);
        Ok(Self { rules, reviews, answers: Answers::new(Box::new(Instant::now)) })
    }

    /// Whose token this is, and whether they may do what takes `scope`.
    pub(in crate::api) async fn check(&self, token: &str, scope: Scope) -> Verdict {
        // Tokens that are not even said to be for us are nobody else's to see, and asked about by nobody.
        let claimed = match Claimed::by(token) {
            Some(claimed) if claimed.audiences.contains(&self.rules.audience) => claimed,
            _ => return Verdict::Nobody(None),
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if claimed.expires.is_some_and(|end| end.saturating_add(LEEWAY) < now) {
            return Verdict::Nobody(Some("it has expired".to_owned()));
        }
        let reviews = Arc::clone(&self.reviews);
        let asked = self.answers.get(token, scope, || reviews.review(token.to_owned(), scope)).await;
        let grant =
            |user: &str, scopes| Grant { name: name("kubernetes", user), scopes, within: None, way: Way::Kubernetes };
        match asked {
            Answer::May(user) => Verdict::Known(grant(&user, Scopes::NONE.and(scope))),
            Answer::MayNot(user) => Verdict::Known(grant(&user, Scopes::NONE)),
            Answer::Nobody(why) => Verdict::Nobody(Some(why)),
            Answer::Away => Verdict::Away(answers::AWAY),
        }
    }
}

/// What a role allows for `scope`, as a verb.
pub(super) const fn verb(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "get",
        Scope::Upload => "update",
        Scope::Rollback => "rollback",
        Scope::Admin => "admin",
    }
}
