//! Rows of cells, for a page or a terminal.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table as Terminal, presets};
use serde::{Deserialize, Serialize};

/// A header and rows of cells. A short row is filled up with empty cells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// The columns' names.
    pub header: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        Self { header: header.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// The table with one row more.
    #[must_use]
    pub fn row<S: Into<String>>(mut self, cells: impl IntoIterator<Item = S>) -> Self {
        self.push(cells);
        self
    }

    /// Adds a row.
    pub fn push<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The table as a terminal shows it, numbers to the right; as wide as its contents, or as the terminal where it has
    /// one.
    pub fn to_text(&self) -> String {
        let mut table = Terminal::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(&self.header);
        for row in &self.rows {
            table.add_row(row);
        }
        for index in (0..self.columns()).filter(|index| self.is_numeric(*index)) {
            if let Some(column) = table.column_mut(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.trim_fmt()
    }

    pub(super) fn columns(&self) -> usize {
        self.rows.iter().map(Vec::len).chain([self.header.len()]).max().unwrap_or(0)
    }

    /// Whether every cell of a column starts like a number, or is empty.
    pub(super) fn is_numeric(&self, column: usize) -> bool {
        let mut cells =
            self.rows.iter().filter_map(|r| r.get(column)).filter(|c| !c.is_empty() && *c != "–").peekable();
        cells.peek().is_some()
            && cells
                .all(|c| c.trim_start_matches(['+', '-', '−', '<', '±', ' ']).starts_with(|d: char| d.is_ascii_digit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_get_aligned_columns() {
        let text = Table::new(["name", "value"]).row(["long name", "1"]).row(["b", "10.5"]).to_text();
        assert!(text.contains("name") && text.contains("long name"), "{text}");
        let ends: Vec<usize> = text
            .lines()
            .filter(|l| l.contains(" 1") || l.contains("10.5"))
            .map(|l| l.trim_end().chars().count())
            .collect();
        assert!(ends.len() == 2 && ends[0] == ends[1], "numbers end in the same column:\n{text}");
    }

    #[test]
    fn numeric_columns_are_told_apart() {
        let table = Table::new(["a", "b", "c"]).row(["1", "x", ""]).row(["−2.5 ± 1", "3", ""]);
        assert_eq!([0, 1, 2].map(|c| table.is_numeric(c)), [true, false, false]);
    }
}
