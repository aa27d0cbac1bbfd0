//! SeaweedFS: a real S3 server.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use object_store::{
    ObjectStoreExt as _, RetryConfig, WriteMultipart,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path as Key,
};
use tempfile::TempDir;

use crate::{
    http::{runtime, try_call},
    nginx::free_port,
    pod::text,
    run::{clean, eventually},
};

/// The server's keeper: starts and kills it when told so, and when it is told no more, because the server was dropped or
/// the tests were killed themselves, ends it and removes what it wrote. Interrupts are for the tests, not for the keeper.
const KEEPER: &str = r#"
trap '' INT TERM
folder=$1 sockets=$2
shift 2
while read -r order; do
    case $order in
        start) "$@" >>"$folder/log" 2>&1 & server=$! ;;
        kill) kill -KILL "$server"; wait "$server" 2>/dev/null ;;
    esac
    echo "$order: done"
done
kill -KILL "$server" 2>/dev/null
wait "$server" 2>/dev/null
rm -rf "$folder" $sockets
"#;

/// The only bucket: a bucket of its own for each test would use up the server's volumes.
pub(crate) const BUCKET: &str = "harbour";
const ACCESS_KEY: &str = "harbourmaster";
/// The secret of the only access key.
pub(crate) const SECRET_KEY: &str = "a-secret-of-the-tests";

/// A running server that has [`BUCKET`].
pub(crate) struct Weed {
    keeper: Child,
    answers: BufReader<ChildStdout>,
    port: u16,
    folder: PathBuf,
}

impl Weed {
    /// The server that tests share, each under a prefix of its own.
    pub(crate) fn shared(program: &Path) -> &'static Self {
        static SHARED: OnceLock<Weed> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(program))
    }

    /// A server for one test, to be ended with it.
    pub(crate) fn start(program: &Path) -> Self {
        // Its keeper removes it.
        let folder = TempDir::with_prefix("longshore-weed-").expect("a temporary folder is made").keep();
        let at = |name: &str| folder.join(name);
        fs::create_dir(at("data")).expect("a folder is made");
        let key = serde_json::json!({ "accessKey": ACCESS_KEY, "secretKey": SECRET_KEY });
        let actions = ["Admin", "Read", "Write", "List", "Tagging"];
        let identity = serde_json::json!({ "name": "admin", "credentials": [key], "actions": actions });
        fs::write(at("s3.json"), serde_json::json!({ "identities": [identity] }).to_string()).expect("it is written");

        let port = free_port();
        let mut flags = vec![format!("-s3.port={port}")];
        for service in ["master.port", "volume.port", "filer.port"] {
            flags.push(format!("-{service}={}", free_port()));
        }
        let mut sockets = Vec::new();
        for service in ["s3", "master", "volume", "filer"] {
            let port = free_port();
            flags.push(format!("-{service}.port.grpc={port}"));
            // It makes these wherever it is told to keep its files.
            sockets.push(format!("/tmp/seaweedfs-{service}-grpc-{port}.sock"));
        }
        for (flag, path) in [
            ("dir", "data"),
            ("s3.config", "s3.json"),
            ("s3.localSocket", "s3.sock"),
            ("filer.localSocket", "filer.sock"),
        ] {
            flags.push(format!("-{flag}={}", text(&at(path))));
        }
        let mut command = Command::new("sh");
        clean(&mut command).args(["-c", KEEPER, "keeper", text(&folder), &sockets.join(" ")]);
        command.arg(program).args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-iam=false"]);
        command.args([
            "-master.telemetry=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-volume.max=100",
            "-master.electionTimeout=1s",
        ]);
        command.arg("-master.volumeSizeLimitMB=64").args(flags).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = command.spawn().expect("a shell starts");
        let answers = BufReader::new(keeper.stdout.take().expect("it is piped"));
        let mut weed = Self { keeper, answers, port, folder };
        weed.order("start");
        weed.wait();
        weed
    }

    fn order(&mut self, order: &str) {
        let orders = self.keeper.stdin.as_mut().expect("it is piped");
        writeln!(orders, "{order}").expect("the keeper listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the keeper answers");
        assert_eq!(answer, format!("{order}: done\n"), "{}", self.log());
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.order("kill");
    }

    /// Starts it with the data that it had.
    pub(crate) fn start_again(&mut self) {
        self.order("start");
        self.wait();
    }

    /// The bucket is there, and takes an object: the filer and a volume are up too, which takes longer than a port.
    fn wait(&self) {
        eventually("SeaweedFS answers", Duration::from_secs(40), || {
            try_call("GET", &format!("{}/status", self.endpoint()), &[], "").ok()
        });
        let impatient = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let bucket = self.builder().with_retry(impatient).build().expect("a bucket is described");
        eventually("SeaweedFS takes an object", Duration::from_secs(40), || {
            // The server makes the bucket of an administrator's first object.
            let put = runtime().block_on(bucket.put(&Key::from("first"), "first".into()));
            if put.is_err() {
                std::thread::sleep(Duration::from_millis(200));
            }
            put.ok()
        });
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The environment that a container has for this server.
    pub(crate) fn environment(&self) -> [(&'static str, String); 4] {
        environment(&self.endpoint(), SECRET_KEY)
    }

    /// What the server said, for a test that fails by it.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn builder(&self) -> AmazonS3Builder {
        let _ = runtime();
        let builder = AmazonS3Builder::new().with_endpoint(self.endpoint()).with_allow_http(true);
        let builder = builder.with_region("us-east-1").with_bucket_name(BUCKET);
        builder.with_access_key_id(ACCESS_KEY).with_secret_access_key(SECRET_KEY)
    }

    fn bucket(&self) -> AmazonS3 {
        self.builder().build().expect("a bucket is described")
    }

    /// Writes objects; keys go in as they are.
    pub(crate) fn put_all(&self, objects: impl IntoIterator<Item = (String, Vec<u8>)>) {
        use futures_util::{StreamExt as _, TryStreamExt as _, stream};
        let bucket = self.bucket();
        let puts = stream::iter(objects).map(|(key, bytes)| {
            let bucket = &bucket;
            async move { bucket.put(&Key::parse(&key).expect("a key"), bytes.into()).await }
        });
        let done = runtime().block_on(puts.buffer_unordered(8).try_collect::<Vec<_>>());
        done.unwrap_or_else(|error| panic!("an object is put: {error}\n{}", self.log()));
    }

    pub(crate) fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        self.put_all([(key.to_owned(), bytes.into())]);
    }

    /// Writes an object of many pieces, without holding it in memory.
    pub(crate) fn put_large(&self, key: &str, pieces: usize, piece: impl Fn(usize) -> Vec<u8>) {
        let bucket = self.bucket();
        let done = runtime().block_on(async {
            let upload = bucket.put_multipart(&Key::parse(key).expect("a key")).await?;
            let mut upload = WriteMultipart::new_with_chunk_size(upload, 8 << 20);
            for index in 0..pieces {
                upload.wait_for_capacity(4).await?;
                upload.write(&piece(index));
            }
            upload.finish().await
        });
        done.unwrap_or_else(|error| panic!("a large object is put: {error}\n{}", self.log()));
    }

    pub(crate) fn delete(&self, key: &str) {
        let deleted = runtime().block_on(self.bucket().delete(&Key::parse(key).expect("a key")));
        deleted.unwrap_or_else(|error| panic!("an object is deleted: {error}\n{}", self.log()));
    }
}

impl Drop for Weed {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The standard variables for an S3 server.
pub(crate) fn environment(endpoint: &str, secret: &str) -> [(&'static str, String); 4] {
    [
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
    ]
}
