//! From the parser's events to the tree.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use consilience_core::{Error, Result};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::{
    MAX_BYTES, MAX_DEPTH, MAX_DOCUMENTS, MAX_NODES, Node, Place, Scalar, Source, Value,
    merge::{self, Pair},
    scalar::{self, Kind},
};

const TABS: &str = "YAML is indented with spaces, never with tabs";
const CORE: &str = "tag:yaml.org,2002:";

/// Reads the one document of `source`. An empty text gives null.
///
/// # Errors
/// For text that is not YAML and for everything that [the module](super) refuses, as [`Error::Config`] with the line.
/// Keys given twice are collected and reported together.
pub fn parse(source: &Source) -> Result<Arc<Node>> {
    let mut documents = compose(source, 1)?;
    Ok(documents.pop().map_or_else(|| null(Place::START), |document| document.root))
}

/// One document of a text with several.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it holds; null where it is empty.
    pub root: Arc<Node>,
    /// Its bytes in the text: from its `---`, if it has one, to the next one.
    pub bytes: std::ops::Range<usize>,
}

/// Reads all documents of `source`, which are separated by lines of `---`. An empty text gives none. Anchors do not reach
/// from one document into another.
///
/// # Errors
/// As [`parse`], and for more than [`MAX_DOCUMENTS`].
pub fn parse_all(source: &Source) -> Result<Vec<Document>> {
    compose(source, MAX_DOCUMENTS)
}

fn null(place: Place) -> Arc<Node> {
    Arc::new(Node { place, value: Value::Scalar(Scalar { kind: Kind::Null, text: String::new() }), nodes: 1 })
}

/// Reads at most `most` documents.
fn compose(source: &Source, most: usize) -> Result<Vec<Document>> {
    check_text(source)?;
    let mut composer = Composer::new(source, most);
    let body = source.text().strip_prefix('\u{feff}').unwrap_or(source.text());
    let mut parser = Parser::new_from_str(body);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|fault| composer.syntax(&fault))?;
        composer.take(event, span)?;
    }
    Error::all(composer.faults)?;
    let ends = composer.starts.iter().skip(1).map(|place| place.offset).chain([source.text().len()]);
    let bytes = composer.starts.iter().zip(ends).map(|(start, end)| start.offset..end);
    Ok(composer.roots.into_iter().zip(bytes).map(|(root, bytes)| Document { root, bytes }).collect())
}

/// Control characters have no business in YAML, and a NUL would end the text for the parser.
fn check_text(source: &Source) -> Result<()> {
    let text = source.text();
    if text.len() > MAX_BYTES {
        let problem = format!("the configuration has {} bytes, at most {MAX_BYTES} are read", text.len());
        return Err(source.fault(Place::START, problem, None));
    }
    let bad = text.char_indices().find(|(_, c)| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}'));
    match bad {
        None => Ok(()),
        Some((offset, c)) => Err(source.fault(
            source.place_at(offset, c.len_utf8()),
            format!("the control character U+{:04X} is not allowed in YAML", u32::from(c)),
            Some("delete it, or write it as an escape inside double quotes".into()),
        )),
    }
}

struct Composer<'s> {
    source: &'s Source,
    /// The byte of each character, where the text is not ASCII alone; empty otherwise.
    bytes: Vec<u32>,
    /// Bytes and characters of a byte-order mark before the parser's text.
    mark: usize,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Arc<Node>>,
    /// The root of the document that is being read.
    root: Option<Arc<Node>>,
    /// The roots of the documents that have been read.
    roots: Vec<Arc<Node>>,
    /// Where each document starts.
    starts: Vec<Place>,
    most: usize,
    copied: usize,
    faults: Vec<Error>,
}

enum Frame {
    Sequence { anchor: usize, place: Place, items: Vec<Arc<Node>>, nodes: usize },
    Mapping { anchor: usize, place: Place, pairs: Vec<Pair>, key: Option<(Arc<Node>, bool)> },
}

impl<'s> Composer<'s> {
    fn new(source: &'s Source, most: usize) -> Self {
        let text = source.text();
        let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let body = &text[mark..];
        let bytes = if body.is_ascii() {
            Vec::new()
        } else {
            body.char_indices().map(|(offset, _)| (offset + mark) as u32).collect()
        };
        Self {
            source,
            bytes,
            mark,
            stack: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            roots: Vec::new(),
            starts: Vec::new(),
            most,
            copied: 0,
            faults: Vec::new(),
        }
    }

