//! Who came, in numbers: tokens that were looked at, by the way that knew them.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// A way to know who sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The token file.
    File,
    /// An OIDC issuer.
    Oidc,
    /// Kubernetes.
    Kubernetes,
    /// None of them.
    None,
}

/// What came of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// It is somebody's.
    Known,
    /// It is nobody's.
    Refused,
    /// That could not be told.
    Unavailable,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    way: &'static str,
    outcome: &'static str,
}

/// The numbers.
#[derive(Debug, Default)]
pub(super) struct Callers(Family<Labels, Counter>);

impl Way {
    /// Its word in labels and in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "token-file",
            Self::Oidc => "oidc",
            Self::Kubernetes => "kubernetes",
            Self::None => "none",
        }
    }
}

impl Callers {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("authentications", "Tokens that were looked at", self.0.clone());
    }

    pub(super) fn met(&self, way: Way, met: Met) {
        let outcome = match met {
            Met::Known => "known",
            Met::Refused => "refused",
            Met::Unavailable => "unavailable",
        };
        self.0.get_or_create(&Labels { way: way.as_str(), outcome }).inc();
    }
}
