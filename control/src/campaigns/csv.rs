//! Reads CSV (RFC 4180 and what spreadsheets make of it) as it arrives, in any pieces.
//!
//! UTF-8 with or without byte order mark and UTF-16 with one; lines end in CRLF, LF or CR; cells are
//! separated by comma, semicolon or tab, whichever the header line has most of.

/// Longest row in bytes.
const ROW_BYTES_MAX: usize = 256 * 1024;
/// Most cells of a row.
const CELLS_MAX: usize = 500;

/// Why the text as a whole cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CsvError {
    /// Neither UTF-8 nor UTF-16 with a byte order mark.
    #[error("the file is neither UTF-8 nor UTF-16; save it as CSV UTF-8")]
    Encoding,
    /// A row has no end.
    #[error("row {0} is longer than 256 KiB; is a quotation mark left open?")]
    RowTooLong(u64),
    /// A row has too many cells.
    #[error("row {0} has more than 500 cells")]
    TooManyCells(u64),
}

/// A row: its number in the file, the header being 1, and its cells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CsvRow {
    /// Counts rows from 1, blank ones included.
    pub number: u64,
    /// The cells, without quotation marks.
    pub cells: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

/// Where the reader is in a cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    CellStart,
    Plain,
    Quoted,
    /// After a quotation mark within a quoted cell: its end, or half of a doubled one.
    QuoteSeen,
}

/// The reader.
#[derive(Debug)]
pub struct CsvReader {
    encoding: Option<Encoding>,
    /// Bytes that wait for more: of the mark, or of a UTF-16 unit.
    held: Vec<u8>,
    high_surrogate: Option<u16>,
    separator: Option<u8>,
    /// The header line until the separator is known.
    head: Vec<u8>,
    place: Place,
    cell: Vec<u8>,
    cells: Vec<String>,
    row_bytes: usize,
    number: u64,
    /// Whether the last byte was CR, so that LF belongs to it.
    after_cr: bool,
}

impl Default for CsvReader {
    fn default() -> Self {
        Self {
            encoding: None,
            held: Vec::new(),
            high_surrogate: None,
            separator: None,
            head: Vec::new(),
            place: Place::CellStart,
            cell: Vec::new(),
            cells: Vec::new(),
            row_bytes: 0,
            number: 1,
            after_cr: false,
        }
    }
}

impl CsvReader {
    /// Takes the next bytes and adds the rows that they complete. Blank rows are left out.
    ///
    /// # Errors
    /// [`CsvError`]; the reader is of no use after it.
    pub fn push(&mut self, bytes: &[u8], rows: &mut Vec<CsvRow>) -> Result<(), CsvError> {
        match self.encoding {
            Some(Encoding::Utf8) => self.take(bytes, rows),
            Some(_) => self.take_utf16(bytes, rows),
            None => {
                self.held.extend_from_slice(bytes);
                if self.held.len() < 3 {
                    return Ok(());
                }
                self.decide(rows)
            }
        }
    }

