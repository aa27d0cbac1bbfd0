//! What a system call does to a volume, told from its number and its arguments.

use std::{
    ffi::OsStr,
    fmt, fs,
    os::unix::{ffi::OsStrExt as _, fs::FileExt as _},
    path::{Path, PathBuf},
};

use nix::libc::{self, c_int};

/// What a call is to a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It changes something, or makes a change durable.
    Change,
    /// It opens what is there.
    Open,
    /// It closes a file that was open for writing: where some file systems tell of an error at last.
    Close,
    /// It only looks.
    Look,
}

/// A system call on something below a volume. Paths are relative to the volume.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) path: PathBuf,
    /// Where a link or a rename leads.
    pub(crate) to: Option<PathBuf>,
    /// The thread that made it.
    pub(crate) thread: i32,
    /// What it gave, once it has run; an error is negative.
    pub(crate) result: Option<i64>,
}

impl fmt::Display for Call {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.name, self.path.display())?;
        match &self.to {
            Some(to) => write!(out, " -> {}", to.display()),
            None => Ok(()),
        }
    }
}

impl Call {
    /// Whether it makes something durable.
    pub(crate) fn is_sync(&self) -> bool {
        matches!(self.name, "fsync" | "fdatasync" | "syncfs")
    }
}

/// Where a call's arguments name what it is done to.
enum Names {
    Descriptor(usize),
    /// A descriptor, and a name relative to it.
    At(usize),
    /// Two of these.
    Both,
}

/// A process as its calls see it: its memory and its descriptors.
pub(super) struct Process {
    id: i32,
    volume: PathBuf,
    memory: Option<fs::File>,
}

const FICLONE: u64 = 0x4004_9409;
const PATH_MAX: usize = 4_096;
/// The working directory, in a descriptor's place.
const HERE: u64 = libc::AT_FDCWD.cast_unsigned() as u64;

impl Process {
    pub(super) fn new(id: i32, volume: PathBuf) -> Self {
        Self { id, volume, memory: None }
    }

    /// After it executed another program: what we know of its memory is of the one before.
    pub(super) fn forget_memory(&mut self) {
        self.memory = None;
    }

    /// What the call does below the volume, if it does anything there.
    pub(super) fn call(&mut self, number: i64, arguments: [u64; 6]) -> Option<Call> {
        use Kind::{Change, Close, Look};
        use Names::{At, Both, Descriptor};
        let (name, names, kind) = match number {
            libc::SYS_openat => ("openat", At(0), opens(arguments[2])),
            libc::SYS_openat2 => ("openat2", At(0), opens(self.word(arguments[2])?)),
            libc::SYS_write | libc::SYS_pwrite64 => ("write", Descriptor(0), Change),
            libc::SYS_writev | libc::SYS_pwritev | libc::SYS_pwritev2 => ("writev", Descriptor(0), Change),
            libc::SYS_ftruncate => ("ftruncate", Descriptor(0), Change),
            libc::SYS_fallocate => ("fallocate", Descriptor(0), Change),
            libc::SYS_copy_file_range => ("copy_file_range", Descriptor(2), Change),
            libc::SYS_ioctl if arguments[1] == FICLONE => ("ioctl FICLONE", Descriptor(0), Change),
            libc::SYS_fchmod => ("fchmod", Descriptor(0), Change),
            libc::SYS_fchmodat => ("fchmodat", At(0), Change),
            libc::SYS_fchown => ("fchown", Descriptor(0), Change),
            libc::SYS_fchownat => ("fchownat", At(0), Change),
            libc::SYS_utimensat => ("utimensat", At(0), Change),
            libc::SYS_fsync => ("fsync", Descriptor(0), Change),
            libc::SYS_fdatasync => ("fdatasync", Descriptor(0), Change),
            libc::SYS_syncfs => ("syncfs", Descriptor(0), Change),
            libc::SYS_mkdirat => ("mkdirat", At(0), Change),
            libc::SYS_mknodat => ("mknodat", At(0), Change),
            libc::SYS_unlinkat => ("unlinkat", At(0), Change),
            libc::SYS_symlinkat => ("symlinkat", At(1), Change),
            libc::SYS_linkat => ("linkat", Both, Change),
            libc::SYS_renameat => ("renameat", Both, Change),
            libc::SYS_renameat2 => ("renameat2", Both, Change),
            libc::SYS_close if self.is_writable(arguments[0]) => ("close", Descriptor(0), Close),
            libc::SYS_read | libc::SYS_pread64 | libc::SYS_readv => ("read", Descriptor(0), Look),
            libc::SYS_lseek => ("lseek", Descriptor(0), Look),
            libc::SYS_flock => ("flock", Descriptor(0), Look),
            libc::SYS_getdents64 => ("getdents64", Descriptor(0), Look),
            libc::SYS_fstat => ("fstat", Descriptor(0), Look),
            libc::SYS_fstatfs => ("fstatfs", Descriptor(0), Look),
            libc::SYS_statx => ("statx", At(0), Look),
            libc::SYS_newfstatat => ("newfstatat", At(0), Look),
            libc::SYS_readlinkat => ("readlinkat", At(0), Look),
            libc::SYS_faccessat | libc::SYS_faccessat2 => ("faccessat", At(0), Look),
            number => return self.legacy(number, arguments),
        };
        let (path, to) = match names {
            Descriptor(at) => (self.open_file(arguments[at])?, None),
            At(at) => (self.resolve(arguments[at], arguments[at + 1])?, None),
            Both => {
                let [from, from_name, to, to_name, ..] = arguments;
                (self.resolve(from, from_name)?, Some(self.resolve(to, to_name)?))
            }
        };
        self.on_volume(name, kind, path, to)
    }

