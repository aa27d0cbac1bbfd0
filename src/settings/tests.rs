//! The rules, asked from outside: arguments and pairs in, settings or sentences out.

use std::{ffi::OsString, time::Duration};

use clap::CommandFactory;
use proptest::prelude::*;

use super::*;
use crate::depot::MinFree;

const TOKENS: [&str; 4] = ["--volume", "/v", "--token-file", "/t"];

fn by_token_file() -> Access {
    Access::Known(Box::new(Ways { token_file: Some("/t".into()), ..Ways::default() }))
}

fn check_source(text: &str) -> Result<(), String> {
    if text.starts_with("ftp://") { Err("ftp:// is not a source".into()) } else { Ok(()) }
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Settings, Refusal> {
    let arguments = ["longshore"].iter().chain(arguments).map(OsString::from);
    read(arguments, environment.iter().map(|(name, value)| (name.into(), value.into())), check_source)
}

fn mistakes(arguments: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
    match run(arguments, environment) {
        Err(Refusal::Mistakes(mistakes)) => mistakes.list,
        other => panic!("expected mistakes, not {other:?}"),
    }
}

fn fill(arguments: &[&str], environment: &[(&str, &str)]) -> Fill {
    match run(&[&["fill"], arguments].concat(), environment).expect("settings").command {
        Command::Fill(fill) => fill,
        other => panic!("expected fill, not {other:?}"),
    }
}

fn serve(arguments: &[&str], environment: &[(&str, &str)]) -> Serve {
    match run(&[&["serve"], arguments].concat(), environment).expect("settings").command {
        Command::Serve(serve) => *serve,
        other => panic!("expected serve, not {other:?}"),
    }
}

fn told(arguments: &[&str]) -> String {
    match run(arguments, &[("LONGSHORE_VOLUME", "/hidden")]) {
        // However wide the terminal is.
        Err(Refusal::Told(text)) => text.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
        other => panic!("expected a text, not {other:?}"),
    }
}

#[test]
fn fill_has_its_defaults() {
    let expected = Fill {
        volume: "/v".into(),
        from: vec!["/seed".into()],
        when: When::Empty,
        layout: None,
        keep: Keep::default(),
    };
    assert_eq!(fill(&["--volume", "/v"], &[]), expected);
}

#[test]
fn serve_has_its_defaults() {
    let expected = Serve {
        volume: "/v".into(),
        listen: ([0, 0, 0, 0], 8080).into(),
        probes: ([0, 0, 0, 0], 9090).into(),
        access: by_token_file(),
        public_read: false,
        hosts: Hosts::default(),
        origins: Origins::default(),
        from: vec![],
        every: Duration::from_secs(30),
        when: When::Unmodified,
        grace: Duration::from_secs(25),
        addresses_file: None,
        pre_publish: None,
        pre_publish_timeout: Duration::from_secs(30),
        post_publish: None,
        post_publish_timeout: Duration::from_secs(10),
        adopt_changes: false,
        layout: None,
        keep: Keep::default(),
        limits: Limits::default(),
        crowd: Crowd { connections: 4_096, client_connections: 3_072, client_uploads: 192 },
        tls: None,
    };
    assert_eq!(serve(&TOKENS, &[]), expected);
}

#[test]
fn every_flag_is_also_a_variable() {
    let environment = [
        ("LONGSHORE_VOLUME", "/v"),
        ("LONGSHORE_LISTEN", "127.0.0.1:1"),
        ("LONGSHORE_PROBES", "127.0.0.1:2"),
        ("LONGSHORE_NO_AUTH", "true"),
        ("LONGSHORE_ORIGIN", "https://a.example\nhttp://localhost:5173"),
        ("LONGSHORE_PUBLIC_READ", "yes"),
        ("LONGSHORE_FROM", "s3://sites/a b\n\n /seed \r\n"),
        ("LONGSHORE_EVERY", "5m"),
        ("LONGSHORE_WHEN", "unmodified"),
        ("LONGSHORE_GRACE", "1s"),
        ("LONGSHORE_ADDRESSES_FILE", "/a"),
        ("LONGSHORE_PRE_PUBLISH", "/bin/check"),
        ("LONGSHORE_PRE_PUBLISH_TIMEOUT", "4s"),
        ("LONGSHORE_POST_PUBLISH", "http://127.0.0.1:9/told"),
        ("LONGSHORE_POST_PUBLISH_TIMEOUT", "3s"),
        ("LONGSHORE_TLS_CERT", "/c"),
        ("LONGSHORE_TLS_KEY", "/k"),
        ("LONGSHORE_TLS_CLIENT_CA", "/a"),
        ("LONGSHORE_MAX_FILE", "512MiB"),
        ("LONGSHORE_MAX_SITE", "1000000"),
        ("LONGSHORE_MAX_FILES", "10"),
        ("LONGSHORE_MAX_UPLOADS", "3"),
        ("LONGSHORE_MAX_CLIENT_UPLOADS", "2"),
        ("LONGSHORE_MAX_CONNECTIONS", "30"),
        ("LONGSHORE_MAX_CLIENT_CONNECTIONS", "20"),
        ("LONGSHORE_UPLOAD_AGE", "1h30m"),
        ("LONGSHORE_MIN_FREE", "5%"),
    ];
    let expected = Serve {
        volume: "/v".into(),
        listen: ([127, 0, 0, 1], 1).into(),
        probes: ([127, 0, 0, 1], 2).into(),
        access: Access::Anybody,
        public_read: true,
        hosts: Hosts::default(),
        origins: Origins::parse(["https://a.example", "http://localhost:5173"]).expect("origins"),
        from: vec!["s3://sites/a b".into(), "/seed".into()],
        every: Duration::from_secs(300),
        when: When::Unmodified,
        grace: Duration::from_secs(1),
        addresses_file: Some("/a".into()),
        pre_publish: Some("/bin/check".parse().expect("a program")),
        pre_publish_timeout: Duration::from_secs(4),
        post_publish: Some("http://127.0.0.1:9/told".parse().expect("an address")),
        post_publish_timeout: Duration::from_secs(3),
        adopt_changes: false,
        layout: None,
        keep: Keep::default(),
        limits: Limits {
            file: 512 << 20,
            site: 1_000_000,
            files: 10,
            uploads: 3,
            upload_age: Duration::from_mins(90),
            min_free: MinFree::Percent(5),
        },
        crowd: Crowd { connections: 30, client_connections: 20, client_uploads: 2 },
        tls: Some(tls::Files { certificate: "/c".into(), key: "/k".into(), client_authority: Some("/a".into()) }),
    };
    assert_eq!(serve(&[], &environment), expected);
    let log = run(&["fill"], &[("LONGSHORE_VOLUME", "/v"), ("LONGSHORE_LOG_FORMAT", "json"), ("LONGSHORE_LOG", "off")]);
    assert_eq!(log.expect("settings").log.format, Some(LogFormat::Json));
}

#[test]
fn each_variable_is_named_after_its_flag() {
    let command = flags::Flags::command();
    for command in std::iter::once(&command).chain(command.get_subcommands()) {
        for flag in command.get_arguments() {
            let long = flag.get_long().expect("every flag has a long name");
            assert_eq!(flag.get_env(), Some(reading::variable(long).as_ref()), "--{long}");
            assert!(!long.ends_with("port"), "--{long} could be taken for Kubernetes' own");
        }
    }
}

#[test]
fn a_flag_wins_over_its_variable() {
    let environment = [("LONGSHORE_VOLUME", "/env"), ("LONGSHORE_FROM", "/env")];
    let given = fill(&["--volume", "/flag", "--from", "/a", "--from", "/b"], &environment);
    assert_eq!((given.volume, given.from), ("/flag".into(), vec!["/a".to_owned(), "/b".to_owned()]));
}

#[test]
fn variables_of_another_command_are_known() {
    fill(&["--volume", "/v"], &[("LONGSHORE_TOKEN_FILE", "/t"), ("LONGSHORE_EVERY", "30s")]);
}

#[test]
fn all_mistakes_come_at_once() {
    let environment = [("LONGSHORE_VOLUM", "/v"), ("LONGSHORE_GRACE", "30"), ("LONGSHORE_WHEN", "")];
    let arguments = ["serve", "--listen", ":80", "--from", "ftp://x", "--from", "/ok", "--log", "loud"];
    assert_eq!(
        mistakes(&arguments, &environment),
        [
            "--log: \"loud\" is neither a level (error, warn, info, debug, trace, off) nor target=level, as in longshore=debug",
            "--volume is missing: add `--volume /usr/share/nginx/html` or set LONGSHORE_VOLUME",
            "--listen: \":80\" is not IP:PORT, as in 0.0.0.0:8080 (every address), 127.0.0.1:8080 (this host) or [::]:8080",
            "--from: ftp:// is not a source",
            "LONGSHORE_GRACE: \"30\" has no unit: write 30s for seconds, 30m for minutes",
            "--token-file is missing: name a file with one token a line (`openssl rand -hex 32` makes one), or, to try it \
         out, use `--no-auth --listen 127.0.0.1:8080`",
            "LONGSHORE_VOLUM is not a setting: did you mean LONGSHORE_VOLUME?",
            "LONGSHORE_WHEN is empty: give it a value or leave it out",
        ]
    );
}

#[test]
fn a_line_that_clap_refuses_hides_no_variable() {
    let found = mistakes(&["serve", "--volum", "/v"], &[("LONGSHORE_GRACES", "1s")]);
    assert_eq!(
        found,
        [
            "unexpected argument '--volum' found; tip: a similar argument exists: '--volume'",
            "LONGSHORE_GRACES is not a setting: did you mean LONGSHORE_GRACE?",
        ]
    );
    assert_eq!(mistakes(&["unload"], &[]).len(), 1);
}

#[test]
fn mistakes_print_as_one_error() {
    let Err(Refusal::Mistakes(one)) = run(&["fill"], &[]) else { panic!("expected a mistake") };
    assert_eq!(one.to_string(), "--volume is missing: add `--volume /usr/share/nginx/html` or set LONGSHORE_VOLUME");
    assert_eq!(one.hint(), "`longshore fill --help` explains every flag by example");
    let Err(Refusal::Mistakes(two)) = run(&["fill"], &[("LONGSHORE_WHEN", "never")]) else { panic!("expected two") };
    assert_eq!(
        two.to_string(),
        "2 mistakes in the settings:\n  --volume is missing: add `--volume /usr/share/nginx/html` or set \
         LONGSHORE_VOLUME\n  LONGSHORE_WHEN: \"never\" is none of empty, unmodified, always"
    );
}

#[test]
fn nobody_is_let_in_by_a_forgotten_flag() {
    let volume = ["serve", "--volume", "/v"];
    let with = |more: &[&str]| mistakes(&[&volume, more].concat(), &[]);
    assert!(with(&[])[0].starts_with("--token-file is missing"));
    assert!(with(&["--no-auth"])[0].starts_with("--no-auth with --listen 0.0.0.0:8080"));
    assert!(with(&["--no-auth", "--listen", "[::]:80"])[0].starts_with("--no-auth with --listen [::]:80"));
    assert!(with(&["--no-auth", "--token-file", "/t"])[0].contains("exclude each other"));
    for loopback in ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
        let given = serve(&["--volume", "/v", "--no-auth", "--listen", loopback], &[]);
        assert_eq!(given.access, Access::Anybody, "{loopback}");
    }
    let given = serve(&TOKENS, &[("LONGSHORE_NO_AUTH", "false")]);
    assert_eq!(given.access, by_token_file());
}

