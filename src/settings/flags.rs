//! The command line as it is written: every value still raw, nothing required, so that `rules` can find all mistakes.
//!
//! clap parses, prints help, and knows the variables' names. It would read the process's environment by itself, one
//! mistake at a time and past any test; so it parses without that, and `reading` looks the variables up.

use std::ffi::OsString;

use clap::{Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, builder::Resettable, error::ErrorKind};

/// Where `fill` is explained.
pub(super) const HELP_FILL: &str = "longshore fill --help";
/// Where `serve` is explained.
pub(super) const HELP_SERVE: &str = "longshore serve --help";
/// Where `verify` is explained.
pub(super) const HELP_VERIFY: &str = "longshore verify --help";
/// Where `doctor` is explained.
pub(super) const HELP_DOCTOR: &str = "longshore doctor --help";
/// Where `reconcile` is explained.
pub(super) const HELP_RECONCILE: &str = "longshore reconcile --help";

const EXAMPLES: &str = "\
Examples:
  Fill an empty volume from the image, then end (an init container):
    longshore fill --volume /usr/share/nginx/html
  Stay and take uploads (a sidecar):
    longshore serve --volume /usr/share/nginx/html --token-file /etc/longshore/token
  Publish one page:
    curl -T index.html -H \"Authorization: Bearer $TOKEN\" http://ADDRESS:8080/site/

Every flag is also a variable: --token-file is LONGSHORE_TOKEN_FILE. A flag wins over its variable.

Exit codes:
  0 done, or nothing to do      5 no space, or over quota
  1 failed                      6 not allowed
  2 usage                       7 conflict
  3 source absent or empty     75 try again
  4 integrity";

const EXAMPLES_FILL: &str = "\
Examples:
  From the image, when the volume is empty:
    longshore fill --volume /usr/share/nginx/html
  From a bucket, or from the image when the bucket has nothing:
    longshore fill --volume /usr/share/nginx/html --from s3://sites/shop --from /seed
  The same by variables, one source a line:
    LONGSHORE_VOLUME=/usr/share/nginx/html LONGSHORE_FROM=$'s3://sites/shop\\n/seed' longshore fill
  From an archive at an address, in place of whatever is live:
    longshore fill --volume /usr/share/nginx/html --from https://example.com/site.tar.gz --when always

Running it again writes nothing. Content that it did not put there is left alone.";

const EXAMPLES_SERVE: &str = "\
Examples:
  Take uploads from whoever has a token:
    longshore serve --volume /usr/share/nginx/html --token-file /etc/longshore/token
  The same, and look at a bucket every 5 minutes until somebody uploads:
    longshore serve --volume /usr/share/nginx/html --token-file /etc/longshore/token \\
      --from s3://sites/shop --every 5m --when unmodified
  The same over TLS, with a mounted Secret of the type kubernetes.io/tls:
    longshore serve --volume /usr/share/nginx/html --token-file /etc/longshore/token \\
      --tls-cert /etc/tls/tls.crt --tls-key /etc/tls/tls.key
  Tell a program in the same Pod of each release, for instance to purge a cache:
    longshore serve --volume /usr/share/nginx/html --token-file /etc/longshore/token \\
      --post-publish http://127.0.0.1:9000/published
  Let a program in the Pod look at each release before anybody sees it:
    longshore serve --volume /usr/share/nginx/html --token-file /etc/longshore/token \\
      --pre-publish http://127.0.0.1:9000/may-it
  Let the jobs of one repository of GitHub publish, without a stored secret:
    longshore serve --volume /usr/share/nginx/html --auth oidc \\
      --oidc-issuer https://token.actions.githubusercontent.com \\
      --oidc-audience https://publish.example.com --oidc-claim repository_id=123456
  Try it out on this computer, without tokens:
    longshore serve --volume ./html --no-auth --listen 127.0.0.1:8080 --probes 127.0.0.1:9090

The token file has one token a line (a warning below 16 characters), or sha256: and its digest; a name for the
journal, scopes (read, upload, rollback, admin; else all) and the one folder that it reaches may follow:
    6f1c0d5b9e7a42d3a8c4 name=ci scopes=read,upload path=blog";

