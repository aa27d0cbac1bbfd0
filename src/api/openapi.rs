//! `/openapi.json`: the table of routes as an OpenAPI document.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::{
    body::Bytes,
    http::{Method, header},
    response::{IntoResponse as _, Response},
};
use utoipa::openapi::{
    self, ComponentsBuilder, Content as Media, HttpMethod, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder,
    PathItem, Paths, Ref, RefOr, Required, Schema, SecurityRequirement,
    path::OperationBuilder,
    request_body::RequestBodyBuilder,
    response::{ResponseBuilder, ResponsesBuilder},
    schema::{ObjectBuilder, Type},
    security::{Http, HttpAuthScheme, SecurityScheme},
};

use super::{
    operation::{Access, Content, Operation, Shape},
    problems::ProblemType,
    rights::Scope,
    routes,
};

/// Its name of the token in `Authorization`.
const BEARER: &str = "bearer";
/// Its name of the shape of a problem.
const PROBLEM: &str = "Problem";

/// `GET /openapi.json`.
pub(super) async fn get() -> Response {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| text().into());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.clone()).into_response()
}

/// The document, as people read it.
fn text() -> String {
    let mut text = document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

fn document() -> OpenApi {
    let (mut paths, mut schemas) = (Paths::new(), BTreeMap::new());
    schemas.insert(PROBLEM.to_owned(), problem());
    for operation in routes::table() {
        let Some(method) = method(&operation.method) else { continue };
        let described = describe(&operation, &mut schemas);
        match paths.paths.get_mut(operation.path) {
            Some(item) => item.merge_operations(PathItem::new(method, described)),
            None => drop(paths.paths.insert(operation.path.into(), PathItem::new(method, described))),
        }
    }
    let token = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of --token-file, or of --auth. Not needed with --no-auth, on a loopback address."))
        .build();
    let license = LicenseBuilder::new().name(env!("CARGO_PKG_LICENSE")).identifier(Some(env!("CARGO_PKG_LICENSE")));
    let info = InfoBuilder::new()
        .title("Longshore")
        .description(Some("Takes uploads to a Kubernetes volume, publishes them at once, and goes back."))
        .version(env!("CARGO_PKG_VERSION"))
        .license(Some(license.build()));
    let components =
        ComponentsBuilder::new().schemas_from_iter(schemas).security_scheme(BEARER, SecurityScheme::Http(token));
    OpenApiBuilder::new().info(info.build()).paths(paths).components(Some(components.build())).build()
}

fn method(method: &Method) -> Option<HttpMethod> {
    Some(match *method {
        Method::GET => HttpMethod::Get,
        Method::HEAD => HttpMethod::Head,
        Method::PUT => HttpMethod::Put,
        Method::POST => HttpMethod::Post,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        Method::OPTIONS => HttpMethod::Options,
        _ => return None,
    })
}

fn describe(operation: &Operation, schemas: &mut BTreeMap<String, RefOr<Schema>>) -> openapi::path::Operation {
    let mut described = OperationBuilder::new()
        .operation_id(Some(operation.id))
        .summary(Some(operation.summary))
        .parameters(Some(operation.parameters.clone()));
    if let Some(content) = &operation.takes {
        let required = if content.required { Required::True } else { Required::False };
        let mut body = RequestBodyBuilder::new().required(Some(required));
        for (media, shape) in media(content, schemas) {
            body = body.content(media, shape);
        }
        described = described.request_body(Some(body.build()));
    }
    let mut responses = ResponsesBuilder::new();
    for answer in &operation.answers {
        let mut response = ResponseBuilder::new().description(answer.description);
        for (media, shape) in answer.contents.iter().flat_map(|content| media(content, schemas)) {
            response = response.content(media, shape);
        }
        responses = responses.response(answer.status.to_string(), response);
    }
    let mut by_status: BTreeMap<u16, Vec<ProblemType>> = BTreeMap::new();
    for problem in &operation.problems {
        let types = by_status.entry(problem.status().as_u16()).or_default();
        if !types.contains(problem) {
            types.push(*problem);
        }
    }
    for (status, types) in by_status {
        let lines: Vec<String> = types.iter().map(|each| format!("`{}`: {}", each.uri(), each.title())).collect();
        let mut response = ResponseBuilder::new().description(lines.join("; "));
        // The answer to HEAD has no body (RFC 9110, section 9.3.2).
        if operation.method != Method::HEAD {
            response = response.content("application/problem+json", Media::new(Some(Ref::from_schema_name(PROBLEM))));
        }
        responses = responses.response(status.to_string(), response);
    }
    match operation.access {
        // Either: `--public-read` decides.
        Access::Reader => {
            described = described.securities(Some([token(Scope::Read), SecurityRequirement::default()]));
        }
        Access::Caller(scope) => described = described.security(token(scope)),
        Access::Anybody => described = described.securities(Some([])),
    }
    described.responses(responses.build()).build()
}

/// A token with this scope: OpenAPI 3.1, section 4.8.30, calls it a role.
fn token(scope: Scope) -> SecurityRequirement {
    SecurityRequirement::new(BEARER, [scope.as_str()])
}

fn media(content: &Content, schemas: &mut BTreeMap<String, RefOr<Schema>>) -> Vec<(&'static str, Media)> {
    let shape = match &content.shape {
        // OpenAPI 3.1, section 4.8.14.1: bytes have no schema.
        Shape::Bytes => None,
        Shape::Named(name, needed) => {
            schemas.extend(needed.iter().cloned());
            Some(Ref::from_schema_name(name))
        }
    };
    content.media.iter().map(|media| (*media, Media::new(shape.clone()))).collect()
}

/// What every problem looks like (RFC 9457).
fn problem() -> RefOr<Schema> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let types = ProblemType::ALL.iter().map(|each| each.uri());
    ObjectBuilder::new()
        .property("type", text().enum_values(Some(types)).description(Some("Stable: for programs")))
        .property("title", text().description(Some("The same for every problem of the type")))
        .property("status", ObjectBuilder::new().schema_type(Type::Integer))
        .property("detail", text().description(Some("What went wrong here, and the way out: for people")))
        .required("type")
        .required("title")
        .required("status")
        .required("detail")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the document is committed, for clients that are made from it.
    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

    #[test]
    fn the_committed_document_is_the_one_that_is_served() {
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(COMMITTED, text()).expect("it is written");
        }
        let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
        assert!(committed == text(), "docs/openapi.json is old: `make openapi` writes it anew");
    }

    #[test]
    fn every_operation_is_told_apart_and_explained() {
        let mut ids: Vec<&str> = Vec::new();
        for operation in routes::table() {
            let Operation { id, summary, answers, problems, .. } = &operation;
            assert!(!id.is_empty() && !ids.contains(id), "{} {}: {id:?}", operation.method, operation.path);
            assert!(!summary.is_empty() && !answers.is_empty(), "{id} is not explained");
            assert_eq!(operation.access != Access::Anybody, problems.contains(&ProblemType::Unauthorized), "{id}");
            ids.push(operation.id);
        }
    }

    #[test]
    fn no_type_of_problem_is_told_of_by_no_operation() {
        let told: Vec<ProblemType> = routes::table().iter().flat_map(|operation| operation.problems.clone()).collect();
        let everywhere = [ProblemType::NoSuchRoute, ProblemType::MethodNotAllowed];
        let never = ProblemType::ALL.iter().filter(|each| !told.contains(each) && !everywhere.contains(each));
        assert_eq!(never.collect::<Vec<_>>(), [] as [&ProblemType; 0]);
    }
}
