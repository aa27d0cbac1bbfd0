//! Callers whom a Kubernetes cluster knows: a service account's token, made for us, and a role that lets it do what it asks.
//!
//! The API server is asked twice: whose the token is (TokenReview), and whether that account may do this here
//! (SubjectAccessReview). What it says is kept for a minute at most: so long may a token that was taken back still be good.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{Verdict, jwt::Claimed, name::name};
use crate::{
    api::rights::{Grant, Scope, Scopes},
    telemetry::Way,
};

mod answers;
#[cfg(feature = "kubernetes")]
mod reviews;

use answers::{Answer, Answers};

/// How far the clocks of the cluster and of this machine may be apart, in seconds.
const LEEWAY: u64 = 60;
/// The group of the resource that roles name.
pub const GROUP: &str = "longshore.dev";
/// That resource; nobody has to define it.
pub const RESOURCE: &str = "sites";

/// For whom tokens are good, and what roles are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Whom tokens must be for.
    pub audience: String,
    /// The name of the site in roles.
    pub site: String,
}

/// The callers of a cluster.
#[derive(Debug)]
pub struct Kubernetes {
    rules: Rules,
    reviewer: Arc<dyn Reviewer>,
    answers: Answers,
}

/// Who is asked.
#[cfg_attr(not(feature = "kubernetes"), expect(dead_code, reason = "without Kubernetes nobody is asked"))]
trait Reviewer: std::fmt::Debug + Send + Sync {
    /// Whether whoever sends this token may do what takes `scope`.
    fn review(self: Arc<Self>, token: String, scope: Scope) -> answers::Asking;
}

impl Kubernetes {
    /// Reads where the API server is; asks it nothing yet.
    ///
    /// # Errors
    /// When this is no Pod with a service account, and `KUBECONFIG` names no other cluster.
    #[cfg(feature = "kubernetes")]
    pub async fn new(rules: Rules) -> anyhow::Result<Self> {
        let reviewer = Arc::new(reviews::Reviews::new(rules.clone()).await?);
        Ok(Self { rules, reviewer, answers: Answers::new(Box::new(Instant::now)) })
    }

    /// Without the feature there is none.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "kubernetes"))]
    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub async fn new(_: Rules) -> anyhow::Result<Self> {
        anyhow::bail!("this program was built without the feature `kubernetes`")
    }

    /// Whose token this is, and whether they may do what takes `scope`.
    pub(super) async fn check(&self, token: &str, scope: Scope) -> Verdict {
        // Tokens that are not even said to be for us are nobody else's to see, and asked about by nobody.
        let claimed = match Claimed::by(token) {
            Some(claimed) if claimed.audiences.contains(&self.rules.audience) => claimed,
            _ => return Verdict::Nobody(None),
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if claimed.expires.is_some_and(|end| end.saturating_add(LEEWAY) < now) {
            return Verdict::Nobody(Some("it has expired".to_owned()));
        }
        let reviewer = Arc::clone(&self.reviewer);
        let asked = self.answers.get(token, scope, || reviewer.review(token.to_owned(), scope)).await;
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
#[cfg(feature = "kubernetes")]
const fn verb(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "get",
        Scope::Upload => "update",
        Scope::Rollback => "rollback",
        Scope::Admin => "admin",
    }
}
