//! Reading numbers and texts from the front of a file that is not trusted.

use crate::unique::shown;

/// What is left of a file, and how much has been read. Every fault says at which byte it stands.
pub(super) struct Bytes<'f> {
    file: &'f [u8],
    at: usize,
}

impl<'f> Bytes<'f> {
    /// The whole of a file.
    pub fn new(file: &'f [u8]) -> Self {
        Self { file, at: 0 }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes that are left.
    pub fn left(&self) -> u64 {
        (self.file.len() - self.at) as u64
    }

    /// The next `count` bytes, which are `what`.
    pub fn take(&mut self, count: u64, what: &str) -> Result<&'f [u8], String> {
        let left = self.left();
        if count > left {
            return Err(format!("{what} at byte {} takes {count} bytes, and {left} are left in the file", self.at));
        }
        let taken = &self.file[self.at..][..count as usize];
        self.at += taken.len();
        Ok(taken)
    }

    fn number<const N: usize>(&mut self, what: &str) -> Result<[u8; N], String> {
        let bytes = self.take(N as u64, what)?;
        Ok(std::array::from_fn(|i| bytes[i]))
    }

    /// The next 4 bytes as a number.
    pub fn u32(&mut self, what: &str) -> Result<u32, String> {
        self.number(what).map(u32::from_le_bytes)
    }

    /// The next 8 bytes as a number.
    pub fn u64(&mut self, what: &str) -> Result<u64, String> {
        self.number(what).map(u64::from_le_bytes)
    }

    /// A number of things of at least `least` bytes each, which must fit into what is left.
    pub fn count(&mut self, least: u64, what: &str) -> Result<u64, String> {
        let count = self.u64(what)?;
        self.fits(count, least, what)?;
        Ok(count)
    }

    /// Whether `count` things of at least `least` bytes can be in what is left.
    pub fn fits(&self, count: u64, least: u64, what: &str) -> Result<(), String> {
        let left = self.left();
        if count.checked_mul(least).is_none_or(|bytes| bytes > left) {
            return Err(format!("{what} is {count}, which cannot fit into the {left} bytes that are left in the file"));
        }
        Ok(())
    }

    /// A text: its length, then that many bytes of UTF-8.
    pub fn text(&mut self, what: &str) -> Result<&'f str, String> {
        let length = self.u64(what)?;
        let at = self.at;
        let bytes = self.take(length, what)?;
        std::str::from_utf8(bytes).map_err(|_| {
            let readable = shown(&String::from_utf8_lossy(&bytes[..bytes.len().min(60)]));
            format!("{what} at byte {at} is no UTF-8: `{readable}`")
        })
    }
}