    /// Takes the end of the text: a last row without a line end counts.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn finish(&mut self, rows: &mut Vec<CsvRow>) -> Result<(), CsvError> {
        if self.encoding.is_none() {
            self.decide(rows)?;
        }
        if !self.held.is_empty() || self.high_surrogate.is_some() {
            return Err(CsvError::Encoding);
        }
        if self.separator.is_none() {
            self.read_head(rows)?;
        }
        if !self.cell.is_empty() || !self.cells.is_empty() || self.place != Place::CellStart {
            self.end_row(rows)?;
        }
        Ok(())
    }

    fn decide(&mut self, rows: &mut Vec<CsvRow>) -> Result<(), CsvError> {
        let held = std::mem::take(&mut self.held);
        match held.as_slice() {
            [0xEF, 0xBB, 0xBF, rest @ ..] => {
                self.encoding = Some(Encoding::Utf8);
                self.take(rest, rows)
            }
            [0xFF, 0xFE, rest @ ..] => {
                self.encoding = Some(Encoding::Utf16Le);
                self.take_utf16(rest, rows)
            }
            [0xFE, 0xFF, rest @ ..] => {
                self.encoding = Some(Encoding::Utf16Be);
                self.take_utf16(rest, rows)
            }
            bytes => {
                self.encoding = Some(Encoding::Utf8);
                self.take(bytes, rows)
            }
        }
    }

    fn take_utf16(&mut self, bytes: &[u8], rows: &mut Vec<CsvRow>) -> Result<(), CsvError> {
        let mut text = String::with_capacity(bytes.len());
        for byte in bytes {
            self.held.push(*byte);
            let [first, second] = self.held[..] else {
                continue;
            };
            self.held.clear();
            let unit = match self.encoding {
                Some(Encoding::Utf16Be) => u16::from_be_bytes([first, second]),
                _ => u16::from_le_bytes([first, second]),
            };
            let units = match (self.high_surrogate.take(), unit) {
                (None, 0xD800..=0xDBFF) => {
                    self.high_surrogate = Some(unit);
                    continue;
                }
                (None, unit) => [unit, 0],
                (Some(high), unit) => [high, unit],
            };
            let length = if units[1] == 0 { 1 } else { 2 };
            for c in char::decode_utf16(units[..length].iter().copied()) {
                text.push(c.map_err(|_| CsvError::Encoding)?);
            }
        }
        self.take(text.as_bytes(), rows)
    }

    fn take(&mut self, bytes: &[u8], rows: &mut Vec<CsvRow>) -> Result<(), CsvError> {
        if self.separator.is_some() {
            return self.read(bytes, rows);
        }
        // The separator is looked for in the first line, whatever it holds in quotation marks.
        self.head.extend_from_slice(bytes);
        if self.head.len() > ROW_BYTES_MAX || first_line_end(&self.head).is_some() {
            return self.read_head(rows);
        }
        Ok(())
    }

    fn read_head(&mut self, rows: &mut Vec<CsvRow>) -> Result<(), CsvError> {
        let head = std::mem::take(&mut self.head);
        let end = first_line_end(&head).unwrap_or(head.len());
        self.separator = Some(separator_of(&head[..end]));
        self.read(&head, rows)
    }

    fn read(&mut self, bytes: &[u8], rows: &mut Vec<CsvRow>) -> Result<(), CsvError> {
        let separator = self.separator.unwrap_or(b',');
        for &byte in bytes {
            let after_cr = std::mem::take(&mut self.after_cr);
            self.row_bytes += 1;
            if self.row_bytes > ROW_BYTES_MAX {
                return Err(CsvError::RowTooLong(self.number));
            }
            if self.place == Place::Quoted {
                if byte == b'"' {
                    self.place = Place::QuoteSeen;
                } else {
                    self.cell.push(byte);
                }
                continue;
            }
            match byte {
                b'\n' if after_cr => self.row_bytes = 0,
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    self.end_row(rows)?;
                }
                _ if byte == separator => self.end_cell()?,
                b'"' if self.place == Place::CellStart => self.place = Place::Quoted,
                b'"' if self.place == Place::QuoteSeen => {
                    self.cell.push(b'"');
                    self.place = Place::Quoted;
                }
                _ => {
                    self.cell.push(byte);
                    self.place = Place::Plain;
                }
            }
        }
        Ok(())
    }

    fn end_cell(&mut self) -> Result<(), CsvError> {
        if self.cells.len() >= CELLS_MAX {
            return Err(CsvError::TooManyCells(self.number));
        }
        let cell = std::mem::take(&mut self.cell);
        self.cells
            .push(String::from_utf8(cell).map_err(|_| CsvError::Encoding)?);
        self.place = Place::CellStart;
        Ok(())
    }

    fn end_row(&mut self, rows: &mut Vec<CsvRow>) -> Result<(), CsvError> {
        self.end_cell()?;
        let cells = std::mem::take(&mut self.cells);
        if cells.iter().any(|cell| !cell.trim().is_empty()) {
            rows.push(CsvRow {
                number: self.number,
                cells,
            });
        }
        self.number += 1;
        self.row_bytes = 0;
        Ok(())
    }
}

fn first_line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'))
}

