//! One self-contained HTML page.

use std::fmt::Write;

use super::{Block, Report, Table};

const STYLE: &str = "\
:root{color-scheme:light dark;--text:#222;--paper:#fff;--line:#ddd;--soft:#f5f6f8;--link:#0060a0}
@media(prefers-color-scheme:dark){:root{--text:#ddd;--paper:#16181c;--line:#3a3d44;--soft:#20232a;--link:#6db3f2}}
body{font:16px/1.55 system-ui,sans-serif;color:var(--text);background:var(--paper);max-width:56rem;margin:2rem auto;padding:0 1rem}
h1{line-height:1.2}h2{margin-top:2.2rem}a{color:var(--link)}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.92rem;margin:1rem 0}
th,td{padding:.35rem .75rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
th{background:var(--soft)}.n{text-align:right;font-variant-numeric:tabular-nums}
figure{margin:1.5rem 0}figure svg{max-width:100%;height:auto;border-radius:6px}figcaption{font-size:.9rem;opacity:.8}
pre{background:var(--soft);padding:.8rem 1rem;overflow-x:auto;border-radius:6px;font-size:.88rem}
";

/// Text with the characters that HTML gives a meaning to replaced.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

pub(super) fn page(report: &Report) -> String {
    let title = escape(&report.title);
    let body: String = report.blocks.iter().map(block).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
    )
}

fn block(block: &Block) -> String {
    match block {
        Block::Heading(text) => format!("<h2>{}</h2>\n", escape(text)),
        Block::Paragraph(text) => format!("<p>{}</p>\n", escape(text)),
        Block::Table(rows) => table(rows),
        Block::Figure { svg, caption } => {
            format!("<figure>\n{svg}\n<figcaption>{}</figcaption>\n</figure>\n", escape(caption))
        }
        Block::Code { text, .. } => format!("<pre><code>{}</code></pre>\n", escape(text)),
        Block::Link { text, target } if is_safe(target) => {
            format!("<p><a href=\"{}\">{}</a></p>\n", escape(target), escape(text))
        }
        Block::Link { text, .. } => format!("<p>{}</p>\n", escape(text)),
    }
}

/// A relative path or a web address; not `javascript:` and its like.
fn is_safe(target: &str) -> bool {
    match target.split_once(':') {
        Some((scheme, _)) => scheme == "https" || scheme == "http",
        None => true,
    }
}

fn table(table: &Table) -> String {
    let numeric: Vec<bool> = (0..table.columns()).map(|column| table.is_numeric(column)).collect();
    let row = |cells: &[String], tag: &str| {
        let mut out = String::from("<tr>");
        for (index, number) in numeric.iter().enumerate() {
            let class = if *number { " class=\"n\"" } else { "" };
            let text = cells.get(index).map(|c| escape(c)).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = write!(out, "<{tag}{class}>{text}</{tag}>");
        }
        out + "</tr>\n"
    };
    let rows: String = table.rows.iter().map(|cells| row(cells, "td")).collect();
    let head = row(&table.header, "th");
    format!("<div class=\"wide\"><table>\n<thead>\n{head}</thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n")
}
