//! A client for a bucket, from the environment variables that each cloud's own tools read.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use object_store::{
    ClientConfigKey, CredentialProvider, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
};

use super::super::{BucketLocation, Cloud, client::Connector};

/// A client, and how to find out whether it has anything to identify itself with.
pub(super) struct Connection {
    /// The client.
    pub(super) store: Arc<dyn ObjectStore>,
    /// Set when the environment holds no credentials, so that only the machine's metadata service may have some.
    pub(super) ambient: Option<Ambient>,
}

/// Credentials that only the metadata service can give.
pub(super) struct Ambient {
    /// Asks for them.
    pub(super) ask: Box<dyn Fn() -> BoxFuture<'static, object_store::Result<()>> + Send + Sync>,
    /// What to set instead.
    pub(super) hint: &'static str,
}

impl Ambient {
    fn new<T: Send + Sync + 'static>(
        provider: &Arc<dyn CredentialProvider<Credential = T>>,
        hint: &'static str,
    ) -> Self {
        let provider = Arc::clone(provider);
        let ask = move || -> BoxFuture<'static, object_store::Result<()>> {
            let provider = Arc::clone(&provider);
            Box::pin(async move { provider.get_credential().await.map(drop) })
        };
        Self { ask: Box::new(ask), hint }
    }
}

/// Retries are made in one place, and not here: see `patience`.
fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

/// Whether a setting says yes.
fn is_on(value: Option<String>) -> bool {
    value.is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "on" | "yes" | "y"))
}

/// Whether an endpoint that the user wrote is plain http, which then is what they want.
fn is_plain(endpoint: Option<String>) -> bool {
    endpoint.is_some_and(|endpoint| endpoint.to_ascii_lowercase().starts_with("http://"))
}

/// Makes the client; no traffic yet.
pub(super) fn connect(location: &BucketLocation) -> object_store::Result<Connection> {
    match location.cloud {
        Cloud::S3 => amazon(&location.bucket),
        Cloud::Google => google(&location.bucket),
        Cloud::Azure => azure(&location.bucket),
    }
}

fn amazon(bucket: &str) -> object_store::Result<Connection> {
    use AmazonS3ConfigKey as Key;
    let mut builder =
        AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(no_retries()).with_http_connector(Connector);
    let has = |key| builder.get_config_value(&key).is_some();
    let is_known = has(Key::AccessKeyId)
        || has(Key::SecretAccessKey)
        || has(Key::WebIdentityTokenFile) && has(Key::RoleArn)
        || has(Key::ContainerCredentialsRelativeUri)
        || has(Key::ContainerCredentialsFullUri)
        || is_on(builder.get_config_value(&Key::SkipSignature));
    let endpoint = builder.get_config_value(&Key::S3Endpoint).or_else(|| builder.get_config_value(&Key::Endpoint));
    if is_plain(endpoint) {
        builder = builder.with_config(Key::Client(ClientConfigKey::AllowHttp), "true");
    }
    let store = builder.build()?;
    let hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the pod a role (IRSA, EKS Pod Identity), or \
                set AWS_SKIP_SIGNATURE=true for a public bucket";
    let ambient = (!is_known).then(|| Ambient::new(store.credentials(), hint));
    Ok(Connection { store: Arc::new(store), ambient })
}

fn google(bucket: &str) -> object_store::Result<Connection> {
    use GoogleConfigKey as Key;
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket)
        .with_retry(no_retries())
        .with_http_connector(Connector);
    let has = |key| builder.get_config_value(&key).is_some();
    let is_known = has(Key::ServiceAccount)
        || has(Key::ServiceAccountKey)
        || has(Key::ApplicationCredentials)
        || has(Key::BearerToken)
        || is_on(builder.get_config_value(&Key::SkipSignature));
    if is_plain(builder.get_config_value(&Key::BaseUrl)) {
        builder = builder.with_config(Key::Client(ClientConfigKey::AllowHttp), "true");
    }
    let store = builder.build()?;
    let hint = "set GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT to a key file, or use Workload Identity, \
                or set GOOGLE_SKIP_SIGNATURE=true for a public bucket";
    let ambient = (!is_known).then(|| Ambient::new(store.credentials(), hint));
    Ok(Connection { store: Arc::new(store), ambient })
}

fn azure(container: &str) -> object_store::Result<Connection> {
    use AzureConfigKey as Key;
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(container)
        .with_retry(no_retries())
        .with_http_connector(Connector);
    let has = |key| builder.get_config_value(&key).is_some();
    let is_known = has(Key::AccessKey)
        || has(Key::SasKey)
        || has(Key::Token)
        || has(Key::ClientId)
        || is_on(builder.get_config_value(&Key::UseEmulator))
        || is_on(builder.get_config_value(&Key::UseAzureCli))
        || is_on(builder.get_config_value(&Key::SkipSignature));
    if is_plain(builder.get_config_value(&Key::Endpoint)) {
        builder = builder.with_config(Key::Client(ClientConfigKey::AllowHttp), "true");
    }
    let store = builder.build()?;
    let hint = "set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_KEY, or use workload identity, or set \
                AZURE_SKIP_SIGNATURE=true for a public container";
    let ambient = (!is_known).then(|| Ambient::new(store.credentials(), hint));
    Ok(Connection { store: Arc::new(store), ambient })
}
