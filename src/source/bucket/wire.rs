//! What an object store answers, kept where a caller finds it.
//!
//! `object_store` wraps a failed answer in types that cannot be named, and its text holds the whole body. So a failed
//! answer is turned into an [`Answer`] here, below it, and found again in the chain of causes above it.

use std::{fmt, future::Future, pin::Pin};

use http_body_util::{BodyExt as _, Limited};
use object_store::client::{HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService};

/// An answer that is no success: its status, and the store's word for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Answer {
    /// The HTTP status.
    pub(in super::super) status: u16,
    /// Such as `SignatureDoesNotMatch`; empty if the store gave none.
    pub(in super::super) code: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "HTTP status {}", self.status)?;
        if self.code.is_empty() { Ok(()) } else { write!(out, ", {}", self.code) }
    }
}

impl std::error::Error for Answer {}

/// A client whose failed answers are errors.
#[derive(Debug)]
pub(in super::super) struct Wire(HttpClient);

impl Wire {
    /// Wraps a client.
    pub(in super::super) fn new(client: HttpClient) -> Self {
        Self(client)
    }
}

impl HttpService for Wire {
    // Written out as the `async_trait` macro would: the trait is made by it.
    fn call<'this, 'future>(
        &'this self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'future>>
    where
        'this: 'future,
        Self: 'future,
    {
        Box::pin(async move {
            // The metadata service's refusals mean something to the crate (another version of its protocol).
            let is_metadata = request.uri().host().is_some_and(|host| host.starts_with("169.254."));
            let response = self.0.execute(request).await?;
            let status = response.status();
            if is_metadata || !(status.is_client_error() || status.is_server_error()) {
                return Ok(response);
            }
            let body = Limited::new(response.into_body(), 64 * 1024).collect().await;
            let text = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
            Err(HttpError::new(HttpErrorKind::Unknown, Answer { status: status.as_u16(), code: code(&text) }))
        })
    }
}

/// The word between `<Code>` and `</Code>`, which S3, Google's XML and Azure all answer with.
fn code(text: &str) -> String {
    let word = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(word, _)| word);
    word.unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_word() {
        assert_eq!(code("<?xml?><Error><Code>NoSuchBucket</Code><Message>…"), "NoSuchBucket");
        assert_eq!(code("<Code>\u{1b}[31mNo</Code>"), "31mNo");
        assert_eq!(code("<html>"), "");
    }
}
