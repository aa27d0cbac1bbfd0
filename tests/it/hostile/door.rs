//! The doors, as values: how an input is brought to each of them, or why it cannot be.

use std::{fs, path::Path};

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::{
    bucket::{self, Bucket, can_list},
    folder,
    inputs::{Class, Input, Kind, Thing},
    pack::{Coat, SHAPES, Shape, pack},
    world::World,
};
use crate::{
    http::{Answer, raw},
    pod::{TOKEN, text},
    run::Runs as _,
    uploads::hex,
    weed::environment,
};

/// Where something may come in.
pub(super) struct Door {
    pub(super) name: String,
    pub(super) class: Class,
    /// What is in front of each path.
    pub(super) below: &'static str,
    way: Way,
}

enum Way {
    Put,
    Tus,
    Form {
        parameter: &'static str,
    },
    /// A deploy's JSON before and after the files.
    Deploy {
        before: &'static str,
        after: &'static str,
    },
    Remove,
    Archive {
        method: &'static str,
        path: &'static str,
        shape: Shape,
        coat: Coat,
    },
    FillFolder,
    FillArchive {
        shape: Shape,
        coat: Coat,
    },
    FillBucket(Bucket),
}

/// What became of an input at a door.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Knock {
    /// It cannot be said there at all.
    Cannot(&'static str),
    /// Turned away, as it should be.
    Refused,
    Taken,
    /// Anything else: no answer, 5xx, a problem without a type.
    Wrong(String),
}

type NamesAndBytes<'a> = Vec<(&'a [u8], &'a [u8])>;

/// For single paths, by HTTP.
pub(super) fn of_paths() -> Vec<Door> {
    let door = |name: &str, class, below, way| Door { name: name.into(), class, below, way };
    let mut doors = vec![
        door("PUT /site/PATH", Class::Address, "", Way::Put),
        door("PUT /site/assets/PATH", Class::Below, "assets/", Way::Put),
        door("tus, path", Class::Request, "", Way::Tus),
        door("deploy, manifest", Class::Request, "", Way::Deploy { before: "{\"manifest\":{", after: "}}" }),
        door("deploy, set", Class::Request, "", Way::Deploy { before: "{\"base\":1,\"set\":{", after: "}}" }),
        door("deploy, remove", Class::Never, "", Way::Remove),
    ];
    for below in ["", "assets/", "new/"] {
        for parameter in ["filename", "filename*"] {
            doors.push(door(
                &format!("form, /site/{below}, {parameter}"),
                Class::Request,
                below,
                Way::Form { parameter },
            ));
        }
    }
    doors
}

/// For archives, by HTTP.
pub(super) fn of_archives() -> Vec<Door> {
    let targets = [
        ("PUT", "/site/", ""),
        ("PATCH", "/site/", ""),
        ("PUT", "/site/assets/", "assets/"),
        ("PATCH", "/site/new/", "new/"),
        ("POST", "/v1/objects", ""),
    ];
    let mut doors = Vec::new();
    for (shape, coat) in SHAPES {
        // A coat and a place for names differ once; what is done with an archive, for a tar and a zip.
        let targets = match (shape, coat) {
            (Shape::Header | Shape::Zip, Coat::Plain) => &targets[..],
            (_, Coat::Plain) => &targets[2..4],
            _ => &targets[..1],
        };
        for &(method, path, below) in targets {
            let class = if method == "POST" { Class::Never } else { shape.class() };
            let name = format!("{method} {path}, {shape:?} {coat:?}");
            doors.push(Door { name, class, below, way: Way::Archive { method, path, shape, coat } });
        }
    }
    doors
}

/// An operator's.
pub(super) fn of_seeds() -> Vec<Door> {
    let folder = Door { name: "fill --from DIR".into(), class: Class::Folder, below: "", way: Way::FillFolder };
    let archives = SHAPES.map(|(shape, coat)| Door {
        name: format!("fill, {shape:?} {coat:?}"),
        class: shape.class(),
        below: "",
        way: Way::FillArchive { shape, coat },
    });
    [folder].into_iter().chain(archives).collect()
}

/// An operator's, too, though others may write to it.
pub(super) fn of_bucket() -> Door {
    let way = Way::FillBucket(Bucket::start());
    Door { name: "fill from a bucket".into(), class: Class::Bucket, below: "", way }
}