    fn on_volume(&self, name: &'static str, kind: Kind, path: PathBuf, to: Option<PathBuf>) -> Option<Call> {
        let below = |path: &Path| path.strip_prefix(&self.volume).map(Path::to_path_buf).ok();
        let (below, to_below) = (below(&path), to.as_deref().map(below));
        if below.is_none() && to_below.as_ref().is_none_or(Option::is_none) {
            return None;
        }
        let (path, to) = (below.unwrap_or(path), to.map(|to| to_below.flatten().unwrap_or(to)));
        Some(Call { name, kind, path, to, thread: self.id, result: None })
    }

    /// Calls that take names alone, and that newer architectures do not have.
    #[cfg(target_arch = "x86_64")]
    fn legacy(&mut self, number: i64, arguments: [u64; 6]) -> Option<Call> {
        use Kind::{Change, Look};
        let (name, kind) = match number {
            libc::SYS_open => ("open", opens(arguments[1])),
            libc::SYS_creat => ("creat", Change),
            libc::SYS_mkdir => ("mkdir", Change),
            libc::SYS_rmdir => ("rmdir", Change),
            libc::SYS_unlink => ("unlink", Change),
            libc::SYS_chmod => ("chmod", Change),
            libc::SYS_truncate => ("truncate", Change),
            libc::SYS_link => ("link", Change),
            libc::SYS_rename => ("rename", Change),
            libc::SYS_symlink => ("symlink", Change),
            libc::SYS_stat | libc::SYS_lstat => ("stat", Look),
            libc::SYS_readlink => ("readlink", Look),
            libc::SYS_access => ("access", Look),
            _ => return None,
        };
        let has_two = matches!(name, "link" | "rename" | "symlink");
        let path = self.resolve(HERE, arguments[0])?;
        let to = if has_two { Some(self.resolve(HERE, arguments[1])?) } else { None };
        self.on_volume(name, kind, path, to)
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn legacy(&mut self, _number: i64, _arguments: [u64; 6]) -> Option<Call> {
        None
    }

    fn resolve(&mut self, descriptor: u64, name: u64) -> Option<PathBuf> {
        let name = if name == 0 { Vec::new() } else { self.text(name)? };
        match Path::new(OsStr::from_bytes(&name)) {
            name if name.as_os_str().is_empty() => self.open_file(descriptor),
            name if name.is_absolute() => Some(name.into()),
            name => Some(self.open_file(descriptor)?.join(name)),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the kernel takes the lower half as well")]
    fn open_file(&self, descriptor: u64) -> Option<PathBuf> {
        let link = match descriptor as c_int {
            libc::AT_FDCWD => format!("/proc/{}/cwd", self.id),
            descriptor => format!("/proc/{}/fd/{descriptor}", self.id),
        };
        fs::read_link(link).ok()
    }

    fn is_writable(&self, descriptor: u64) -> bool {
        let about = fs::read_to_string(format!("/proc/{}/fdinfo/{descriptor}", self.id)).unwrap_or_default();
        let flags = about.lines().find_map(|line| c_int::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
        flags.is_some_and(|flags| flags & libc::O_ACCMODE != libc::O_RDONLY)
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> Option<usize> {
        if self.memory.is_none() {
            self.memory = fs::File::open(format!("/proc/{}/mem", self.id)).ok();
        }
        self.memory.as_ref()?.read_at(into, at).ok()
    }

    fn word(&mut self, at: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        (self.read(at, &mut bytes)? == 8).then(|| u64::from_ne_bytes(bytes))
    }

    fn text(&mut self, at: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; PATH_MAX];
        let filled = self.read(at, &mut bytes)?;
        let end = bytes[..filled].iter().position(|&byte| byte == 0)?;
        bytes.truncate(end);
        Some(bytes)
    }
}

fn opens(flags: u64) -> Kind {
    let makes = libc::O_CREAT | libc::O_TRUNC;
    if flags & u64::from(makes.unsigned_abs()) == 0 { Kind::Open } else { Kind::Change }
}
