//! `longshore doctor`: what keeps a volume from working, a line each.

use super::Failure;
use crate::settings::Doctor;

pub(super) fn run(settings: &Doctor) -> Result<(), Failure> {
    Err(Failure::other(anyhow::anyhow!("not built yet: {settings:?}")))
}
