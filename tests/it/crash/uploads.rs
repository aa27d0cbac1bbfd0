//! A death at any call while an upload comes to its end: whatever was kept, its client asks and goes on, and the file is
//! published whole, once.

use super::{
    oracle::{self, Site, Violations},
    session::{Session, nth},
};
use crate::{
    part::need,
    pod::{Pod, TOKEN},
    tracer::{Kind, Verdict},
};

const SEED: &[(&str, &str)] = &[("index.html", "seed"), ("about.html", "about")];
const TEXT: &str = "the new page";
/// What came before the piece that is the last one.
const BEFORE: &str = "the ";
/// Points that must be there at the least.
const POINTS: usize = 20;

/// Sends `headers` with a body to an upload; gives the status and the offset of the answer.
fn send(
    session: &mut Session<'_>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<(u16, String)> {
    let token = format!("Bearer {TOKEN}");
    let own = [
        ("authorization", token.as_str()),
        ("tus-resumable", "1.0.0"),
        ("content-type", "application/offset+octet-stream"),
    ];
    let answer = session.ask(method, path, &[&own, headers].concat(), body)?;
    let name = if method == "POST" { "location" } else { "upload-offset" };
    Some((answer.status, answer.header(name).to_owned()))
}

#[test]
fn an_upload_goes_on_after_a_death_at_any_call_of_its_end() {
    let (_sh, _ptrace) = (need!("sh"), need!("ptrace"));
    let (length, mut violations, mut points) = (TEXT.len().to_string(), Violations::new(), 0);
    let wanted: Site = [("index.html", TEXT), ("about.html", "about")]
        .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
        .into();
    for n in 1.. {
        let pod = Pod::in_memory();
        let mut session = Session::new(&pod, &[], &[], None);
        session.fill(SEED, &[]);
        session.serve(&[]);
        // `path index.html`, only over what was seeded.
        let tag = format!("\"{}\"", crate::uploads::hex(b"seed"));
        let wish =
            [("upload-length", length.as_str()), ("upload-metadata", "path aW5kZXguaHRtbA=="), ("if-match", &tag)];
        let (status, upload) = send(&mut session, "POST", "/v1/uploads", &wish, BEFORE).expect("nothing fails yet");
        assert_eq!(status, 201, "{}", session.log);
        session.end();
        let (judge, hit) = nth(n, Verdict::Kill, |call| call.kind == Kind::Change);
        session.judged_by(Some(judge));
        session.serve(&[]);
        let at = BEFORE.len().to_string();
        let told = send(&mut session, "PATCH", &upload, &[("upload-offset", &at)], &TEXT[BEFORE.len()..]);
        session.end();
        if !hit() {
            assert_eq!(told.map(|(status, _)| status), Some(204), "it works when nothing fails:\n{}", session.log);
            break;
        }
        points += 1;
        // Its client asks, and goes on.
        session.judged_by(None);
        session.serve(&[]);
        let wrong = |what: &str, session: &Session<'_>| {
            format!("killed before call {n}, told {told:?}: {what}\n{}", session.log)
        };
        let asked = send(&mut session, "HEAD", &upload, &[], "");
        let at = asked.as_ref().filter(|(status, _)| *status == 200).and_then(|(_, at)| at.parse::<usize>().ok());
        let Some(at) = at.filter(|at| (BEFORE.len()..=TEXT.len()).contains(at)) else {
            violations.push(wrong(&format!("LOST: asked, it says {asked:?}"), &session));
            continue;
        };
        if at < TEXT.len() {
            let done = send(&mut session, "PATCH", &upload, &[("upload-offset", &at.to_string())], &TEXT[at..]);
            if done.as_ref().map(|(status, _)| *status) != Some(204) {
                violations.push(wrong(&format!("it cannot go on from {at}: {done:?}"), &session));
            }
        }
        session.end();
        if oracle::shown(&pod.volume()) != wanted {
            violations.push(wrong("TORN: something else is shown in the end", &session));
        }
        if pod.causes() != ["seed", "patch"] {
            violations.push(wrong(&format!("it was published otherwise than once: {:?}", pod.causes()), &session));
        }
    }
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n\n"));
    assert!(points >= POINTS, "only {points} calls were found");
}
