//! Other programs that are told of a release that is live, or asked about one before it is made.
//!
//! A hook is an address or, where the image has one, a program. Both get the same JSON.

mod call;
mod hook;
mod message;
mod post;
mod pre;
mod program;

pub use hook::Hook;
pub use post::Post;
pub use pre::Pre;
