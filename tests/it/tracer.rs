//! A tracer of our own: it sees each system call by which a process touches a volume, and can kill the process before one
//! runs, or make one fail.
//!
//! strace injects such faults too, but counts the calls of each thread by itself, and longshore works on many threads.
//! Here one count goes over all of them. It is ptrace(2) alone, so neither a privilege nor a special build is needed.
//!
//! All calls of ptrace come from one thread, since the kernel knows no other as the tracer. That thread also starts the
//! process and waits for it (`__WNOTHREAD`), so that tests which run beside this one never steal each other's children.

mod call;
mod process;
mod registers;

pub(crate) use call::{Call, Kind};
pub(crate) use process::{Ended, Traced, Verdict};