const OIDC: [&str; 8] =
    ["--volume", "/v", "--auth", "oidc", "--oidc-issuer", "https://gitlab.example", "--oidc-audience", "longshore"];

#[test]
fn an_issuer_is_taken_with_an_audience_and_claims_only() {
    let given = serve(&[&OIDC[..], &["--oidc-claim", "project_id=7", "--oidc-claim", "ref=a=b"]].concat(), &[]);
    let Access::Known(ways) = given.access else { panic!("it is known") };
    let rules = ways.oidc.expect("rules");
    let claims: Vec<_> = rules.claims.iter().map(|claim| (claim.name.as_str(), claim.value.as_str())).collect();
    assert_eq!((rules.issuer.as_str(), claims), ("https://gitlab.example", vec![("project_id", "7"), ("ref", "a=b")]));
    let has = crate::api::rights::Scope::ALL.map(|scope| rules.scopes.has(scope));
    assert_eq!((has, rules.within, ways.token_file), ([true, true, false, false], None, None));
    let environment = [
        ("LONGSHORE_AUTH", "oidc"),
        ("LONGSHORE_OIDC_ISSUER", "https://gitlab.example"),
        ("LONGSHORE_OIDC_AUDIENCE", "longshore"),
        ("LONGSHORE_OIDC_CLAIM", "project_id=7\nref=main"),
        ("LONGSHORE_OIDC_SCOPES", "rollback"),
        ("LONGSHORE_OIDC_PATH", "blog/"),
    ];
    let Access::Known(ways) = serve(&TOKENS, &environment).access else { panic!("it is known") };
    let rules = ways.oidc.expect("rules");
    assert_eq!((rules.claims.len(), rules.within.expect("a folder").as_str()), (2, "blog"));
    assert_eq!(ways.token_file, Some("/t".into()), "both ways at once");
}

