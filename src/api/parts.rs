//! The parts of a form, one after the other, out of a body that is read by blocking.

use std::{
    collections::BTreeSet,
    future::Future,
    io::{self, Read},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use axum::http::header;
use bytes::Bytes;
use futures_util::Stream;
use multer::{Field, Multipart};
use percent_encoding::percent_decode_str;

use super::Problem;
use crate::{depot, path::SitePath};

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;
/// Bytes between the content of one part and that of the next.
const MOST_BETWEEN: u64 = 64 * 1024;

/// The files of a form.
pub(super) struct Parts<'a> {
    form: Multipart<'a>,
    /// What may still be read before the next content.
    allowance: Arc<AtomicU64>,
    seen: BTreeSet<SitePath>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(content: &'a mut (dyn Read + Send), boundary: String) -> Self {
        let allowance = Arc::new(AtomicU64::new(0));
        let chunks = Chunks { content, allowance: allowance.clone(), is_due: true };
        Self { form: Multipart::new(chunks, boundary), allowance, seen: BTreeSet::new() }
    }

    /// The next file, and its path below `folder`.
    pub(super) fn next(&mut self, folder: Option<&SitePath>) -> Result<Option<(SitePath, Part<'a>)>, Problem> {
        self.allowance.store(MOST_BETWEEN, Ordering::Relaxed);
        let Some(field) = wait(self.form.next_field()).map_err(problem)? else { return Ok(None) };
        self.allowance.store(u64::MAX, Ordering::Relaxed);
        let field_name = field.name().unwrap_or_default().to_owned();
        let name = file_name(&field)?.ok_or_else(|| {
            Problem::bad_request(format!(
                "the part {field_name:?} has no file name: send each file in a part of its own, as `-F 'a=@FILE'` does"
            ))
        })?;
        let path: SitePath = name.parse().map_err(|error| Problem::bad_path(&format!("{name:?}: {error}")))?;
        let path = folder.map_or_else(|| Ok(path.clone()), |folder| folder.join(&path));
        let path = path.map_err(|error| Problem::bad_path(&format!("{name:?}: {error}")))?;
        if !self.seen.insert(path.clone()) {
            return Err(Problem::bad_request(format!("{name:?} is there twice")));
        }
        Ok(Some((path, Part { field, chunk: Bytes::new(), failure: None })))
    }
}

/// The file name of a part: the extended one (RFC 5987), or the plain one as browsers and curl write it, with `%22` for a
/// quote (and no other escapes).
fn file_name(field: &Field<'_>) -> Result<Option<String>, Problem> {
    let value = field.headers().get(header::CONTENT_DISPOSITION).map(|value| value.as_bytes());
    let value = value.map(std::str::from_utf8).transpose();
    let value = value.map_err(|_| Problem::bad_path("a file name is not UTF-8"))?.unwrap_or_default();
    let (mut plain, mut extended) = (None, None);
    for (name, value) in parameters(value) {
        let place = match &*name {
            "filename" => &mut plain,
            "filename*" => &mut extended,
            _ => continue,
        };
        if place.replace(value).is_some() {
            return Err(Problem::bad_request("a part has two file names"));
        }
    }
    if let Some(extended) = extended {
        let name = extended.split_once('\'').and_then(|(charset, rest)| {
            let (_, name) = rest.split_once('\'')?;
            charset.eq_ignore_ascii_case("utf-8").then_some(name)
        });
        let name = name.and_then(|name| percent_decode_str(name).decode_utf8().ok());
        return match name {
            Some(name) => Ok(Some(name.into_owned())),
            None => Err(Problem::bad_path("filename* is not UTF-8''NAME (RFC 5987)")),
        };
    }
    match plain {
        Some(name) if name.starts_with("=?") && name.ends_with("?=") => {
            Err(Problem::bad_path("a file name is encoded as in mail (RFC 2047): send it in UTF-8, as it is"))
        }
        plain => Ok(plain.map(|name| name.replace("%22", "\""))),
    }
}

