//! How one value is written. Each function says, when it refuses, what would have been right.

use std::{ffi::OsStr, net::SocketAddr, path::PathBuf, time::Duration};

use tracing_subscriber::filter::{LevelFilter, Targets};

use bytesize::ByteSize;

use super::{Confine, Hook, Layout, LogFormat, Side, When, oidc};
use crate::{api::rights::Scopes, depot::MinFree, path::SitePath, telemetry::Way};

/// The shortest time between two looks at a source: below it a volume does nothing else.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// The shortest time for which an upload is kept.
const SHORTEST_AGE: Duration = Duration::from_secs(1);
/// The most connections at once.
const MOST_CONNECTIONS: usize = 100_000;
/// The most requests with a body at once.
const MOST_UPLOADS: usize = 1_000;

fn text(value: &OsStr) -> Result<&str, String> {
    value.to_str().map(str::trim).ok_or_else(|| "it is not UTF-8".to_owned())
}

/// A hook. What is wrong is said without it where it looks like an address: that may have a secret.
pub(super) fn hook(value: &OsStr) -> Result<Hook, String> {
    let text = text(value)?;
    text.parse().map_err(|why: &str| match text.contains([':', '@', '?']) {
        true => why.to_owned(),
        false => why.replacen("it", &format!("{text:?}"), 1),
    })
}

/// The ways in `--auth`.
pub(super) fn ways(value: &OsStr) -> Result<Vec<Way>, String> {
    let mut ways = Vec::new();
    for word in text(value)?.split(',').map(str::trim) {
        let way = match word {
            "oidc" => Way::Oidc,
            "kubernetes" => Way::Kubernetes,
            "token-file" => return Err("the way token-file is meant by --token-file itself: leave it out".to_owned()),
            other => return Err(format!("{other:?} is not a way to know callers: oidc, kubernetes")),
        };
        if ways.contains(&way) {
            return Err(format!("{word} is there twice"));
        }
        ways.push(way);
    }
    Ok(ways)
}

pub(super) fn issuer(value: &OsStr) -> Result<oidc::Issuer, String> {
    text(value)?.parse()
}

/// A text that others must say, byte for byte.
pub(super) fn exactly(value: &OsStr) -> Result<String, String> {
    text(value).map(str::to_owned)
}

/// A name as Kubernetes gives them to resources.
pub(super) fn site(value: &OsStr) -> Result<String, String> {
    let text = text(value)?;
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    let has_ends = !text.starts_with(['-', '.']) && !text.ends_with(['-', '.']);
    match (1..=253).contains(&text.len()) && has_ends && text.bytes().all(is_inner) {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is no name of a resource, as in shop or shop-2: a-z, 0-9, - and . within")),
    }
}

/// What a token must say, as `NAME=VALUE`.
pub(super) fn claim(text: &str) -> Result<oidc::Claim, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok(oidc::Claim { name: name.to_owned(), value: value.to_owned() })
        }
        _ => Err(format!("{text:?} is not NAME=VALUE, as in repository_id=123456")),
    }
}

pub(super) fn scopes(value: &OsStr) -> Result<Scopes, String> {
    let text = text(value)?;
    let why = || format!("{text:?} is not some of read, upload, rollback, admin, with commas between");
    Scopes::parse(text).ok_or_else(why)
}

/// A folder of the site, perhaps with a slash at its end.
pub(super) fn folder(value: &OsStr) -> Result<SitePath, String> {
    let text = text(value)?;
    let why = |error| format!("{text:?} is not a folder of the site, as in blog or blog/drafts: {error}");
    text.strip_suffix('/').unwrap_or(text).parse().map_err(why)
}

/// A path may be any bytes.
pub(super) fn path(value: &OsStr) -> Result<PathBuf, String> {
    Ok(PathBuf::from(value))
}

pub(super) fn when(value: &OsStr) -> Result<When, String> {
    match text(value)? {
        "empty" => Ok(When::Empty),
        "unmodified" => Ok(When::Unmodified),
        "always" => Ok(When::Always),
        other => Err(format!("{other:?} is none of empty, unmodified, always")),
    }
}

pub(super) fn layout(value: &OsStr) -> Result<Layout, String> {
    match text(value)? {
        "docroot" => Ok(Layout::Docroot),
        "files" => Ok(Layout::Files),
        "link" => Err("the layout link needs the link's name: write `--link html` instead".to_owned()),
        other => Err(format!("{other:?} is none of docroot, link, files")),
    }
}

/// The name of the one link of the layout `link`.
pub(super) fn link(value: &OsStr) -> Result<Layout, String> {
    let name = text(value)?;
    Layout::link(name).ok_or_else(|| format!("{name:?} is no plain name, as in html"))
}

pub(super) fn count(value: &OsStr) -> Result<usize, String> {
    let text = text(value)?;
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("{text:?} is not a whole number from 1")),
        Ok(count) => Ok(count),
    }
}

/// As many connections at once as there may be descriptors for.
pub(super) fn connections(value: &OsStr) -> Result<usize, String> {
    match count(value)? {
        count if count > MOST_CONNECTIONS => Err(format!("{count} are too many: at most {MOST_CONNECTIONS}")),
        count => Ok(count),
    }
}

/// As many requests with a body at once as there are threads for.
pub(super) fn uploads(value: &OsStr) -> Result<usize, String> {
    match count(value)? {
        count if count > MOST_UPLOADS => Err(format!("{count} are too many: at most {MOST_UPLOADS}")),
        count => Ok(count),
    }
}

/// Bytes.
pub(super) fn size(value: &OsStr) -> Result<u64, String> {
    match bytes(text(value)?)? {
        0 => Err("0 would let nothing in: leave it out for the default".to_owned()),
        size => Ok(size),
    }
}

