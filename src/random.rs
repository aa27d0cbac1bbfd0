//! Random bits, from the kernel's own call.
//!
//! A static program in an empty root has no dynamic C library to ask, and perhaps no `/dev/urandom`; the call is always
//! there.

use std::mem::MaybeUninit;

use rustix::{
    io::Errno,
    rand::{GetRandomFlags, getrandom},
};
use uuid::{Builder, Uuid};

/// 128 random bits.
///
/// # Panics
/// On a kernel without `getrandom(2)`, which came with Linux 3.17; `openat2(2)`, which we need as well, came with 5.6.
#[must_use]
pub fn bits() -> [u8; 16] {
    let mut bits = [MaybeUninit::uninit(); 16];
    loop {
        match getrandom(&mut bits, GetRandomFlags::empty()) {
            // Up to 256 bytes come whole (getrandom(2)).
            Ok((bits, _)) if bits.len() == 16 => return bits.try_into().expect("it has 16 bytes"),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => panic!("getrandom: {errno}"),
        }
    }
}

/// 128 random bits as 32 lower-case hexadecimal digits.
#[must_use]
pub fn name() -> String {
    format!("{:032x}", u128::from_be_bytes(bits()))
}

/// A random UUID (version 4).
#[must_use]
pub fn uuid() -> Uuid {
    Builder::from_random_bytes(bits()).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_twice() {
        assert_ne!(bits(), bits());
        assert_eq!((name().len(), uuid().get_version_num()), (32, 4));
    }
}