const EXAMPLES_VERIFY: &str = "\
Examples:
  Read everything that the volume keeps again, and compare it with its digests:
    longshore verify --volume /usr/share/nginx/html
  Mend what can be mended, from other copies on the volume or from the image's seed:
    longshore verify --volume /usr/share/nginx/html --repair --from /seed

Exit code 4 when something is wrong and was not mended.";

const EXAMPLES_DOCTOR: &str = "\
Examples:
  Why does the web server answer 403?
    longshore doctor --volume /usr/share/nginx/html

Each line says what is wrong and what cures it. It changes nothing. Exit code 0 when nothing needs a cure, 1 otherwise.";

const EXAMPLES_RECONCILE: &str = "\
Examples:
  The journal lacks what the volume has shown (a snapshot was restored): show what the journal has:
    longshore reconcile --volume /usr/share/nginx/html --keep store
  Make what the volume shows the newest entry of the journal:
    longshore reconcile --volume /usr/share/nginx/html --keep volume";

/// Fills an empty Kubernetes volume with content, then takes uploads to it over HTTP.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Flags {
    /// Log lines to print: error, warn, info, debug, trace or off; finer with targets, as in `info,longshore=debug`
    /// [default: info]
    #[arg(long, global = true, value_name = "FILTER", env = "LONGSHORE_LOG", help_heading = "Logging")]
    pub(super) log: Option<OsString>,

    /// Shape of log lines: text or json [default: text on a terminal, json otherwise]
    #[arg(long, global = true, value_name = "FORMAT", env = "LONGSHORE_LOG_FORMAT", help_heading = "Logging")]
    pub(super) log_format: Option<OsString>,

    /// Whether the kernel (landlock) confines this process to the volume: auto (as far as it can), required or off. `doctor` is
    /// not confined [default: auto]
    #[arg(long, global = true, value_name = "MODE", env = "LONGSHORE_SANDBOX", help_heading = "Sandbox")]
    pub(super) sandbox: Option<OsString>,

    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Fill an empty volume from the first source that is there, then end
    #[command(after_help = EXAMPLES_FILL)]
    Fill(FillFlags),
    /// Stay beside the application: take uploads over HTTP, and follow a source if there is one
    #[command(after_help = EXAMPLES_SERVE)]
    Serve(Box<ServeFlags>),
    /// Read everything on a volume again and compare it with its digests
    #[command(after_help = EXAMPLES_VERIFY)]
    Verify(VerifyFlags),
    /// Explain what keeps a volume from working, a line each
    #[command(after_help = EXAMPLES_DOCTOR)]
    Doctor(DoctorFlags),
    /// Decide between a volume and a journal that do not know each other
    #[command(after_help = EXAMPLES_RECONCILE)]
    Reconcile(ReconcileFlags),
}

#[derive(Debug, Args)]
pub(super) struct LimitFlags {
    /// Bytes that a file may have, with a unit (KiB, MiB, GiB, TiB) or without, as in 512MiB [default: 10GiB]
    #[arg(long, value_name = "SIZE", env = "LONGSHORE_MAX_FILE", help_heading = LIMITS)]
    pub(super) max_file: Option<OsString>,

    /// Bytes that all files of a release may have together [default: 100GiB]
    #[arg(long, value_name = "SIZE", env = "LONGSHORE_MAX_SITE", help_heading = LIMITS)]
    pub(super) max_site: Option<OsString>,

    /// Files that a release may have [default: 100000]
    #[arg(long, value_name = "COUNT", env = "LONGSHORE_MAX_FILES", help_heading = LIMITS)]
    pub(super) max_files: Option<OsString>,

    /// Requests with a body at once, at most 1000; one more is answered 429 [default: 256]
    #[arg(long, value_name = "COUNT", env = "LONGSHORE_MAX_UPLOADS", help_heading = LIMITS)]
    pub(super) max_uploads: Option<OsString>,

