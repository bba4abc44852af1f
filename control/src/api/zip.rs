//! A ZIP archive of a few files, uncompressed (APPNOTE.TXT 6.3.10 §4.3).

/// An archive being written.
#[derive(Debug, Default)]
pub struct Zip {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    files: u16,
}

impl Zip {
    /// Adds a file; names are ours, never a caller's. Archives of 4 GiB and more are not written.
    pub fn add(&mut self, name: &str, content: &[u8]) {
        let fits = |length: usize| u32::try_from(length).ok();
        let (Some(offset), Some(size), Ok(name_size)) = (
            fits(self.bytes.len()),
            fits(content.len()),
            u16::try_from(name.len()),
        ) else {
            return;
        };
        // Version 2.0, UTF-8 names, stored, 1980-01-01 00:00, checksum, both sizes, name, no extra.
        let mut common = Vec::with_capacity(26);
        for word in [20_u16, 1 << 11, 0, 0, 0x21] {
            common.extend(word.to_le_bytes());
        }
        for long in [crc32(content), size, size] {
            common.extend(long.to_le_bytes());
        }
        common.extend(name_size.to_le_bytes());
        common.extend(0_u16.to_le_bytes());
        self.bytes.extend(b"PK\x03\x04");
        self.bytes.extend(&common);
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(content);
        self.directory.extend(b"PK\x01\x02");
        self.directory.extend(20_u16.to_le_bytes());
        self.directory.extend(&common);
        // No comment, first disk, no attributes.
        self.directory.extend([0; 10]);
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.files += 1;
    }

    /// The archive.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let offset = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        let size = u32::try_from(self.directory.len()).unwrap_or(u32::MAX);
        self.bytes.append(&mut self.directory);
        self.bytes.extend(b"PK\x05\x06\0\0\0\0");
        self.bytes.extend(self.files.to_le_bytes());
        self.bytes.extend(self.files.to_le_bytes());
        self.bytes.extend(size.to_le_bytes());
        self.bytes.extend(offset.to_le_bytes());
        self.bytes.extend(0_u16.to_le_bytes());
        self.bytes
    }
}

/// CRC-32 as in ISO 3309, reflected.
fn crc32(content: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in content {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc >>= 1;
            if carry == 1 {
                crc ^= 0xEDB8_8320;
            }
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_read_back_by_another_program() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        let mut zip = Zip::default();
        zip.add("calls.csv", b"a,b\r\n");
        zip.add("call.json", "{\"text\": \"ü\"}".as_bytes());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.zip");
        std::fs::write(&path, zip.finish()).unwrap();
        let script = "import sys,zipfile;z=zipfile.ZipFile(sys.argv[1]);assert z.testzip() is None;\
                      print(z.namelist(),z.read('calls.csv'))";
        let read = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(&path)
            .output();
        let read = String::from_utf8(read.unwrap().stdout).unwrap();
        assert_eq!(read.trim(), r"['calls.csv', 'call.json'] b'a,b\r\n'");
    }
}