/// Bytes, or a part of a volume.
pub(super) fn min_free(value: &OsStr) -> Result<MinFree, String> {
    let text = text(value)?;
    let Some(percent) = text.strip_suffix('%') else { return bytes(text).map(MinFree::Bytes) };
    match percent.parse() {
        Ok(percent @ 0..=99) if !text.starts_with('+') => Ok(MinFree::Percent(percent)),
        _ => Err(format!("{text:?} is no part of a volume: write a whole number from 0% to 99%")),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let size = text.parse::<ByteSize>().ok().filter(|size| size.0 < u64::MAX && !text.starts_with('+'));
    size.map(|size| size.0).ok_or_else(|| {
        format!("{text:?} is not a size: write a number of bytes, or one with KiB, MiB, GiB or TiB, as in 512MiB")
    })
}

pub(super) fn side(value: &OsStr) -> Result<Side, String> {
    match text(value)? {
        "store" => Ok(Side::Store),
        "volume" => Ok(Side::Volume),
        other => Err(format!("{other:?} is neither store nor volume")),
    }
}

pub(super) fn confine(value: &OsStr) -> Result<Confine, String> {
    match text(value)? {
        "auto" => Ok(Confine::Auto),
        "required" => Ok(Confine::Required),
        "off" => Ok(Confine::Off),
        other => Err(format!("{other:?} is none of auto, required, off")),
    }
}

pub(super) fn log_format(value: &OsStr) -> Result<LogFormat, String> {
    match text(value)? {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("{other:?} is neither text nor json")),
    }
}

pub(super) fn yes_or_no(value: &OsStr) -> Result<bool, String> {
    match text(value)?.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        other => Err(format!("{other:?} is neither true nor false")),
    }
}

pub(super) fn address(value: &OsStr) -> Result<SocketAddr, String> {
    let text = text(value)?;
    text.parse().map_err(|_| {
        format!("{text:?} is not IP:PORT, as in 0.0.0.0:8080 (every address), 127.0.0.1:8080 (this host) or [::]:8080")
    })
}

/// What is logged without a wish.
pub(super) fn default_filter() -> Targets {
    Targets::new().with_default(LevelFilter::INFO)
}

/// A level, or `target=level`, or several with commas between.
///
/// The library would take any other word for a target, so that a misspelt level would switch the log off.
pub(super) fn filter(value: &OsStr) -> Result<Targets, String> {
    let text = text(value)?;
    for part in text.split(',') {
        // The library also takes numbers and nothing at all for levels.
        let level = part.rsplit('=').next().unwrap_or(part).trim();
        let is_word = level.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        if !is_word || level.parse::<LevelFilter>().is_err() {
            return Err(format!(
                "{part:?} is neither a level (error, warn, info, debug, trace, off) nor target=level, as in longshore=debug"
            ));
        }
    }
    text.parse().map_err(|error| format!("{text:?} is not a log filter: {error}"))
}

/// A time between two looks.
pub(super) fn interval(value: &OsStr) -> Result<Duration, String> {
    match duration(value)? {
        time if time < SHORTEST_INTERVAL => Err(format!("{:?} is too short: 100ms is the least", text(value)?)),
        time => Ok(time),
    }
}

/// How old something may become; the disk tells of seconds.
pub(super) fn age(value: &OsStr) -> Result<Duration, String> {
    match duration(value)? {
        time if time < SHORTEST_AGE => Err(format!("{:?} is too short: 1s is the least", text(value)?)),
        time => Ok(time),
    }
}

/// Whole numbers with units, as in `30s`, `5m` or `1h30m`.
pub(super) fn duration(value: &OsStr) -> Result<Duration, String> {
    let text = text(value)?;
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{text:?} has no unit: write {text}s for seconds, {text}m for minutes"));
    }
    parse_duration(text).ok_or_else(|| {
        format!("{text:?} is not a time: write whole numbers with ms, s, m or h, as in 30s, 5m or 1h30m")
    })
}

fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|character: char| !character.is_ascii_digit())?);
        let (unit, after) =
            after.split_at(after.find(|character: char| character.is_ascii_digit()).unwrap_or(after.len()));
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(milliseconds)?)?;
        rest = after;
    }
    // Beyond a year it is a slip, and a clock's arithmetic could overflow.
    (!text.is_empty() && total <= 365 * 24 * 3_600_000).then(|| Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_needs_a_unit() {
        for (text, milliseconds) in [("30s", 30_000), ("5m", 300_000), ("250ms", 250), ("1h30m", 5_400_000), ("0s", 0)]
        {
            assert_eq!(duration(OsStr::new(text)), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(
            duration(OsStr::new("30")),
            Err("\"30\" has no unit: write 30s for seconds, 30m for minutes".to_owned())
        );
        for text in ["s", "5x", "-5s", "1.5m", "5s3", "5 s", "é", "99999999999999999999s", "400000h", "1d"] {
            assert!(duration(OsStr::new(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn a_misspelt_level_does_not_switch_the_log_off() {
        for text in ["info", "DEBUG", "off", "info,longshore=debug", "warn,longshore::api=trace,hyper=off"] {
            filter(OsStr::new(text)).expect(text);
        }
        for text in ["inof", "longshore", "info,", "longshore=", "longshore=verbose", "5"] {
            assert!(filter(OsStr::new(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_has_a_port() {
        for text in ["0.0.0.0:8080", "127.0.0.1:0", "[::1]:80"] {
            address(OsStr::new(text)).expect(text);
        }
        for text in ["8080", ":8080", "localhost:8080", "127.0.0.1", "::1:80", "127.0.0.1:65536"] {
            assert!(address(OsStr::new(text)).is_err(), "{text}");
        }
    }
}
