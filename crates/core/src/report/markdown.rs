//! GitHub's Markdown.

use super::{Block, Report, Table};

pub(super) fn page(report: &Report) -> String {
    let blocks: Vec<String> = report.blocks.iter().map(block).collect();
    format!("# {}\n\n{}", report.title, blocks.join("\n"))
}

fn block(block: &Block) -> String {
    match block {
        Block::Heading(text) => format!("## {text}\n"),
        Block::Paragraph(text) => format!("{text}\n"),
        Block::Table(rows) => table(rows),
        Block::Figure { caption, .. } => format!("*{caption}*\n"),
        Block::Code { language, text } => {
            // The fence must be longer than any run of backticks inside.
            let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
            let fence = "`".repeat(longest.max(2) + 1);
            format!("{fence}{language}\n{}\n{fence}\n", text.trim_end())
        }
        Block::Link { text, target } => format!("[{text}]({target})\n"),
    }
}

fn table(table: &Table) -> String {
    let row = |cells: &[String]| {
        let cells: Vec<String> = (0..table.columns())
            .map(|i| cells.get(i).map(|c| c.replace('|', "\\|").replace('\n', " ")).unwrap_or_default())
            .collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule =
        (0..table.columns()).map(|i| if table.is_numeric(i) { "---:" } else { "---" }).collect::<Vec<_>>().join(" | ");
    let rows: String = table.rows.iter().map(|cells| row(cells)).collect();
    format!("{}| {rule} |\n{rows}", row(&table.header))
}
