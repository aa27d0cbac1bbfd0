//! No callers, in a program that was built without Kubernetes; the settings refuse to name them.

use super::Rules;
use crate::api::{identity::Verdict, rights::Scope};

/// There is none.
#[derive(Debug)]
pub enum Kubernetes {}

impl Kubernetes {
    /// Makes none.
    ///
    /// # Errors
    /// Always.
    pub async fn new(_: Rules) -> anyhow::Result<Self> {
        anyhow::bail!("this program was built without the feature `kubernetes`")
    }

    pub(in crate::api) async fn check(&self, _: &str, _: Scope) -> Verdict {
        match *self {}
    }
}
