//! The questions to the API server, and what its answers mean.

use std::{
    env, fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail, ensure};
use http_body_util::{BodyExt as _, Limited};
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo},
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus},
};
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::{Serialize, de::DeserializeOwned};
use tracing::{instrument::WithSubscriber as _, subscriber::NoSubscriber};

use super::{
    Rules,
    accounts::{GROUP, RESOURCE, verb},
    answers::{Answer, Asking},
};
use crate::{api::rights::Scope, source};

/// Time for a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Time in which something must come.
const ANSWER: Duration = Duration::from_secs(5);
/// The largest answer, in bytes.
const LARGEST: usize = 1 << 20;
/// Where whose token is asked.
const TOKENS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
/// Where what somebody may do is asked.
const ACCESS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// Whoever asks.
pub(super) struct Reviews {
    client: Client,
    namespace: String,
    rules: Rules,
    /// Whether the last question had no answer: said once.
    is_away: AtomicBool,
}

impl Reviews {
    /// `KUBECONFIG` first, which somebody has set on purpose; never a file that happens to lie in a home.
    pub(super) async fn new(rules: Rules) -> anyhow::Result<Self> {
        source::provide_cryptography();
        let mut config = match env::var_os("KUBECONFIG") {
            Some(file) => {
                let read = Kubeconfig::read_from(Path::new(&file)).context("KUBECONFIG")?;
                Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.context("KUBECONFIG")?
            }
            None => Config::incluster().context("this is no Pod with a service account")?,
        };
        config.connect_timeout = Some(CONNECT);
        (config.read_timeout, config.write_timeout) = (Some(ANSWER), Some(ANSWER));
        // Whoever asks us comes again; a question that is repeated meanwhile only loads a server that is in trouble.
        config.default_retry = false;
        let namespace = config.default_namespace.trim().to_owned();
        Ok(Self { client: Client::try_from(config)?, namespace, rules, is_away: AtomicBool::new(false) })
    }

    /// Whether whoever sends this token may do what takes `scope`.
    pub(super) fn review(self: Arc<Self>, token: String, scope: Scope) -> Asking {
        Box::pin(async move {
            match self.ask(&token, scope).await {
                Ok(answer) => {
                    if self.is_away.swap(false, Relaxed) {
                        tracing::info!("the Kubernetes API server answers again");
                    }
                    answer
                }
                Err(error) => {
                    if !self.is_away.swap(true, Relaxed) {
                        tracing::warn!(why = format!("{error:#}"), "the Kubernetes API server cannot be asked");
                    }
                    Answer::Away
                }
            }
        })
    }

    async fn ask(&self, token: &str, scope: Scope) -> anyhow::Result<Answer> {
        let audiences = Some(vec![self.rules.audience.clone()]);
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences };
        let review: TokenReview = self.post(TOKENS, &TokenReview { spec, ..TokenReview::default() }).await?;
        let user = match identify(review.status, &self.rules.audience) {
            Ok(user) => user,
            Err(why) => return Ok(Answer::Nobody(why)),
        };
        let name = user.username.clone().unwrap_or_default();
        // Who may administrate may do all of the rest, as with other tokens.
        let verbs = [Some(verb(scope)), (scope != Scope::Admin).then_some(verb(Scope::Admin))];
        for verb in verbs.into_iter().flatten() {
            if self.may(&user, verb).await? {
                return Ok(Answer::May(name));
            }
        }
        Ok(Answer::MayNot(name))
    }

    async fn may(&self, user: &UserInfo, verb: &str) -> anyhow::Result<bool> {
        let UserInfo { username, groups, uid, extra } = user.clone();
        let attributes = ResourceAttributes {
            group: Some(GROUP.to_owned()),
            resource: Some(RESOURCE.to_owned()),
            name: Some(self.rules.site.clone()),
            namespace: Some(self.namespace.clone()),
            verb: Some(verb.to_owned()),
            ..ResourceAttributes::default()
        };
        let resource_attributes = Some(attributes);
        let spec =
            SubjectAccessReviewSpec { user: username, groups, uid, extra, resource_attributes, ..Default::default() };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let review: SubjectAccessReview = self.post(ACCESS, &review).await?;
        let status = review.status.context("a SubjectAccessReview without a status")?;
        if let Some(why) = &status.evaluation_error {
            tracing::debug!(why, "the API server is not sure what a caller may do");
        }
        Ok(is_allowed(&status))
    }

    /// Sends a question. Read here, and not by the client's own ways: those would log an answer that they do not
    /// understand, which has the token in it.
    async fn post<T: Serialize + DeserializeOwned>(&self, path: &str, question: &T) -> anyhow::Result<T> {
        let request = axum::http::Request::post(path)
            .header("content-type", "application/json")
            .body(Body::from(serde_json::to_vec(question)?))?;
        let answer = self.client.send(request).with_subscriber(NoSubscriber::default()).await;
        let answer = answer.with_context(|| format!("{path}: no answer"))?;
        let status = answer.status();
        if !status.is_success() {
            let hint = if status.as_u16() == 403 { ": may our own account ask? See docs/auth.md" } else { "" };
            bail!("{path}: {status}{hint}");
        }
        let body = Limited::new(answer.into_body(), LARGEST).collect().await.map_err(|error| anyhow!(error))?;
        let answer = serde_json::from_slice(&body.to_bytes());
        // The error of the library may have parts of what it read.
        ensure!(answer.is_ok(), "{path}: the answer is not a review");
        Ok(answer?)
    }
}