/// The parameters behind the first semicolon. In quotes a backslash stands for itself unless a quote follows: browsers
/// never meant it as an escape.
fn parameters(value: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = value.split_once(';').map_or("", |(_, rest)| rest);
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim().trim_start_matches(';').trim().to_ascii_lowercase();
        let (text, left) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => {
                let (mut text, mut chars) = (String::new(), quoted.char_indices().peekable());
                let mut end = quoted.len();
                while let Some((at, char)) = chars.next() {
                    match char {
                        '\\' if matches!(chars.peek(), Some((_, '"'))) => {
                            text.extend(chars.next().map(|(_, quote)| quote))
                        }
                        '"' => {
                            end = at + 1;
                            break;
                        }
                        other => text.push(other),
                    }
                }
                (text, quoted[end..].split_once(';').map_or("", |(_, left)| left))
            }
            None => {
                let (text, left) = after.split_once(';').unwrap_or((after, ""));
                (text.trim().to_owned(), left)
            }
        };
        found.push((name, text));
        rest = left;
    }
    found
}

/// The bytes of one file.
pub(super) struct Part<'a> {
    field: Field<'a>,
    chunk: Bytes,
    failure: Option<Problem>,
}

impl Part<'_> {
    /// Why reading failed.
    pub(super) fn take_failure(&mut self) -> Option<Problem> {
        self.failure.take()
    }
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match wait(self.field.chunk()) {
                Ok(Some(chunk)) => self.chunk = chunk,
                Ok(None) => return Ok(0),
                Err(error) => {
                    self.failure = Some(problem(error));
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
        let count = buffer.len().min(self.chunk.len());
        buffer[..count].copy_from_slice(&self.chunk.split_to(count));
        Ok(count)
    }
}

/// The body as a stream that blocks. It is not ready after each chunk: whoever polls it would otherwise take all of it
/// into memory before it looks at the first.
struct Chunks<'a> {
    content: &'a mut (dyn Read + Send),
    allowance: Arc<AtomicU64>,
    is_due: bool,
}

impl Stream for Chunks<'_> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.is_due = !self.is_due;
        if self.is_due {
            return Poll::Pending;
        }
        let left = self.allowance.load(Ordering::Relaxed);
        if left == 0 {
            return Poll::Ready(Some(Err(io::ErrorKind::FileTooLarge.into())));
        }
        let mut chunk = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
        let read = loop {
            match self.content.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        Poll::Ready(match read {
            Ok(0) => None,
            Ok(count) => {
                if left != u64::MAX {
                    self.allowance.store(left - count as u64, Ordering::Relaxed);
                }
                chunk.truncate(count);
                Some(Ok(chunk.into()))
            }
            Err(error) => Some(Err(error)),
        })
    }
}

/// Waits for what only ever waits for [`Chunks`], which blocks by itself.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let (mut future, mut context) = (pin!(future), Context::from_waker(Waker::noop()));
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
    }
}

fn problem(error: multer::Error) -> Problem {
    use multer::Error as E;
    match error {
        E::StreamReadFailed(source) => match source.downcast::<io::Error>() {
            Ok(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Problem::bad_request(format!("more than {MOST_BETWEEN} bytes stand before the content of a part"))
            }
            Ok(error) => depot::Error::Content(*error).into(),
            Err(source) => depot::Error::Content(io::Error::other(source)).into(),
        },
        E::IncompleteFieldData { .. } | E::IncompleteHeaders | E::IncompleteStream => {
            depot::Error::Content(io::Error::new(io::ErrorKind::UnexpectedEof, error)).into()
        }
        other => Problem::bad_request(format!("the form is not well made: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_browsers_and_curl_write_them() {
        let of = |value: &str| parameters(value).into_iter().find(|(name, _)| name == "filename").map(|(_, text)| text);
        assert_eq!(of(r#"form-data; name="a; filename=x"; filename="b;=c.txt""#).as_deref(), Some("b;=c.txt"));
        assert_eq!(of(r#"form-data; name="a"; filename="q\"q.txt"; x=y"#).as_deref(), Some("q\"q.txt"));
        assert_eq!(of(r#"form-data; name="a"; filename="C:\x\y.txt""#).as_deref(), Some(r"C:\x\y.txt"));
        assert_eq!(of("form-data; FileName=plain.txt").as_deref(), Some("plain.txt"));
        assert_eq!(of("form-data; name=a"), None);
        assert_eq!(of(r#"form-data; filename="open"#).as_deref(), Some("open"));
    }
}