    /// The byte of the parser's character `index`.
    fn byte(&self, index: usize) -> usize {
        let end = self.source.text().len();
        if self.bytes.is_empty() {
            (index + self.mark).min(end)
        } else {
            self.bytes.get(index).map_or(end, |&byte| byte as usize)
        }
    }

    fn place(&self, span: Span, to_line_end: bool) -> Place {
        let offset = self.byte(span.start.index());
        let end = if to_line_end { usize::MAX } else { self.byte(span.end.index()) };
        Place {
            line: span.start.line(),
            column: span.start.col() + 1,
            offset,
            length: self.source.within_line(offset, end.saturating_sub(offset)),
        }
    }

    fn syntax(&self, fault: &saphyr_parser::ScanError) -> Error {
        let marker = fault.marker();
        let place = self.place(Span::new(*marker, *marker), true);
        let help = if self.source.text()[..place.offset].ends_with('\t')
            || self.source.text()[place.offset..].starts_with('\t')
        {
            TABS
        } else {
            "check the indentation, and that quotes and brackets are closed"
        };
        self.source.fault(place, format!("this is not YAML: {}", fault.info()), Some(help.into()))
    }

    fn fault(&self, place: Place, problem: impl Into<String>, help: &str) -> Error {
        self.source.fault(place, problem, Some(help.into()))
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<()> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd => Ok(()),
            Event::DocumentStart(_) => {
                let place = self.place(span, true);
                if self.starts.len() >= self.most {
                    let (problem, help) = match self.most {
                        1 => (
                            "a second document starts here".to_owned(),
                            "keep one document: delete the `---` and put the other into a file of its own",
                        ),
                        most => (format!("more than {most} documents"), "spread them over several files"),
                    };
                    return Err(self.fault(place, problem, help));
                }
                self.starts.push(place);
                self.anchors.clear();
                Ok(())
            }
            Event::DocumentEnd => {
                let place = self.starts.last().copied().unwrap_or(Place::START);
                self.roots.push(self.root.take().unwrap_or_else(|| null(place)));
                Ok(())
            }
            Event::Alias(id) => {
                let place = self.place(span, false);
                match self.anchors.get(&id).cloned() {
                    Some(node) => self.put(node, false, place),
                    None if self.starts.len() > 1 => Err(self.fault(
                        place,
                        "this alias names a node of another document, or one that it stands in",
                        "neither is possible: write the value out",
                    )),
                    None => Err(self.fault(
                        place,
                        "this alias stands inside the node that it names",
                        "a node cannot contain itself: write the value out",
                    )),
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let place = self.place(span, false);
                let plain = style == ScalarStyle::Plain;
                let is_merge = plain && tag.is_none() && text == "<<"
                    || tag.as_deref().is_some_and(|tag| core(tag).as_deref() == Some("merge"));
                let scalar =
                    if is_merge { Scalar::string(text) } else { self.scalar(text, plain, tag.as_deref(), place)? };
                let node = Arc::new(Node { place, value: Value::Scalar(scalar), nodes: 1 });
                self.keep(anchor, &node);
                self.put(node, is_merge, place)
            }
            Event::SequenceStart(anchor, tag) => {
                let place = self.open(span, tag.as_deref(), "seq")?;
                self.stack.push(Frame::Sequence { anchor, place, items: Vec::new(), nodes: 1 });
                Ok(())
            }
            Event::MappingStart(anchor, tag) => {
                let place = self.open(span, tag.as_deref(), "map")?;
                self.stack.push(Frame::Mapping { anchor, place, pairs: Vec::new(), key: None });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
        }
    }

    fn open(&self, span: Span, tag: Option<&Tag>, wanted: &str) -> Result<Place> {
        let place = self.place(span, true);
        if self.stack.len() >= MAX_DEPTH {
            let problem = format!("nested more than {MAX_DEPTH} deep");
            return Err(self.fault(place, problem, "no merge configuration needs that: is this the right file?"));
        }
        let before = self.source.text()[..place.offset].rsplit(['\n', '\r']).next().unwrap_or_default();
        let block = !self.source.text()[place.offset..].starts_with(['[', '{']);
        if block && before.contains('\t') && before.trim().is_empty() {
            return Err(self.fault(place, "this line is indented with a tab", TABS));
        }
        match tag.map(|tag| (core(tag), tag)) {
            None => Ok(place),
            Some((Some(name), _)) if name == wanted || name.is_empty() => Ok(place),
            Some((_, tag)) => Err(self.unknown_tag(tag, place)),
        }
    }

    fn close(&mut self) -> Result<()> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let (anchor, node) = match frame {
            Frame::Sequence { anchor, place, items, nodes } => {
                (anchor, Node { place, value: Value::Sequence(items), nodes })
            }
            Frame::Mapping { anchor, place, pairs, .. } => {
                self.copied = self.copied.saturating_add(merge::entries_brought(&pairs));
                if self.copied > MAX_NODES {
                    return Err(self.too_many(place));
                }
                let mapping = merge::mapping(pairs, self.source, &mut self.faults);
                let nodes = mapping.entries.iter().map(|entry| entry.key.nodes + entry.value.nodes);
                let nodes = nodes.fold(1usize, usize::saturating_add);
                (anchor, Node { place, value: Value::Mapping(mapping), nodes })
            }
        };
        let place = node.place;
        let node = Arc::new(node);
        self.keep(anchor, &node);
        self.put(node, false, place)
    }