    /// Of those, how many may come from one address (of IPv6, from one /64). Behind a proxy or a port-forward all clients
    /// have one address [default: three quarters of --max-uploads]
    #[arg(long, value_name = "COUNT", env = "LONGSHORE_MAX_CLIENT_UPLOADS", help_heading = LIMITS)]
    pub(super) max_client_uploads: Option<OsString>,

    /// Connections at once; when all are taken, those that wait for their client's next request are closed, the longest
    /// waiting first [default: 4096]
    #[arg(long, value_name = "COUNT", env = "LONGSHORE_MAX_CONNECTIONS", help_heading = LIMITS)]
    pub(super) max_connections: Option<OsString>,

    /// Of those, how many may come from one address (of IPv6, from one /64); more are closed [default: three quarters of
    /// --max-connections]
    #[arg(long, value_name = "COUNT", env = "LONGSHORE_MAX_CLIENT_CONNECTIONS", help_heading = LIMITS)]
    pub(super) max_client_connections: Option<OsString>,

    /// Time for which an upload that is not finished, or an object that no release names, is kept, with its unit (s, m,
    /// h) [default: 24h]
    #[arg(long, value_name = "TIME", env = "LONGSHORE_UPLOAD_AGE", help_heading = LIMITS)]
    pub(super) upload_age: Option<OsString>,

    /// Space that an upload leaves free on the volume, as in 512MiB, or a part of the volume, as in 5%; roll-backs and
    /// deletions go on below it [default: 1%, at most 1GiB]
    #[arg(long, value_name = "SIZE|PERCENT", env = "LONGSHORE_MIN_FREE", help_heading = LIMITS)]
    pub(super) min_free: Option<OsString>,
}

/// Where the limits stand in the help.
const LIMITS: &str = "Limits (of what is uploaded; seeds and the followed source have none)";

#[derive(Debug, Args)]
pub(super) struct LayoutFlags {
    /// How the volume shows a release: `docroot`, mounted at the document root, all at once; `link`, mounted one level
    /// up, all at once (see --link); `files`, plain files, one after the other, for SMB and readers that refuse links
    /// [default: as the volume has it, else docroot]
    #[arg(long, value_name = "LAYOUT", env = "LONGSHORE_LAYOUT")]
    pub(super) layout: Option<OsString>,

    /// Name of the link in the volume that leads to the live release, as in `html`; means --layout link
    #[arg(long, value_name = "NAME", env = "LONGSHORE_LINK")]
    pub(super) link: Option<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct KeepFlags {
    /// Deploys, seeds and adoptions to keep for a rollback, the newest [default: 10]
    #[arg(long, value_name = "COUNT", env = "LONGSHORE_KEEP_RELEASES")]
    pub(super) keep_releases: Option<OsString>,

    /// Time for which every release is kept, with its unit (ms, s, m, h) [default: 24h]
    #[arg(long, value_name = "TIME", env = "LONGSHORE_KEEP_FOR")]
    pub(super) keep_for: Option<OsString>,

    /// Time for which files that a new release drops stay reachable, with its unit: a page that is open in a browser
    /// still finds its assets [default: 0s]
    #[arg(long, value_name = "TIME", env = "LONGSHORE_LINGER")]
    pub(super) linger: Option<OsString>,
}

/// How `--from` is explained, but for its default.
macro_rules! sources {
    ($last:literal) => {
        concat!(
            "Where content comes from: a directory; s3://BUCKET/PREFIX, gs://… or az://…; a .tar, .tar.gz, .tgz, .tar.zst ",
            "or .zip file, local, in a bucket or at https://… . Repeat it: the first that is there and not empty wins; in ",
            "LONGSHORE_FROM, one a line",
            $last
        )
    };
}

#[derive(Debug, Args)]
pub(super) struct FillFlags {
    /// Directory to fill: the volume's root
    #[arg(long, value_name = "DIR", env = "LONGSHORE_VOLUME")]
    pub(super) volume: Option<OsString>,

    #[arg(long, value_name = "SOURCE", env = "LONGSHORE_FROM", help = sources!(" [default: /seed]"))]
    pub(super) from: Vec<OsString>,

