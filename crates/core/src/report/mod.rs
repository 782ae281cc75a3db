//! Reports: a title and a sequence of paragraphs, tables, figures and code, written as one self-contained HTML page,
//! Markdown or JSON.
//!
//! ```
//! use consilience_core::report::{Report, Table};
//!
//! let mut report = Report::new("Two numbers");
//! report.paragraph("Here they are.").table(Table::new(["name", "value"]).row(["a < b", "1"]).row(["c", "2"]));
//! assert!(report.to_html().contains("a &lt; b"));
//! assert!(report.to_markdown().contains("| a < b | 1 |"));
//! ```

mod html;
mod markdown;
mod table;

use serde::{Deserialize, Serialize};

pub use html::escape;
pub use table::Table;

use crate::{Result, write_atomically};

/// A page in the making.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The page's title.
    pub title: String,
    /// What is on it, in order.
    pub blocks: Vec<Block>,
}

/// One piece of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// A heading of the second level.
    Heading(String),
    /// Plain text.
    Paragraph(String),
    /// Rows of cells.
    Table(Table),
    /// An inline SVG with a caption. The SVG is written as it is and must come from a trusted source, such as
    /// [`crate::plot`].
    Figure {
        /// The text of the `<svg>` element.
        svg: String,
        /// What it shows.
        caption: String,
    },
    /// Preformatted text.
    Code {
        /// The language for highlighting in Markdown; may be empty.
        language: String,
        /// The text.
        text: String,
    },
    /// A link in a line of its own.
    Link {
        /// The text.
        text: String,
        /// Where it leads: a relative path or a web address.
        target: String,
    },
}

impl Report {
    /// An empty page.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), blocks: Vec::new() }
    }

    fn push(&mut self, block: Block) -> &mut Self {
        self.blocks.push(block);
        self
    }

    /// Adds a heading.
    pub fn heading(&mut self, text: impl Into<String>) -> &mut Self {
        self.push(Block::Heading(text.into()))
    }

    /// Adds plain text.
    pub fn paragraph(&mut self, text: impl Into<String>) -> &mut Self {
        self.push(Block::Paragraph(text.into()))
    }

    /// Adds a table.
    pub fn table(&mut self, table: Table) -> &mut Self {
        self.push(Block::Table(table))
    }

    /// Adds a figure; `svg` must come from a trusted source, such as [`crate::plot`].
    pub fn figure(&mut self, svg: impl Into<String>, caption: impl Into<String>) -> &mut Self {
        self.push(Block::Figure { svg: svg.into(), caption: caption.into() })
    }

    /// Adds preformatted text; `language` may be empty.
    pub fn code(&mut self, language: impl Into<String>, text: impl Into<String>) -> &mut Self {
        self.push(Block::Code { language: language.into(), text: text.into() })
    }

    /// Adds a link.
    pub fn link(&mut self, text: impl Into<String>, target: impl Into<String>) -> &mut Self {
        self.push(Block::Link { text: text.into(), target: target.into() })
    }

    /// One self-contained HTML page: no scripts, nothing loaded from elsewhere, light or dark as the reader prefers.
    pub fn to_html(&self) -> String {
        html::page(self)
    }

    /// GitHub's Markdown. A figure becomes its caption in italics, as Markdown cannot hold an SVG.
    pub fn to_markdown(&self) -> String {
        markdown::page(self)
    }

    /// Indented JSON.
    pub fn to_json(&self) -> String {
        // Strings and lists only: this cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Writes the HTML page, whole or not at all.
    ///
    /// # Errors
    /// Those of [`write_atomically`].
    pub fn write_html(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        write_atomically(path, self.to_html())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Report {
        let mut report = Report::new("T & <T>");
        report
            .heading("Part")
            .paragraph("a < b")
            .table(Table::new(["x", "y|z"]).row(["<script>", "1"]))
            .figure("<svg></svg>", "caption")
            .code("yaml", "a: <b>\n")
            .link("more", "more.html");
        report
    }

    #[test]
    fn html_is_escaped_and_self_contained() {
        let html = page().to_html();
        assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
        for piece in [
            "<title>T &amp; &lt;T&gt;</title>",
            "a &lt; b",
            "&lt;script&gt;",
            "<svg></svg>",
            "a: &lt;b&gt;",
            "href=\"more.html\"",
        ] {
            assert!(html.contains(piece), "{piece} is missing");
        }
        assert!(!html.contains("<script") && !html.contains("http"));
    }

    #[test]
    fn scripts_are_not_linked() {
        let mut report = Report::new("x");
        report.link("click", "javascript:alert(1)");
        assert!(!report.to_html().contains("href"));
    }

    #[test]
    fn markdown_tables_keep_their_columns() {
        let text = page().to_markdown();
        assert!(text.contains("| x | y\\|z |\n| --- | ---: |\n| <script> | 1 |\n"), "{text}");
        assert!(
            text.contains("```yaml\na: <b>\n```")
                && text.contains("[more](more.html)")
                && text.starts_with("# T & <T>\n")
        );
    }

    #[test]
    fn json_goes_both_ways_and_files_are_written() {
        let back: Report = serde_json::from_str(&page().to_json()).unwrap();
        assert_eq!(back, page());
        let folder = tempfile::tempdir().unwrap();
        page().write_html(folder.path().join("a/b.html")).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("a/b.html")).unwrap(), page().to_html());
    }
}