impl Door {
    /// Whether it is an operator's, for a volume.
    pub(super) fn is_seed(&self) -> bool {
        matches!(self.way, Way::FillFolder | Way::FillArchive { .. } | Way::FillBucket(_))
    }

    /// Whether one file is all that it takes.
    pub(super) fn takes_one(&self) -> bool {
        matches!(self.way, Way::Put | Way::Tus | Way::Remove)
    }

    /// Brings the input to the server of that world, or to that volume.
    pub(super) fn knock(&self, world: &World, input: &Input, volume: &Path) -> Knock {
        self.try_knock(world, input, volume).unwrap_or_else(Knock::Cannot)
    }

    fn try_knock(&self, world: &World, input: &Input, volume: &Path) -> Result<Knock, &'static str> {
        Ok(match &self.way {
            Way::Put => {
                let (name, bytes) = alone(input)?;
                if name.is_empty() && self.below.is_empty() {
                    return Err("no path at all is the address of the whole site");
                }
                ask(world, "PUT", &format!("/site/{}{}", self.below, percent(name)), "", bytes)
            }
            Way::Tus => {
                let (name, bytes) = alone(input)?;
                if name.is_empty() {
                    return Err("no value at all is no path");
                }
                let (length, path) = (bytes.len(), BASE64_STANDARD.encode(name));
                let head = format!(
                    "Tus-Resumable: 1.0.0\r\nUpload-Length: {length}\r\nUpload-Metadata: path {path}\r\nContent-Type: application/offset+octet-stream\r\n"
                );
                ask(world, "POST", "/v1/uploads", &head, bytes)
            }
            Way::Form { parameter } => {
                let mut body = Vec::new();
                for (name, bytes) in files(input)? {
                    let name = file_name(name, parameter)?;
                    let head = [b"--B\r\nContent-Disposition: form-data; name=f; ", &*name, b"\r\n\r\n"].concat();
                    body.extend([&*head, bytes, b"\r\n"].concat());
                }
                body.extend(b"--B--\r\n");
                let head = "Content-Type: multipart/form-data; boundary=B\r\n";
                ask(world, "POST", &format!("/site/{}", self.below), head, &body)
            }
            Way::Deploy { before, after } => {
                let files = files(input)?;
                let line = |(name, bytes): &(&[u8], &[u8])| {
                    let about = format!(":{{\"digest\":\"{}\",\"size\":{}}}", hex(bytes), bytes.len());
                    [&*json_text(name), about.as_bytes()].concat()
                };
                for (_, bytes) in &files {
                    world.served.put(&format!("/v1/objects/{}", hex(bytes)), bytes.to_vec());
                }
                let lines: Vec<_> = files.iter().map(line).collect();
                let body = [before.as_bytes(), &lines.join(&b','), after.as_bytes()].concat();
                let knock =
                    ask(world, "POST", "/v1/releases?max-delete=all", "Content-Type: application/json\r\n", &body);
                if knock == Knock::Refused {
                    // Objects wait for a release that names them: what the files of this input were is not its trace.
                    let waiting = world.pod.volume().join(".longshore/uploads/objects");
                    for (_, bytes) in &files {
                        let _ = fs::remove_file(waiting.join(hex(bytes)));
                    }
                }
                knock
            }
            Way::Remove => {
                let body = [b"{\"base\":1,\"remove\":[", &*json_text(alone(input)?.0), b"]}"].concat();
                ask(world, "POST", "/v1/releases", "Content-Type: application/json\r\n", &body)
            }
            Way::Archive { method, path, shape, coat } => {
                let archive = pack(&input.thing, *shape, *coat)?;
                let query = if *method == "POST" { "" } else { "?max-delete=all" };
                ask(world, method, &format!("{path}{query}"), "", &archive)
            }
            Way::FillFolder => {
                let Thing::Entries(entries) = &input.thing else { return Err("its bytes are an archive's") };
                let folder = world.pod.path("hostile");
                let made = folder::make(&folder, entries);
                let knock = made.map(|()| fill(world, volume, text(&folder), &[]));
                fs::remove_dir_all(&folder).expect("it is removed");
                knock?
            }
            Way::FillArchive { shape, coat } => {
                let path = world.pod.path(&format!("hostile.{}", shape.ending(*coat)));
                fs::write(&path, pack(&input.thing, *shape, *coat)?).expect("an archive is written");
                let knock = fill(world, volume, text(&path), &[]);
                fs::remove_file(&path).expect("it is removed");
                knock
            }
            Way::FillBucket(bucket) => {
                let mut keys = vec![("good.html".to_owned(), b"good".to_vec())];
                for (name, bytes) in files(input)? {
                    if name.is_empty() {
                        return Err("it is the mark of the prefix itself");
                    }
                    let name = std::str::from_utf8(name).ok().filter(|name| can_list(name));
                    keys.push((name.ok_or("a listing cannot say it")?.to_owned(), bytes.to_vec()));
                }
                if keys.iter().enumerate().any(|(at, (key, _))| keys[..at].iter().any(|(other, _)| other == key)) {
                    return Err("a bucket has each key once");
                }
                bucket.holds(keys);
                fill(world, volume, bucket::FROM, &environment(&bucket.endpoint(), "secret"))
            }
        })
    }
}