/// Whose the token is.
fn identify(status: Option<TokenReviewStatus>, audience: &str) -> Result<UserInfo, String> {
    let status = status.ok_or("the review has no status")?;
    if let Some(error) = status.error.filter(|error| !error.is_empty()) {
        // Not word for word: it may have the token in it.
        return Err(format!("the review has an error of {} bytes", error.len()));
    }
    if status.authenticated != Some(true) {
        return Err("the cluster does not know it".to_owned());
    }
    // An API server that does not look at audiences leaves them out, and lets tokens in that are for others.
    if !status.audiences.is_some_and(|audiences| audiences.iter().any(|each| each == audience)) {
        return Err("it is not for us".to_owned());
    }
    let user = status.user.filter(|user| user.username.as_ref().is_some_and(|name| !name.is_empty()));
    user.ok_or_else(|| "the review names no user".to_owned())
}

const fn is_allowed(status: &SubjectAccessReviewStatus) -> bool {
    status.allowed && !matches!(status.denied, Some(true))
}

impl fmt::Debug for Reviews {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Reviews").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(audiences: &[&str]) -> TokenReviewStatus {
        TokenReviewStatus {
            audiences: Some(audiences.iter().map(|each| (*each).to_owned()).collect()),
            authenticated: Some(true),
            error: None,
            user: Some(UserInfo { username: Some("system:serviceaccount:a:b".to_owned()), ..UserInfo::default() }),
        }
    }

    #[test]
    fn only_a_review_that_says_all_of_it_lets_somebody_in() {
        let is_in = |status: TokenReviewStatus| identify(Some(status), "longshore").is_ok();
        assert!(is_in(status(&["longshore"])) && is_in(status(&["other", "longshore"])));
        assert!(!is_in(status(&["other"])) && !is_in(status(&[])) && identify(None, "longshore").is_err());
        assert!(!is_in(TokenReviewStatus { audiences: None, ..status(&[]) }));
        assert!(!is_in(TokenReviewStatus { authenticated: Some(false), ..status(&["longshore"]) }));
        assert!(!is_in(TokenReviewStatus { authenticated: None, ..status(&["longshore"]) }));
        assert!(!is_in(TokenReviewStatus { error: Some("odd".to_owned()), ..status(&["longshore"]) }));
        assert!(!is_in(TokenReviewStatus { user: None, ..status(&["longshore"]) }));
        assert!(!is_in(TokenReviewStatus { user: Some(UserInfo::default()), ..status(&["longshore"]) }));
    }

    #[test]
    fn a_denial_wins() {
        let of = |allowed, denied| {
            is_allowed(&SubjectAccessReviewStatus { allowed, denied, ..SubjectAccessReviewStatus::default() })
        };
        assert!(of(true, None) && of(true, Some(false)));
        assert!(!of(true, Some(true)) && !of(false, None) && !of(false, Some(false)));
    }
}
