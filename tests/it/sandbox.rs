//! Confined to the volume by the kernel.

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use crate::{
    http::call,
    part,
    pod::{Pod, text},
    run::{Runs as _, eventually},
    served::Served,
};

const NEW_TOKEN: &str = "the-token-that-came-later";

/// Skips the test where the kernel has no landlock.
fn landlock() -> Option<()> {
    let modules = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_else(|_| "landlock".into());
    if !modules.contains("landlock") {
        part::skip("this kernel has no landlock");
        return None;
    }
    Some(())
}

/// A server whose token lies behind a link, which is then turned to somewhere that no setting named.
fn with_a_turned_link(pod: &Pod, flags: &[&str]) -> Served {
    let [secret, elsewhere] = ["secret", "elsewhere"].map(|name| pod.folder(name, &[("token", NEW_TOKEN)]));
    let link = secret.join("link");
    symlink(secret.join("token"), &link).expect("made");
    fs::write(secret.join("token"), "the-token-of-the-beginning").expect("written");
    let mut served = pod.launch(&[&["--token-file", text(&link)], flags].concat(), &[]);
    served.wait_until_ready();
    symlink(elsewhere.join("token"), secret.join("new")).expect("made");
    fs::rename(secret.join("new"), link).expect("turned");
    served
}

fn put(served: &Served, token: &str) -> u16 {
    call("PUT", &served.url("/site/a.txt"), &[("authorization", &format!("Bearer {token}"))], "text".to_owned()).status
}

#[test]
fn what_no_setting_named_cannot_be_read() {
    let Some(()) = landlock() else { return };
    let pod = Pod::new();
    let served = with_a_turned_link(&pod, &["--sandbox", "required"]);
    eventually("the old token is gone", Duration::from_secs(11), || {
        (put(&served, "the-token-of-the-beginning") == 401).then_some(())
    });
    assert_eq!(put(&served, NEW_TOKEN), 401, "the file that was never named was read");
    assert!(served.log().contains("confined to the volume"), "{}", served.log());
}

#[test]
fn without_it_everything_is_read_that_the_user_may_read() {
    let pod = Pod::new();
    let served = with_a_turned_link(&pod, &["--sandbox", "off"]);
    eventually("the new token is good", Duration::from_secs(11), || (put(&served, NEW_TOKEN) == 201).then_some(()));
    assert!(served.log().contains("not confined"), "{}", served.log());
}

#[test]
fn each_thread_is_without_new_privileges() {
    let pod = Pod::new();
    let served = pod.serve();
    assert_eq!(served.put("/site/a.txt", "text").status, 201);
    let threads = fs::read_dir(format!("/proc/{}/task", served.id())).expect("it runs");
    let states: Vec<_> =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok()).collect();
    assert!(states.len() > 1 && states.iter().all(|state| state.contains("NoNewPrivs:\t1")), "{states:?}");
}

#[test]
fn a_program_that_is_a_hook_writes_to_the_volume_only() {
    let Some(()) = landlock() else { return };
    // Scratch is theirs, so the pod lies elsewhere.
    let pod = Pod::in_memory();
    let at = |name: &str| pod.path(name).display().to_string();
    let script = format!(
        "cat >/dev/null; cat {} >{}; echo x >{} || echo refused >{}; grep NoNewPrivs /proc/self/status >{}",
        at("readable"),
        at("volume/.longshore/read"),
        at("outside"),
        at("volume/.longshore/refused"),
        at("volume/.longshore/status"),
    );
    fs::write(pod.path("readable"), "what it reads").expect("written");
    let program = pod.program("hook", &script);
    let served = pod.serve_with(&["--post-publish", text(&program)]);
    assert_eq!(served.put("/site/a.txt", "text").status, 201);
    let of = |name: &str| fs::read_to_string(pod.volume().join(".longshore").join(name)).ok();
    let status =
        eventually("the program has run", Duration::from_secs(20), || of("status").filter(|text| text.ends_with('\n')));
    assert!(status.contains('1'), "{status}");
    assert_eq!(of("refused").as_deref(), Some("refused\n"), "{}", served.log());
    assert_eq!(of("read").as_deref(), Some("what it reads"));
    assert!(!pod.path("outside").exists(), "it wrote outside of the volume");
}

#[test]
fn a_kernel_that_cannot_is_told_and_is_enough_unless_it_is_required() {
    let Some(strace) = part::part("strace") else { return };
    let run = |mode: &str| {
        let pod = Pod::new();
        let seed = pod.folder("seed", &[("index.html", "page")]);
        let fill = pod.fill_command(&["--from", text(&seed), "--sandbox", mode]);
        let mut traced = std::process::Command::new(&strace);
        traced.args(["-qq", "-f", "-o", "/dev/null", "-e", "inject=landlock_create_ruleset:error=ENOSYS"]);
        traced.arg(fill.get_program()).args(fill.get_args());
        traced.run()
    };
    let auto = run("auto").expect(0);
    assert!(auto.stderr.contains("not confined to the volume"), "{}", auto.stderr);
    let required = run("required").expect(1);
    assert!(
        required.stderr.contains("cannot be confined") && required.stderr.contains("--sandbox auto"),
        "{}",
        required.stderr
    );
    let off = run("off").expect(0);
    assert!(off.stderr.contains("as asked for"), "{}", off.stderr);
}

#[test]
fn a_source_may_be_replaced_by_another_of_its_name() {
    let Some(()) = landlock() else { return };
    let pod = Pod::new();
    fs::create_dir(pod.path("sources")).expect("made");
    let current = pod.folder("sources/current", &[("index.html", "old")]);
    let served =
        pod.serve_with(&["--when", "always", "--from", text(&current), "--every", "1s", "--sandbox", "required"]);
    let page = || fs::read_to_string(pod.volume().join("index.html")).ok();
    eventually("the old page", Duration::from_secs(20), || (page()? == "old").then_some(()));
    pod.folder("sources/next", &[("index.html", "new")]);
    replace(&pod.path("sources/next"), &current);
    eventually("the new page", Duration::from_secs(20), || (page()? == "new").then_some(()));
    drop(served);
}

fn replace(new: &Path, old: &Path) {
    fs::rename(old, old.with_extension("gone")).expect("moved away");
    fs::rename(new, old).expect("moved in");
}