#[test]
#[cfg(feature = "kubernetes")]
fn several_ways_are_open_at_once() {
    let given = serve(&[&OIDC[..3], &["oidc, kubernetes"], &OIDC[4..], &["--oidc-claim", "a=1"]].concat(), &[]);
    let Access::Known(ways) = given.access else { panic!("it is known") };
    let rules = ways.kubernetes.expect("rules");
    assert_eq!((rules.audience.as_str(), rules.site.as_str(), ways.oidc.is_some()), ("longshore", "site", true));
    let environment = [("LONGSHORE_KUBERNETES_AUDIENCE", "us"), ("LONGSHORE_KUBERNETES_SITE", "shop-2")];
    let Access::Known(ways) = serve(&["--volume", "/v", "--auth", "kubernetes"], &environment).access else {
        panic!("it is known")
    };
    let rules = ways.kubernetes.expect("rules");
    assert_eq!((rules.audience.as_str(), rules.site.as_str()), ("us", "shop-2"));
    let with = |more: &[&str]| mistakes_of_one(mistakes(&[&["serve", "--volume", "/v"], more].concat(), &[]));
    assert!(with(&["--auth", "kubernetes", "--kubernetes-site", "Shop/1"]).contains("is no name of a resource"));
    assert!(with(&["--auth", "kubernetes,kubernetes"]).contains("is there twice"));
    assert!(with(&["--auth", "kubernetes", "--no-auth"]).contains("exclude each other"));
    let alone = with(&["--token-file", "/t", "--kubernetes-site", "shop"]);
    assert!(alone.starts_with("--kubernetes-site without --auth kubernetes"), "{alone}");
}