fn separator_of(line: &[u8]) -> u8 {
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for byte in line {
        if *byte == b'"' {
            quoted = !quoted;
        } else if !quoted
            && let Some((_, count)) = counts.iter_mut().find(|(separator, _)| separator == byte)
        {
            *count += 1;
        }
    }
    // Of equals the first: a header of one column has none of them.
    let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let found = counts.iter().find(|(_, count)| *count == most);
    found.map_or(b',', |(separator, _)| *separator)
}

/// A cell of a CSV that we write (RFC 4180); one that a spreadsheet would take for a formula
/// begins with an apostrophe.
#[must_use]
pub fn written(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains([',', '"', '\n', '\r', ';']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<Vec<String>>, CsvError> {
        let mut reader = CsvReader::default();
        let mut rows = Vec::new();
        for piece in pieces {
            reader.push(piece, &mut rows)?;
        }
        reader.finish(&mut rows)?;
        Ok(rows.into_iter().map(|row| row.cells).collect())
    }

    #[test]
    fn what_spreadsheets_write_is_read() {
        for text in [
            "to,name\r\n+1,\"Ann, \"\"A\"\"\"\r\n",
            "\u{feff}to;name\n+1;\"Ann, \"\"A\"\"\"",
            "to\tname\r+1\t\"Ann, \"\"A\"\"\"\r",
        ] {
            let rows = read(&[text.as_bytes()]).unwrap();
            assert_eq!(rows, [["to", "name"], ["+1", "Ann, \"A\""]], "{text}");
        }
        let rows = read(&[b"a,b\n\n,\n\"x\ny\",z,more\nshort"]).unwrap();
        assert_eq!(rows[1], ["x\ny", "z", "more"]);
        assert_eq!(rows[2], ["short"]);
        assert!(read(&[b""]).unwrap().is_empty());
        assert_eq!(read(&[b"x"]).unwrap(), [["x"]]);
    }

    #[test]
    fn utf16_is_read_and_other_encodings_are_refused() {
        let text = "to,name\n+1,Zoë 😀\n";
        for big in [false, true] {
            let mut bytes = Vec::new();
            for unit in std::iter::once(0xFEFF).chain(text.encode_utf16()) {
                bytes.extend(if big {
                    unit.to_be_bytes()
                } else {
                    unit.to_le_bytes()
                });
            }
            assert_eq!(read(&[&bytes]).unwrap()[1], ["+1", "Zoë 😀"]);
            bytes.pop();
            assert_eq!(read(&[&bytes]), Err(CsvError::Encoding));
        }
        assert_eq!(read(&[b"to,name\n+1,Zo\xEB\n"]), Err(CsvError::Encoding));
    }

    #[test]
    fn a_quotation_mark_left_open_ends_somewhere() {
        let mut text = b"to\n\"".to_vec();
        text.extend(std::iter::repeat_n(b'x', 300 * 1024));
        assert_eq!(read(&[&text]), Err(CsvError::RowTooLong(2)));
    }

    proptest! {
        /// However the text is cut into pieces, the rows are the same; what we write, we read.
        #[test]
        fn pieces_make_no_difference(
            cells in proptest::collection::vec(proptest::collection::vec("[ -~é\n]{0,12}", 3), 1..8),
            cut in 0_usize..400,
        ) {
            let mut text = "a,b,c\n".to_owned();
            for row in &cells {
                let written: Vec<String> = row.iter().map(|cell| super::written(cell)).collect();
                text.push_str(&written.join(","));
                text.push('\n');
            }
            let bytes = text.as_bytes();
            let cut = cut.min(bytes.len());
            let whole = read(&[bytes]);
            let parts = read(&[&bytes[..cut], &bytes[cut..]]);
            prop_assert_eq!(&whole, &parts);
            let rows = whole.unwrap();
            let expected = cells.iter().filter(|row| row.iter().any(|c| !c.trim().is_empty()));
            for (row, cells) in rows[1..].iter().zip(expected) {
                for (read, cell) in row.iter().zip(cells) {
                    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
                    let cell = if formula { format!("'{cell}") } else { cell.clone() };
                    prop_assert_eq!(read, &cell);
                }
            }
        }

        #[test]
        fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&[&bytes]);
        }
    }
}