    /// When to write: `empty`, only to an empty volume; `unmodified`, also when the source changed and nobody has
    /// uploaded since; `always`, whenever the source differs from what is live [default: empty]
    #[arg(long, value_name = "WHEN", env = "LONGSHORE_WHEN")]
    pub(super) when: Option<OsString>,

    #[command(flatten)]
    pub(super) layout: LayoutFlags,

    #[command(flatten)]
    pub(super) keep: KeepFlags,
}

#[derive(Debug, Args)]
pub(super) struct VerifyFlags {
    /// The volume's root
    #[arg(long, value_name = "DIR", env = "LONGSHORE_VOLUME")]
    pub(super) volume: Option<OsString>,

    /// Mend what can be mended
    #[arg(long, env = "LONGSHORE_REPAIR")]
    pub(super) repair: bool,

    #[arg(long, value_name = "SOURCE", env = "LONGSHORE_FROM", help = sources!("; looked at for --repair only [default: /seed if there]"))]
    pub(super) from: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct DoctorFlags {
    /// The volume's root
    #[arg(long, value_name = "DIR", env = "LONGSHORE_VOLUME")]
    pub(super) volume: Option<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct ReconcileFlags {
    /// The volume's root
    #[arg(long, value_name = "DIR", env = "LONGSHORE_VOLUME")]
    pub(super) volume: Option<OsString>,

    /// What is right: `store`, the journal; `volume`, what is shown
    #[arg(long, value_name = "SIDE", env = "LONGSHORE_KEEP")]
    pub(super) keep: Option<OsString>,
}

/// Where the ways to know callers stand in the help.
const CALLERS: &str = "Callers without a token of the token file";

#[derive(Debug, Args)]
pub(super) struct AccessFlags {
    /// Whose tokens are good, too, or instead of those of --token-file: `oidc`, those of an issuer, as GitHub Actions and
    /// GitLab have one for each job; `kubernetes`, those of service accounts; both, with a comma between
    #[arg(long, value_name = "WAYS", env = "LONGSHORE_AUTH", help_heading = CALLERS)]
    pub(super) auth: Option<OsString>,

    /// Issuer of the tokens, as they name it: https://token.actions.githubusercontent.com, https://gitlab.com
    #[arg(long, value_name = "URL", env = "LONGSHORE_OIDC_ISSUER", help_heading = CALLERS)]
    pub(super) oidc_issuer: Option<OsString>,

    /// Audience that the tokens must be for: what a job asks its token for, as in https://publish.example.com
    #[arg(long, value_name = "TEXT", env = "LONGSHORE_OIDC_AUDIENCE", help_heading = CALLERS)]
    pub(super) oidc_audience: Option<OsString>,

    /// What the tokens must say, as in repository_id=123456; several, which must all hold: each with a flag of its own. At
    /// least one, since anybody in the world can have a token of a public issuer
    #[arg(long, value_name = "NAME=VALUE", env = "LONGSHORE_OIDC_CLAIM", help_heading = CALLERS)]
    pub(super) oidc_claim: Vec<OsString>,

    /// What their senders may do: read, upload, rollback, admin, with commas between [default: read,upload]
    #[arg(long, value_name = "SCOPES", env = "LONGSHORE_OIDC_SCOPES", help_heading = CALLERS)]
    pub(super) oidc_scopes: Option<OsString>,

    /// The one folder of the site that they reach, as in blog [default: the whole site]
    #[arg(long, value_name = "FOLDER", env = "LONGSHORE_OIDC_PATH", help_heading = CALLERS)]
    pub(super) oidc_path: Option<OsString>,

    /// Audience that tokens of service accounts must be for [default: longshore]
    #[arg(long, value_name = "TEXT", env = "LONGSHORE_KUBERNETES_AUDIENCE", help_heading = CALLERS)]
    pub(super) kubernetes_audience: Option<OsString>,

    /// Name of the site in roles, which allow `get`, `update`, `rollback`, `admin` of sites.longshore.dev in the Pod's
    /// namespace [default: site]
    #[arg(long, value_name = "NAME", env = "LONGSHORE_KUBERNETES_SITE", help_heading = CALLERS)]
    pub(super) kubernetes_site: Option<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct ServeFlags {
    /// Directory to publish to: the volume's root
    #[arg(long, value_name = "DIR", env = "LONGSHORE_VOLUME")]
    pub(super) volume: Option<OsString>,

    /// Address for uploads, IP:PORT; port 0 takes any free one [default: 0.0.0.0:8080]
    #[arg(long, value_name = "ADDR", env = "LONGSHORE_LISTEN")]
    pub(super) listen: Option<OsString>,

    /// Address for /livez, /readyz, /startupz and /metrics, IP:PORT [default: 0.0.0.0:9090]
    #[arg(long, value_name = "ADDR", env = "LONGSHORE_PROBES")]
    pub(super) probes: Option<OsString>,

    /// File of tokens, one a line, with what each may do; or a directory of such files. Read again when they change
    #[arg(long, value_name = "FILE", env = "LONGSHORE_TOKEN_FILE")]
    pub(super) token_file: Option<OsString>,

    /// Let anybody write who reaches the address, which must then be a loopback one, as in 127.0.0.1:8080
    #[arg(long, env = "LONGSHORE_NO_AUTH")]
    pub(super) no_auth: bool,

    #[command(flatten)]
    pub(super) access: AccessFlags,

    /// Certificate for TLS on the address for uploads, with those between it and a root, as PEM. Read again when it changes
    #[arg(long, value_name = "FILE", env = "LONGSHORE_TLS_CERT")]
    pub(super) tls_cert: Option<OsString>,

    /// Key of --tls-cert, as PEM
    #[arg(long, value_name = "FILE", env = "LONGSHORE_TLS_KEY")]
    pub(super) tls_key: Option<OsString>,

    /// Authorities, as PEM, of which clients must have a certificate; they need a token all the same
    #[arg(long, value_name = "FILE", env = "LONGSHORE_TLS_CLIENT_CA")]
    pub(super) tls_client_ca: Option<OsString>,

    /// Name under which it may be asked for, with a port or for any, as in publish.example.com; several: each with a flag
    /// of its own. Other names are answered 421 [default: every name]
    #[arg(long, value_name = "HOST", env = "LONGSHORE_HOST")]
    pub(super) host: Vec<OsString>,

    /// Origin whose pages may send requests from a browser and read the answers (CORS), as in https://admin.example.com;
    /// several: each with a flag of its own. Changes that pages of others ask for are answered 403 [default: only its own]
    #[arg(long, value_name = "URL", env = "LONGSHORE_ORIGIN")]
    pub(super) origin: Vec<OsString>,

    /// Let anybody read /site/ without a token
    #[arg(long, env = "LONGSHORE_PUBLIC_READ")]
    pub(super) public_read: bool,

    #[arg(long, value_name = "SOURCE", env = "LONGSHORE_FROM", help = sources!("; it is followed [default: none]"))]
    pub(super) from: Vec<OsString>,

    /// Time between two looks at the source, with its unit (ms, s, m, h), as in 30s or 5m [default: 30s]
    #[arg(long, value_name = "TIME", env = "LONGSHORE_EVERY")]
    pub(super) every: Option<OsString>,

    /// When the source is published: `empty`, only to an empty volume; `unmodified`, also when it changed and nobody
    /// has uploaded since; `always`, whenever it differs from what is live [default: unmodified]
    #[arg(long, value_name = "WHEN", env = "LONGSHORE_WHEN")]
    pub(super) when: Option<OsString>,

    /// Time that running requests get to finish after SIGTERM, with its unit (ms, s, m, h); keep it below the Pod's
    /// terminationGracePeriodSeconds [default: 25s]
    #[arg(long, value_name = "TIME", env = "LONGSHORE_GRACE")]
    pub(super) grace: Option<OsString>,

    /// Who is asked before a release is published, by a POST of JSON that names the staged tree: only an answer of 2xx
    /// lets it pass. http or https (user and password in it are sent, and never logged); or the absolute path of a
    /// program, which gets the JSON on its standard input and passes a release by exit code 0
    #[arg(long, value_name = "URL|PROGRAM", env = "LONGSHORE_PRE_PUBLISH")]
    pub(super) pre_publish: Option<OsString>,

    /// Time that one answer of --pre-publish may take, with its unit; then it is a no [default: 30s]
    #[arg(long, value_name = "TIME", env = "LONGSHORE_PRE_PUBLISH_TIMEOUT")]
    pub(super) pre_publish_timeout: Option<OsString>,

    /// Who is told of each release that is live: again and again, until it answers 2xx (or ends with 0) or a newer
    /// release is live. An address or a program, as with --pre-publish
    #[arg(long, value_name = "URL|PROGRAM", env = "LONGSHORE_POST_PUBLISH")]
    pub(super) post_publish: Option<OsString>,

    /// Time that one answer of --post-publish may take, with its unit [default: 10s]
    #[arg(long, value_name = "TIME", env = "LONGSHORE_POST_PUBLISH_TIMEOUT")]
    pub(super) post_publish_timeout: Option<OsString>,

    /// File to write the two bound addresses to, as `listen=IP:PORT` and `probes=IP:PORT`; for scripts that use port 0
    #[arg(long, value_name = "FILE", env = "LONGSHORE_ADDRESSES_FILE")]
    pub(super) addresses_file: Option<OsString>,

    /// Commit what somebody changes on the volume by hand, as with kubectl cp; without, it is only reported
    #[arg(long, env = "LONGSHORE_ADOPT_CHANGES")]
    pub(super) adopt_changes: bool,

    #[command(flatten)]
    pub(super) layout: LayoutFlags,

    #[command(flatten)]
    pub(super) keep: KeepFlags,

    #[command(flatten)]
    pub(super) limits: LimitFlags,
}

impl Flags {
    /// Where the chosen command is explained.
    pub(super) fn help(&self) -> &'static str {
        match self.verb {
            Verb::Fill(_) => HELP_FILL,
            Verb::Serve(_) => HELP_SERVE,
            Verb::Verify(_) => HELP_VERIFY,
            Verb::Doctor(_) => HELP_DOCTOR,
            Verb::Reconcile(_) => HELP_RECONCILE,
        }
    }
}

/// Why there are no flags.
pub(super) enum Stop {
    /// Help or the version was asked for.
    Told(clap::Error),
    /// The line makes no sense to clap, which tells only the first reason.
    Mistake(String),
}

/// Takes the command line apart.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Flags, Stop> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let blind = each_argument(Flags::command(), &|argument| argument.env(Resettable::Reset));
    let parsed = blind.try_get_matches_from(&arguments).and_then(|matches| Flags::from_arg_matches(&matches));
    parsed.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::DisplayVersion => {
            // Help names the variables, never their values: once more, with the names.
            let seeing = each_argument(Flags::command(), &|argument| argument.hide_env_values(true));
            Stop::Told(seeing.try_get_matches_from(&arguments).err().unwrap_or(error))
        }
        _ => Stop::Mistake(sentence(&error)),
    })
}

/// The variables of every subcommand: a Pod often gives one set to all its containers.
pub(super) fn variables() -> Vec<String> {
    let command = Flags::command();
    let own = command.get_arguments();
    let all = own.chain(command.get_subcommands().flat_map(Command::get_arguments));
    let mut names: Vec<_> = all.filter_map(|flag| Some(flag.get_env()?.to_string_lossy().into_owned())).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn each_argument(command: Command, change: &dyn Fn(clap::Arg) -> clap::Arg) -> Command {
    command.mut_args(change).mut_subcommands(|command| each_argument(command, change))
}

/// What clap has to say, without the usage that the hint points to.
fn sentence(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.split("\n\nUsage:").next().unwrap_or(&text);
    let text = text.split("\n\nFor more information").next().unwrap_or(text);
    let lines = text.trim_start_matches("error: ").lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ")
}