#[test]
#[cfg(not(feature = "kubernetes"))]
fn what_was_not_built_in_is_said() {
    let found = mistakes(&["serve", "--volume", "/v", "--auth", "kubernetes"], &[]);
    assert!(mistakes_of_one(found).contains("was built without it"));
}

#[test]
fn what_an_issuer_lacks_is_said_in_one_go() {
    let with = |more: &[&str]| mistakes(&[&["serve", "--volume", "/v"], more].concat(), &[]);
    let found = with(&["--auth", "oidc"]);
    assert_eq!(found.len(), 3, "{found:?}");
    for (mistake, flag) in found.iter().zip(["--oidc-issuer", "--oidc-audience", "--oidc-claim"]) {
        assert!(mistake.starts_with(&format!("--auth oidc needs {flag}")), "{mistake}");
    }
    let of = |more: &[&str]| mistakes_of_one(mistakes(&[&["serve"], &OIDC[..], more].concat(), &[]));
    assert!(of(&[]).contains("anybody can have a token"));
    assert!(of(&["--oidc-claim", "repository"]).contains("is not NAME=VALUE"));
    assert!(of(&["--oidc-claim", "a=1", "--oidc-claim", "a=2"]).contains("is there twice"));
    assert!(of(&["--oidc-claim", "a=1", "--oidc-scopes", "write"]).contains("is not some of read"));
    assert!(of(&["--oidc-claim", "a=1", "--oidc-path", "../x"]).contains("is not a folder"));
    assert!(of(&["--oidc-claim", "a=1", "--no-auth"]).contains("exclude each other"));
    assert!(mistakes_of_one(with(&["--auth", "ldap"])).contains("is not a way"));
    assert!(mistakes_of_one(with(&["--auth", "token-file"])).contains("--token-file itself"));
    let alone = with(&["--token-file", "/t", "--oidc-claim", "a=1"]);
    assert!(mistakes_of_one(alone).starts_with("--oidc-claim without --auth oidc"));
}

