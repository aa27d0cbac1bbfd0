//! One thing that can be asked of the door: how it is reached, by whom, what comes, what may be answered.

use std::sync::Arc;

use axum::{
    handler::Handler,
    http::Method,
    routing::{MethodFilter, MethodRouter, on},
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Required, Schema,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

use super::{App, problems::ProblemType, rights::Scope};

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody.
    Anybody,
    /// Whose token has the scope `read`; with `--public-read`, anybody.
    Reader,
    /// Whose token has this scope.
    Caller(Scope),
}

/// A method on a path, with all that is known about it.
pub(super) struct Operation {
    pub(super) method: Method,
    /// As OpenAPI writes it. `{path}` below `/site/` has slashes in it.
    pub(super) path: &'static str,
    pub(super) access: Access,
    /// Its name in the OpenAPI document.
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) parameters: Vec<Parameter>,
    pub(super) takes: Option<Content>,
    pub(super) answers: Vec<Answer>,
    pub(super) problems: Vec<ProblemType>,
    pub(super) methods: MethodRouter<Arc<App>>,
}

/// Bytes of some media types, or JSON of some shape.
#[derive(Clone)]
pub(super) struct Content {
    pub(super) media: &'static [&'static str],
    pub(super) shape: Shape,
    pub(super) required: bool,
}

/// How content looks.
#[derive(Clone)]
pub(super) enum Shape {
    /// Bytes.
    Bytes,
    /// JSON of a named type, with what that type needs.
    Named(String, Vec<(String, RefOr<Schema>)>),
}

/// An answer that is no problem.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) description: &'static str,
    pub(super) contents: Vec<Content>,
}

/// An operation that nothing is said about yet.
pub(super) fn operation<H, T>(method: Method, path: &'static str, access: Access, handler: H) -> Operation
where
    H: Handler<T, Arc<App>>,
    T: 'static,
{
    let filter = MethodFilter::try_from(method.clone()).expect("a standard method");
    Operation {
        methods: on(filter, handler),
        method,
        path,
        access,
        id: "",
        summary: "",
        parameters: Vec::new(),
        takes: None,
        answers: Vec::new(),
        problems: Vec::new(),
    }
}

impl Operation {
    pub(super) fn named(mut self, id: &'static str, summary: &'static str) -> Self {
        (self.id, self.summary) = (id, summary);
        self
    }

    pub(super) fn with(mut self, parameters: impl IntoIterator<Item = Parameter>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    pub(super) fn takes(mut self, content: Content) -> Self {
        self.takes = Some(content);
        self
    }

    pub(super) fn answers(
        mut self,
        status: u16,
        description: &'static str,
        contents: impl IntoIterator<Item = Content>,
    ) -> Self {
        self.answers.push(Answer { status, description, contents: contents.into_iter().collect() });
        self
    }

    pub(super) fn fails(mut self, problems: &[&[ProblemType]]) -> Self {
        self.problems.extend(problems.iter().copied().flatten());
        self
    }
}

/// Bytes of one of these media types.
pub(super) const fn bytes(media: &'static [&'static str]) -> Content {
    Content { media, shape: Shape::Bytes, required: true }
}

/// JSON of this type.
pub(super) fn json<T: ToSchema + PartialSchema>() -> Content {
    let mut needed = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut needed);
    Content { media: &["application/json"], shape: Shape::Named(T::name().into_owned(), needed), required: true }
}

impl Content {
    /// It may be left out.
    pub(super) const fn optional(mut self) -> Self {
        self.required = false;
        self
    }
}

/// A parameter of this type.
fn parameter<T: PartialSchema>(place: ParameterIn, name: &str, description: &str) -> Parameter {
    let required = if matches!(place, ParameterIn::Path) { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(description))
        .schema(Some(T::schema()))
        .build()
}

/// A part of the path.
pub(super) fn segment<T: PartialSchema>(name: &str, description: &str) -> Parameter {
    parameter::<T>(ParameterIn::Path, name, description)
}

/// A member of the query.
pub(super) fn query<T: PartialSchema>(name: &str, description: &str) -> Parameter {
    parameter::<T>(ParameterIn::Query, name, description)
}

/// A header of the request.
pub(super) fn header<T: PartialSchema>(name: &str, description: &str) -> Parameter {
    parameter::<T>(ParameterIn::Header, name, description)
}

/// A header that must be there.
pub(super) fn must<T: PartialSchema>(name: &str, description: &str) -> Parameter {
    let mut parameter = header::<T>(name, description);
    parameter.required = Required::True;
    parameter
}
