//! Limits in numbers: how high each is, how near to it things are, and how often it refused something.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// A limit that may refuse a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Bytes of a file.
    FileBytes,
    /// Bytes of a site.
    SiteBytes,
    /// Files of a site.
    SiteFiles,
    /// Uploads at once.
    Uploads,
    /// Bytes free on the volume, or what the volume itself has.
    FreeBytes,
}

/// How high the limits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heights {
    /// Bytes of a file.
    pub file_bytes: u64,
    /// Bytes of a site.
    pub site_bytes: u64,
    /// Files of a site.
    pub site_files: u64,
    /// Uploads at once.
    pub uploads: u64,
    /// Seconds for which what is not finished is kept.
    pub upload_age: u64,
    /// Bytes that stay free.
    pub free_bytes: u64,
}

type Number = Gauge<u64, AtomicU64>;

/// The numbers.
#[derive(Debug, Default)]
pub struct Bounds {
    file_bytes: Number,
    site_bytes: Number,
    site_files: Number,
    uploads: Number,
    upload_age: Number,
    free_bytes: Number,
    refused: Family<LimitLabel, Counter>,
    expired: Counter,
    live_bytes: Number,
    live_files: Number,
    free: Number,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabel {
    limit: &'static str,
}

impl Limit {
    const ALL: [Self; 5] = [Self::FileBytes, Self::SiteBytes, Self::SiteFiles, Self::Uploads, Self::FreeBytes];

    const fn label(self) -> LimitLabel {
        LimitLabel {
            limit: match self {
                Self::FileBytes => "file_bytes",
                Self::SiteBytes => "site_bytes",
                Self::SiteFiles => "site_files",
                Self::Uploads => "uploads",
                Self::FreeBytes => "free_bytes",
            },
        }
    }
}

impl Bounds {
    /// Makes them known.
    pub(super) fn register(&self, registry: &mut Registry) {
        for (name, help, number) in [
            ("limit_file_bytes", "Bytes that a file may have", &self.file_bytes),
            ("limit_site_bytes", "Bytes that a site may have", &self.site_bytes),
            ("limit_site_files", "Files that a site may have", &self.site_files),
            ("limit_uploads", "Requests with a body that may be in flight", &self.uploads),
            ("limit_upload_age_seconds", "How long an unfinished upload is kept", &self.upload_age),
            ("limit_free_bytes", "Bytes that an upload leaves free on the volume", &self.free_bytes),
            ("site_bytes", "Bytes of the live release", &self.live_bytes),
            ("site_files", "Files of the live release", &self.live_files),
            ("free_bytes", "Bytes free on the volume", &self.free),
        ] {
            registry.register(name, help, number.clone());
        }
        registry.register("refused", "Requests refused by a limit", self.refused.clone());
        registry.register("expired_uploads", "Unfinished uploads and objects removed for age", self.expired.clone());
        for limit in Limit::ALL {
            drop(self.refused.get_or_create(&limit.label()));
        }
    }

    /// Notes how high the limits are.
    pub fn set(&self, heights: &Heights) {
        self.file_bytes.set(heights.file_bytes);
        self.site_bytes.set(heights.site_bytes);
        self.site_files.set(heights.site_files);
        self.uploads.set(heights.uploads);
        self.upload_age.set(heights.upload_age);
        self.free_bytes.set(heights.free_bytes);
    }

    /// Counts a request that a limit refused.
    pub fn refused(&self, limit: Limit) {
        self.refused.get_or_create(&limit.label()).inc();
    }

    /// Counts what was removed since nobody finished or took it.
    pub fn expired(&self, count: u64) {
        self.expired.inc_by(count);
    }

    /// Notes how large the live release is.
    pub fn lives(&self, files: u64, bytes: u64) {
        self.live_files.set(files);
        self.live_bytes.set(bytes);
    }

    /// Notes what is free on the volume.
    pub fn is_free(&self, bytes: u64) {
        self.free.set(bytes);
    }
}