#[test]
fn one_wrong_address_is_one_mistake() {
    assert_eq!(mistakes(&["serve", "--volume", "/v", "--no-auth", "--listen", "80"], &[]).len(), 1);
}

#[test]
fn settings_that_cannot_go_together_are_refused() {
    let with = |more: &[&str]| mistakes(&[&["serve"], &TOKENS[..], more].concat(), &[]);
    assert!(with(&["--every", "30s"])[0].starts_with("--every without --from"));
    assert!(with(&["--pre-publish", "check.sh"])[0].contains("\"check.sh\" is no address"));
    assert!(!with(&["--pre-publish", "ftp://me:secret@host/"])[0].contains("secret"));
    assert!(with(&["--tls-cert", "/c"])[0].starts_with("--tls-key is missing"));
    assert!(with(&["--tls-key", "/k"])[0].starts_with("--tls-cert is missing"));
    assert!(with(&["--tls-client-ca", "/a"])[0].starts_with("--tls-cert is missing"));
    assert!(with(&["--origin", "*"])[0].contains("\"*\" is no origin, as in https://admin.example.com"));
    assert!(with(&["--probes", "0.0.0.0:8080"])[0].contains("an address each"));
    serve(&[&TOKENS[..], &["--listen", "127.0.0.1:0", "--probes", "127.0.0.1:0"]].concat(), &[]);
}

#[test]
fn a_limit_that_makes_no_sense_is_refused() {
    let with = |flag: &str, value: &str| mistakes(&[&["serve"], &TOKENS[..], &[flag, value]].concat(), &[]);
    for (flag, value, why) in [
        ("--max-file", "10 giga", "write a number of bytes, or one with KiB, MiB, GiB or TiB, as in 512MiB"),
        ("--max-file", "99999999999999999999", "is not a size"),
        ("--max-site", "0", "0 would let nothing in: leave it out for the default"),
        ("--max-site", "5%", "is not a size"),
        ("--max-files", "0", "is not a whole number from 1"),
        ("--max-files", "many", "is not a whole number from 1"),
        ("--max-uploads", "1001", "1001 are too many: at most 1000"),
        ("--max-connections", "100001", "100001 are too many: at most 100000"),
        ("--max-client-connections", "0", "is not a whole number from 1"),
        ("--max-client-uploads", "a few", "is not a whole number from 1"),
        ("--upload-age", "0s", "\"0s\" is too short: 1s is the least"),
        ("--upload-age", "24", "\"24\" has no unit"),
        ("--min-free", "100%", "write a whole number from 0% to 99%"),
        ("--min-free", "a bit", "is not a size"),
    ] {
        let found = mistakes_of_one(with(flag, value));
        assert!(found.starts_with(&format!("{flag}: ")) && found.contains(why), "{found}");
    }
    let limits = |flag: &str, value: &str| serve(&[&TOKENS[..], &[flag, value]].concat(), &[]).limits;
    assert_eq!(limits("--max-file", "1.5KiB").file, 1_536);
    assert_eq!(limits("--max-file", "10GB").file, 10_000_000_000);
    assert_eq!(limits("--min-free", "0").min_free, MinFree::Bytes(0));
    assert_eq!(limits("--min-free", "2 GiB").min_free, MinFree::Bytes(2 << 30));
}

