//! The registers of a thread that is stopped at a system call.

use nix::{
    errno::Errno,
    libc::user_regs_struct,
    sys::ptrace::{getregs, setregs},
    unistd::Pid,
};

/// A stopped thread's registers.
pub(super) struct Registers {
    thread: Pid,
    values: user_regs_struct,
}

impl Registers {
    pub(super) fn of(thread: Pid) -> nix::Result<Self> {
        Ok(Self { thread, values: getregs(thread)? })
    }

    fn set(self) -> nix::Result<()> {
        setregs(self.thread, self.values)
    }
}

#[cfg(target_arch = "x86_64")]
impl Registers {
    /// The call's number.
    pub(super) fn number(&self) -> i64 {
        self.values.orig_rax.cast_signed()
    }

    /// The call's arguments.
    pub(super) fn arguments(&self) -> [u64; 6] {
        let user_regs_struct { rdi, rsi, rdx, r10, r8, r9, .. } = self.values;
        [rdi, rsi, rdx, r10, r8, r9]
    }

    /// Once the call has run: what it gave.
    pub(super) fn result(&self) -> i64 {
        self.values.rax.cast_signed()
    }

    /// Before the call: it will not run.
    pub(super) fn skip(mut self) -> nix::Result<()> {
        self.values.orig_rax = u64::MAX;
        self.set()
    }

    /// After the call: it gives this error.
    pub(super) fn fail(mut self, errno: Errno) -> nix::Result<()> {
        self.values.rax = (-i64::from(errno as i32)).cast_unsigned();
        self.set()
    }
}

#[cfg(target_arch = "aarch64")]
impl Registers {
    /// The call's number.
    pub(super) fn number(&self) -> i64 {
        self.values.regs[8].cast_signed()
    }

    /// The call's arguments.
    pub(super) fn arguments(&self) -> [u64; 6] {
        std::array::from_fn(|index| self.values.regs[index])
    }

    /// Once the call has run: what it gave.
    pub(super) fn result(&self) -> i64 {
        self.values.regs[0].cast_signed()
    }

    /// Before the call: it will do nothing. Its number cannot be changed here, but with neither a descriptor nor a name
    /// that exist each of the calls that we know fails.
    pub(super) fn skip(mut self) -> nix::Result<()> {
        self.values.regs[..6].fill(u64::MAX);
        self.set()
    }

    /// After the call: it gives this error.
    pub(super) fn fail(mut self, errno: Errno) -> nix::Result<()> {
        self.values.regs[0] = (-i64::from(errno as i32)).cast_unsigned();
        self.set()
    }
}
