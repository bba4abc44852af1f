//! The built files of the console, packed once when first asked for.

use std::io::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

/// A file of the console.
pub(super) struct Asset {
    name: &'static str,
    /// `Content-Type`.
    pub(super) media_type: &'static str,
    /// As it is.
    pub(super) content: &'static [u8],
    /// Packed by gzip (RFC 1952).
    pub(super) gzip: Vec<u8>,
    /// Entity tag of `content`.
    pub(super) tag: String,
    /// Entity tag of `gzip`: another representation has another tag.
    pub(super) gzip_tag: String,
}

macro_rules! built {
    ($($name:literal: $media_type:literal),* $(,)?) => {
        [$(($name, $media_type, include_bytes!(concat!("../../console/dist/", $name)) as &[u8])),*]
    };
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let built = built! {
        "index.html": "text/html; charset=utf-8",
        "console.js": "text/javascript; charset=utf-8",
        "console.css": "text/css; charset=utf-8",
        "icon.svg": "image/svg+xml",
    };
    built.into_iter().map(asset).collect()
});

/// The file with this name.
pub(super) fn find(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

fn asset((name, media_type, content): (&'static str, &'static str, &'static [u8])) -> Asset {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail.
    let gzip = packer
        .write_all(content)
        .and_then(|()| packer.finish())
        .unwrap_or_default();
    let digest = URL_SAFE_NO_PAD.encode(&Sha256::digest(content)[..12]);
    Asset {
        name,
        media_type,
        content,
        gzip,
        tag: format!("\"{digest}\""),
        gzip_tag: format!("\"{digest}-gz\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Budget of the first load, packed.
    const FIRST_LOAD_BYTES_MAX: usize = 150 * 1024;

    #[test]
    fn the_first_load_is_small() {
        let total: usize = ASSETS.iter().map(|asset| asset.gzip.len()).sum();
        assert!(total > 1_000 && total <= FIRST_LOAD_BYTES_MAX, "{total}");
    }

    #[test]
    fn packed_files_unpack_to_themselves() {
        for asset in ASSETS.iter() {
            let mut unpacked = flate2::write::GzDecoder::new(Vec::new());
            unpacked.write_all(&asset.gzip).unwrap();
            assert_eq!(unpacked.finish().unwrap(), asset.content, "{}", asset.name);
        }
    }
}
