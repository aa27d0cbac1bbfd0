//! The records of a PAX extended header (POSIX.1-2024, `pax`, "pax Extended Header").
//!
//! Read strictly: whatever two programs could understand differently, nobody needs. A record is `length key=value\n`, its
//! length counts itself, and together they fill the header exactly.

/// What an extended header says that matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    /// The next entry's name.
    pub(super) path: Option<Vec<u8>>,
    /// The next entry's size in bytes.
    pub(super) size: Option<u64>,
}

impl Pax {
    /// Reads the records; otherwise why they are refused.
    pub(super) fn parse(mut records: &[u8]) -> Result<Self, &'static str> {
        let mut pax = Self::default();
        while !records.is_empty() {
            let (key, value, rest) = record(records).ok_or("has a malformed PAX record")?;
            records = rest;
            match key {
                b"path" if pax.path.is_some() => return Err("has two PAX paths"),
                b"size" if pax.size.is_some() => return Err("has two PAX sizes"),
                // An empty value takes back what a global header said, and none of those may say this.
                b"path" if value.is_empty() => return Err("has an empty PAX path"),
                b"path" => pax.path = Some(value.into()),
                b"size" => pax.size = Some(number(value).ok_or("has a PAX size that is no number")?),
                _ if key.starts_with(b"GNU.sparse.") => return Err("is a sparse file: those are not taken"),
                _ => {}
            }
        }
        Ok(pax)
    }
}

/// The first record's key and value, and the records after it.
fn record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(number(&records[..space])?).ok()?;
    let (record, rest) = records.split_at_checked(length)?;
    let text = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = text.iter().position(|byte| *byte == b'=')?;
    (equals > 0).then(|| (&text[..equals], &text[equals + 1..], rest))
}

/// Decimal digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.iter().all(u8::is_ascii_digit) { std::str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_records() {
        let pax = Pax::parse(b"19 path=b\xc3\xbc/x.html\n12 size=123\n17 comment=a=b\nc\n");
        assert_eq!(pax, Ok(Pax { path: Some("bü/x.html".into()), size: Some(123) }));
        assert_eq!(Pax::parse(b""), Ok(Pax::default()));
    }

    #[test]
    fn refuses_what_could_be_understood_differently() {
        Pax::parse(b"9 path=a\n").expect("the others are this one, changed");
        let texts: [&[u8]; 13] = [
            b"11 path=a\n",
            b"8 path=a\n",
            b"9 path=a",
            b"9 path=a\n\n",
            b"\n9 path=a\n",
            b"9 path=a\0",
            b"+9 path=a\n",
            b"9 path=a\n9 path=b\n",
            b"8 path=\n",
            b"10 size=-1\n",
            b"8 size=\n",
            b"99999999999999999999 path=a\n",
            b"22 GNU.sparse.major=1\n",
        ];
        for text in texts {
            Pax::parse(text).expect_err(&String::from_utf8_lossy(text));
        }
    }
}