fn mistakes_of_one(mut list: Vec<String>) -> String {
    assert_eq!(list.len(), 1, "{list:?}");
    list.remove(0)
}

#[test]
fn a_port_by_itself_is_pointed_to_the_address() {
    let found = mistakes(&[&["serve"], &TOKENS[..]].concat(), &[("LONGSHORE_PORT", "8080")]);
    assert_eq!(found, ["LONGSHORE_PORT is not a setting: LONGSHORE_LISTEN=0.0.0.0:8080 sets address and port"]);
}

#[test]
fn injected_variables_are_ignored() {
    let environment = [
        ("LONGSHORE_SERVICE_HOST", "10.0.0.1"),
        ("LONGSHORE_SERVICE_PORT", "8080"),
        ("LONGSHORE_PORT", "tcp://10.0.0.1:8080"),
        ("LONGSHORE_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("LONGSHORE_UPLOADS_SERVICE_PORT_HTTP", "8080"),
    ];
    fill(&["--volume", "/v"], &environment);
}

#[test]
fn help_teaches_by_examples() {
    let all = told(&["--help"]);
    for part in ["longshore fill --volume", "curl -T index.html", "75 try again", "LONGSHORE_TOKEN_FILE"] {
        assert!(all.contains(part), "{part:?} in {all}");
    }
    let fill = told(&["fill", "--help"]);
    for part in ["Examples:", "s3://BUCKET/PREFIX", "[default: /seed]", "[env: LONGSHORE_FROM]", "one a line"] {
        assert!(fill.contains(part), "{part:?} in {fill}");
    }
    let serve = told(&["serve", "--help"]);
    for part in ["[default: 0.0.0.0:8080]", "[default: 0.0.0.0:9090]", "[default: 30s]", "[default: 25s]", "name=ci"]
        .into_iter()
        .chain([
            "Limits (",
            "[default: 10GiB]",
            "[default: 100GiB]",
            "[default: 100000]",
            "[default: 1%, at most 1GiB]",
        ])
    {
        assert!(serve.contains(part), "{part:?} in {serve}");
    }
    assert!(!serve.contains("/hidden"), "help shows no value of the environment");
}

#[test]
fn the_version_is_told() {
    assert_eq!(told(&["--version"]), format!("longshore {}", env!("CARGO_PKG_VERSION")));
}

proptest! {
    #[test]
    fn a_misspelt_variable_is_always_refused(
        known in prop::sample::select(flags::variables()),
        place in any::<prop::sample::Index>(),
        letter in prop::sample::select(('A'..='Z').chain(['_']).collect::<Vec<_>>()),
        edit in 0..4,
    ) {
        let prefix = environment::PREFIX.len();
        let mut name: Vec<char> = known.chars().collect();
        let at = prefix + place.index(name.len() - prefix);
        match edit {
            0 => { name.remove(at); }
            1 => name.insert(at, letter),
            2 => name[at] = letter,
            _ => name.swap(at, (at + 1).min(known.len() - 1)),
        }
        let name: String = name.into_iter().collect();
        prop_assume!(!flags::variables().contains(&name));
        let found = mistakes(&["fill", "--volume", "/v"], &[(&name, "x")]);
        let start = format!("{name} is not a setting: did you mean LONGSHORE_");
        prop_assert!(found.len() == 1 && found[0].starts_with(&start), "{:?}", found);
    }
}