/// The only entry, a file.
fn alone(input: &Input) -> Result<(&[u8], &[u8]), &'static str> {
    match &*files(input)? {
        [file] => Ok(*file),
        _ => Err("it takes one file"),
    }
}

/// Where all entries are files.
fn files(input: &Input) -> Result<NamesAndBytes<'_>, &'static str> {
    let Thing::Entries(entries) = &input.thing else { return Err("its bytes are an archive's") };
    // Folders exist by their files, and modes are for archives.
    let is_plain = |kind: &Kind| matches!(kind, Kind::File(0o644));
    if !entries.iter().all(|entry| is_plain(&entry.kind)) {
        return Err("it knows files only");
    }
    Ok(entries.iter().map(|entry| (&*entry.name, &*entry.bytes)).collect())
}

fn percent(name: &[u8]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let one = |byte: &u8| if is_plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    name.iter().map(one).collect()
}

fn file_name(name: &[u8], parameter: &str) -> Result<Vec<u8>, &'static str> {
    if parameter == "filename*" {
        return Ok(format!("filename*=UTF-8''{}", percent(name)).into_bytes());
    }
    match name {
        _ if name.iter().any(|byte| b"\0\r\n".contains(byte)) => Err("it would end the header"),
        _ if name.ends_with(b"\\") => Err("it would be one with the quote"),
        _ => {
            let quoted: Vec<u8> = name
                .iter()
                .flat_map(|byte| if *byte == b'"' { b"\\\"" } else { std::slice::from_ref(byte) })
                .copied()
                .collect();
            Ok([b"filename=\"", &*quoted, b"\""].concat())
        }
    }
}

/// In quotes, with bytes that are no text as they are.
fn json_text(name: &[u8]) -> Vec<u8> {
    let mut text = vec![b'"'];
    for byte in name {
        match byte {
            0..=31 | b'"' | b'\\' => text.extend(format!("\\u{byte:04x}").into_bytes()),
            _ => text.push(*byte),
        }
    }
    text.push(b'"');
    text
}

/// Asks with these very bytes.
fn ask(world: &World, method: &str, target: &str, head: &str, body: &[u8]) -> Knock {
    let length = body.len();
    let mut request = format!(
        "{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {length}\r\n{head}Connection: close\r\n\r\n"
    )
    .into_bytes();
    request.extend(body);
    judge(raw(world.served.listen, &request))
}

fn judge(answer: Option<Answer>) -> Knock {
    let Some(answer) = answer else { return Knock::Wrong("no answer".into()) };
    let is_problem = answer.header("content-type").starts_with("application/problem+json")
        && answer.text().contains("\"type\":\"/problems/");
    match answer.status {
        200..300 => Knock::Taken,
        400..500 if is_problem && !answer.text().contains("sings") => Knock::Refused,
        _ => Knock::Wrong(answer.to_string()),
    }
}

fn fill(world: &World, volume: &Path, from: &str, environment: &[(&str, String)]) -> Knock {
    fs::create_dir_all(volume).expect("a volume is there");
    let flags = ["fill", "--volume", text(volume), "--from", from, "--when", "always"];
    let run = world.pod.command(&flags).envs(environment.iter().map(|(name, value)| (name, value))).run();
    match run.code {
        Some(0) => Knock::Taken,
        Some(1 | 3 | 4) => Knock::Refused,
        _ => Knock::Wrong(format!("{run:?}")),
    }
}
