//! Callers whom a Kubernetes cluster knows: a service account's token, made for us, and a role that lets it do what it asks.
//!
//! The API server is asked twice: whose the token is (TokenReview), and whether that account may do this here
//! (SubjectAccessReview). What it says is kept for a minute at most: so long may a token that was taken back still be good.

#[cfg(not(feature = "kubernetes"))]
mod absent;
#[cfg(feature = "kubernetes")]
mod accounts;
#[cfg(feature = "kubernetes")]
mod answers;
#[cfg(feature = "kubernetes")]
mod reviews;

#[cfg(not(feature = "kubernetes"))]
pub use absent::Kubernetes;
#[cfg(feature = "kubernetes")]
pub use accounts::Kubernetes;

/// For whom tokens are good, and what roles are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Whom tokens must be for.
    pub audience: String,
    /// The name of the site in roles.
    pub site: String,
}
