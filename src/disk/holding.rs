//! Reading in order to tell damage, where damage is an answer and no failure.

use super::Error;

/// What is found under a name that promises its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holding<T> {
    /// What was promised.
    Whole(T),
    /// Nothing.
    Missing,
    /// Something else, or nothing that can be read: in what way.
    Damaged(String),
}

impl<T> Holding<T> {
    /// The same of what `of` makes of it.
    pub fn map<U>(self, of: impl FnOnce(T) -> U) -> Holding<U> {
        match self {
            Self::Whole(there) => Holding::Whole(of(there)),
            Self::Missing => Holding::Missing,
            Self::Damaged(why) => Holding::Damaged(why),
        }
    }
}

/// Sorts a failed reading: what says nothing of the content stays an error.
pub fn held<T>(read: Result<T, Error>) -> Result<Holding<T>, Error> {
    match super::if_path(read) {
        Ok(Some(there)) => Ok(Holding::Whole(there)),
        Ok(None) => Ok(Holding::Missing),
        Err(error) if error.is_denied() || error.is_shortage() => Err(error),
        Err(error) => Ok(Holding::Damaged(format!("it cannot be read: {}", error.source))),
    }
}
