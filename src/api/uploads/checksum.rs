//! A piece whose sender says what its bytes must hash to: it is kept whole, or not at all.

use std::io::{self, Read};

use axum::http::HeaderMap;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha1::{Digest as _, Sha1};

use super::{
    super::{Problem, conditions::announced},
    tus::once,
};
use crate::digest::{Digest, Hasher};

/// What `Upload-Checksum` may be, for `Tus-Checksum-Algorithm`. The protocol wants SHA-1 of every server.
pub(super) const ALGORITHMS: &str = "sha256,sha1";

/// Other bytes came than were announced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Mismatch {
    /// By `Upload-Checksum`.
    #[error("the piece has another checksum than Upload-Checksum says: nothing of it was kept, send it again")]
    Checksum,
    /// By `Content-Digest`.
    #[error("the content has the digest {found}, not the announced {announced}")]
    Digest {
        /// What the header says.
        announced: Digest,
        /// What came.
        found: Digest,
    },
}

enum Hashing {
    Sha1(Box<Sha1>, [u8; 20]),
    Sha256(Box<Hasher>, Digest),
    /// As that, but announced by `Content-Digest`.
    Content(Box<Hasher>, Digest),
}

/// What a piece must hash to.
pub(super) struct Checksum(Hashing);

impl Checksum {
    /// The checksum that the headers announce.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(value) = once(headers, "upload-checksum")? else {
            let announced = announced(headers)?;
            return Ok(announced.map(|digest| Self(Hashing::Content(Box::default(), digest))));
        };
        let wrong = || {
            Problem::bad_request(format!("Upload-Checksum is ALGORITHM BASE64, and the algorithm one of {ALGORITHMS}"))
        };
        let (algorithm, sum) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(wrong)?;
        let sum = BASE64_STANDARD.decode(sum.trim()).map_err(|_| wrong())?;
        Ok(Some(Self(match algorithm {
            "sha1" => Hashing::Sha1(Box::default(), sum.try_into().map_err(|_| wrong())?),
            "sha256" => {
                let sum = <[u8; 32]>::try_from(sum).map_err(|_| wrong())?;
                Hashing::Sha256(Box::default(), sum.into())
            }
            _ => return Err(wrong()),
        })))
    }

    fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Hashing::Sha1(hasher, _) => hasher.update(bytes),
            Hashing::Sha256(hasher, _) | Hashing::Content(hasher, _) => hasher.update(bytes),
        }
    }

    fn check(self) -> Result<(), Mismatch> {
        let same = match self.0 {
            Hashing::Sha1(hasher, announced) => hasher.finalize() == announced,
            Hashing::Sha256(hasher, announced) => hasher.finish() == announced,
            Hashing::Content(hasher, announced) => {
                let found = hasher.finish();
                return if found == announced { Ok(()) } else { Err(Mismatch::Digest { announced, found }) };
            }
        };
        if same { Ok(()) } else { Err(Mismatch::Checksum) }
    }
}

/// A piece as it comes, which fails at its end when it is another.
pub(super) struct Checked<R> {
    inner: R,
    checksum: Option<Checksum>,
}

impl<R> Checked<R> {
    pub(super) fn new(inner: R, checksum: Option<Checksum>) -> Self {
        Self { inner, checksum }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(checksum) = &mut self.checksum {
            checksum.update(&buffer[..read]);
        }
        if read == 0 && !buffer.is_empty() {
            self.checksum.take().map_or(Ok(()), Checksum::check).map_err(io::Error::other)?;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_read_whole_or_fails() {
        let of = |value: &str| {
            let headers = [("upload-checksum".parse().expect("a name"), value.parse().expect("a value"))];
            Checksum::of(&headers.into_iter().collect())
        };
        let read = |value: &str| {
            let checksum = of(value).expect("it is well written");
            io::copy(&mut Checked::new(&b"abc"[..], checksum), &mut io::sink()).is_ok()
        };
        assert!(
            read("sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=") && read("sha256 ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=")
        );
        assert!(!read("sha1 rZk+NkcGgWq6PiVxeFDCbJzQ2J0="), "other bytes");
        for wrong in ["md5 kAFQmDzST7DWlj99KOF/cg==", "sha1", "sha1 !", "sha256 qZk+NkcGgWq6PiVxeFDCbJzQ2J0="] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