    fn keep(&mut self, anchor: usize, node: &Arc<Node>) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
    }

    /// Puts a finished node where it belongs: into the collection that is open, or at the root.
    fn put(&mut self, node: Arc<Node>, is_merge: bool, at: Place) -> Result<()> {
        let nodes = node.nodes;
        let total = match self.stack.last_mut() {
            None => {
                self.root = Some(node);
                nodes
            }
            Some(Frame::Sequence { items, nodes: total, .. }) => {
                items.push(node);
                *total = total.saturating_add(nodes);
                *total
            }
            Some(Frame::Mapping { key, pairs, .. }) => match key.take() {
                Some((key, merge)) => {
                    pairs.push(Pair { key, value: node, merge });
                    nodes
                }
                None if node.scalar().is_some() => {
                    *key = Some((node, is_merge));
                    nodes
                }
                None => {
                    let problem = format!("a key must be a name, found {}", node.describe());
                    return Err(self.fault(at, problem, "put quotes around text that starts with `{`, `[` or `?`"));
                }
            },
        };
        if total > MAX_NODES { Err(self.too_many(at)) } else { Ok(()) }
    }

    fn too_many(&self, place: Place) -> Error {
        let problem = format!("the aliases expand to more than {MAX_NODES} nodes");
        self.fault(place, problem, "no merge configuration needs that: is this the right file?")
    }

    fn scalar(&self, text: Cow<'_, str>, plain: bool, tag: Option<&Tag>, place: Place) -> Result<Scalar> {
        let Some(tag) = tag.filter(|tag| core(tag).as_deref() != Some("")) else {
            if !plain {
                return Ok(Scalar::string(text));
            }
            return Scalar::plain(text).ok_or_else(|| {
                self.fault(place, "this integer is too large to hold", "put it in quotes if it is meant as text")
            });
        };
        let Some(name) = core(tag) else { return Err(self.unknown_tag(tag, place)) };
        let kind = match &*name {
            "str" | "timestamp" => Some(Kind::Str),
            "null" => Some(Kind::Null),
            "bool" => scalar::forced_bool(&text).map(Kind::Bool),
            "int" => scalar::forced_int(&text).map(Kind::Int),
            "float" => scalar::forced_float(&text).map(Kind::Float),
            _ => return Err(self.unknown_tag(tag, place)),
        };
        match kind {
            Some(kind) => Ok(Scalar { kind, text: text.into_owned() }),
            None => Err(self.fault(
                place,
                format!("`{text}` is not what its tag `!!{name}` asks for"),
                "delete the tag, or mend the value",
            )),
        }
    }

    fn unknown_tag(&self, tag: &Tag, place: Place) -> Error {
        let name = core(tag).map_or_else(|| tag.to_string(), |name| format!("!!{name}"));
        self.fault(
            place,
            format!("the tag `{name}` is not known here"),
            "delete it: a merge configuration has plain text, numbers, lists and mappings only",
        )
    }
}

/// The name of a core tag: `str` for `!!str`. The non-specific tag `!` gives the empty name: PyYAML treats it as none.
fn core(tag: &Tag) -> Option<String> {
    let full = format!("{}{}", tag.handle, tag.suffix);
    if full == "!" { Some(String::new()) } else { full.strip_prefix(CORE).map(str::to_owned) }
}
