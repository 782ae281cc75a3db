//! `data:`: the tasks that learned merges and evaluations run the models on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use consilience_core::{Error, Result};

use super::reader::{Reader, given, list};
use super::{ModelRef, lax, names};
use crate::tasks::ExampleSource;
use crate::yaml::{self, Mapping, Node, Place, Source};

/// One entry of `data`: a task with its examples and its head.
#[derive(Clone, Debug)]
pub struct TaskConfig {
    /// `task`, or else the name of the file without its ending.
    pub name: String,
    /// `model`: the expert of this task, which `fisher` and `regmean` run on its examples.
    pub model: Option<ModelRef>,
    /// Where the examples are. The path stands as it is written: [`TaskConfig::find`] finds it.
    pub source: ExampleSource,
    /// `head`: a file of class embeddings or of a classifier, or the folder of a model that has one.
    pub head: Option<String>,
    /// `label_words`: the words that stand for classes in a model that answers in text.
    pub label_words: Vec<String>,
    /// Where the entry stands.
    pub place: Place,
}

/// The tasks of a file.
#[derive(Clone, Debug)]
pub struct TasksConfig {
    /// The text that it was read from, for messages.
    pub source: Source,
    /// The tasks, in the order of the file.
    pub tasks: Vec<TaskConfig>,
}

const KEYS: [&str; 10] =
    ["task", "model", "path", "inputs", "pair", "labels", "head", "label_words", "limit", "length"];

impl TasksConfig {
    /// Reads the section `data` of a file; a merge configuration has one beside its other keys, which are passed over.
    ///
    /// # Errors
    /// [`Error::Config`] with the line for a fault, [`Error::Several`] of them for more than one.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(Source::read(path)?)
    }

    /// As [`TasksConfig::read`], for a text.
    pub fn parse(source: Source) -> Result<Self> {
        let root = yaml::parse(&source)?;
        let mut reader = Reader::new(&source);
        let tasks = match root.mapping().and_then(|top| given(top, "data")) {
            Some(node) => tasks(&mut reader, node),
            None => {
                reader.fault(root.place, "there is no section `data`", HELP);
                None
            }
        };
        Error::all(reader.into_faults())?;
        Ok(Self { tasks: tasks.unwrap_or_default(), source })
    }
}

const HELP: &str =
    "write `data:` and below it, for each task, `- path: EXAMPLES` with a `head: FILE` where it needs one";

/// The tasks below `data`; `None` after a fault.
pub(super) fn section(reader: &mut Reader<'_>, top: &Mapping) -> Option<Vec<TaskConfig>> {
    match given(top, "data") {
        Some(node) => tasks(reader, node),
        None => Some(Vec::new()),
    }
}

fn tasks(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<TaskConfig>> {
    let Some(items) = node.sequence().filter(|items| !items.is_empty()) else {
        reader.fault(node.place, format!("`data` must be a list of tasks, found {}", node.describe()), HELP);
        return None;
    };
    let tasks: Vec<_> = items.iter().map(|item| task(reader, item)).collect();
    let tasks: Vec<TaskConfig> = tasks.into_iter().collect::<Option<_>>()?;
    let mut seen: HashMap<&str, Place> = HashMap::new();
    for task in &tasks {
        if let Some(first) = seen.insert(&task.name, task.place) {
            let problem = format!("two tasks are called `{}`, the first on line {}", task.name, first.line);
            reader.fault(task.place, problem, "give each a `task: NAME` of its own");
        }
    }
    Some(tasks)
}

fn task(reader: &mut Reader<'_>, node: &Node) -> Option<TaskConfig> {
    let mapping = reader.mapping(node, "an entry of `data`", &KEYS)?;
    let model = match given(mapping, "model") {
        Some(model) => Some(names::model(reader, model, "`model`")?),
        None => None,
    };
    let mut text = |key: &str| reader.text(mapping, key).map(|(text, _)| text);
    let (name, path, head) = (text("task"), text("path"), text("head"));
    let (inputs, pair, labels) = (text("inputs"), text("pair"), text("labels"));
    let (limit, length) = (count(reader, mapping, "limit"), count(reader, mapping, "length"));
    let label_words = words(reader, mapping);
    let Some(path) = path else {
        let help = "add `path: …`: a folder of images, or a .npz, .npy, .jsonl, .csv or .tsv file";
        reader.fault(node.place, "this task does not say where its examples are", help);
        return None;
    };
    let stem = Path::new(&path).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Some(TaskConfig {
        name: name.or(stem).unwrap_or_else(|| path.clone()),
        model,
        source: ExampleSource { path: path.into(), inputs, pair, labels, limit, length },
        head,
        label_words,
        place: node.place,
    })
}

/// A whole number of at least 1.
fn count(reader: &mut Reader<'_>, mapping: &Mapping, key: &str) -> Option<usize> {
    let node = given(mapping, key)?;
    let found = node.scalar().and_then(lax::integer).and_then(|value| usize::try_from(value).ok()).filter(|v| *v > 0);
    if found.is_none() {
        let problem = format!("`{key}` must be a whole number above 0, found {}", node.describe());
        reader.fault(node.place, problem, "leave it out for the default");
    }
    found
}

fn words(reader: &mut Reader<'_>, mapping: &Mapping) -> Vec<String> {
    let Some(node) = given(mapping, "label_words") else { return Vec::new() };
    let words: Option<Vec<String>> = node
        .sequence()
        .and_then(|items| items.iter().map(|item| item.scalar().map(|scalar| scalar.text.clone())).collect());
    match words.filter(|words| words.len() > 1) {
        Some(words) => words,
        None => {
            let problem = format!("`label_words` must be a list of two words or more, found {}", node.describe());
            reader.fault(node.place, problem, "write one word for each class, in the order of the labels");
            Vec::new()
        }
    }
}

impl TaskConfig {
    /// Where `path` is, which the task names as its `what`: as it stands, or else in `folder`, that of the configuration.
    ///
    /// # Errors
    /// When nothing is there.
    pub fn find(&self, path: &str, what: &str, folder: Option<&Path>) -> Result<PathBuf> {
        let direct = PathBuf::from(path);
        let beside = folder.map(|folder| folder.join(path));
        let found = [Some(direct.clone()), beside].into_iter().flatten().find(|path| path.exists());
        found.ok_or_else(|| {
            let problem = format!("`{what}`: there is nothing at `{}`", direct.display());
            Error::data(format!("task `{}`", self.name), problem)
                .with_help("relative paths count from the current folder, or else from that of the configuration")
        })
    }

    /// The files and folders that the task reads, as [`TaskConfig::find`] finds them: examples, and the head.
    ///
    /// # Errors
    /// When one is not there.
    pub fn files(&self, folder: Option<&Path>) -> Result<Vec<PathBuf>> {
        let path = self.source.path.to_string_lossy();
        let named = [(Some(&*path), "path"), (self.head.as_deref(), "head")];
        named.into_iter().filter_map(|(path, what)| Some(self.find(path?, what, folder))).collect()
    }
}

/// The names of tasks, for messages.
pub fn task_names(tasks: &[TaskConfig]) -> String {
    list(&tasks.iter().map(|task| task.name.as_str()).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TasksConfig> {
        TasksConfig::parse(Source::new("tasks.yml", text))
    }

    #[test]
    fn tasks_are_read() {
        let found = read(
            "merge_method: whatever\ndata:\n- path: data/digits.npz\n  head: heads/digits.safetensors\n  limit: 100\n\
             - {task: yes_no, path: q.jsonl, inputs: question, labels: answer, label_words: ['yes', 'no'], model: a}\n",
        )
        .unwrap();
        let [digits, answers] = &found.tasks[..] else { panic!("{found:?}") };
        assert_eq!((digits.name.as_str(), digits.source.limit), ("digits", Some(100)));
        assert_eq!(digits.head.as_deref(), Some("heads/digits.safetensors"));
        assert_eq!((answers.name.as_str(), &answers.label_words[..]), ("yes_no", &["yes".to_owned(), "no".into()][..]));
        assert_eq!(answers.source.inputs.as_deref(), Some("question"));
        assert_eq!(answers.model.as_ref().map(|model| model.path.as_str()), Some("a"));
    }

    #[test]
    fn faults_are_told_with_their_line() {
        for (text, says) in [
            ("models: []\n", "no section `data`"),
            ("data: []\n", "must be a list of tasks"),
            ("data:\n- head: x\n", "does not say where its examples are"),
            ("data:\n- {path: a.npz, limt: 3}\n", "did you mean `limit`?"),
            ("data:\n- {path: a.npz, limit: 0}\n", "`limit` must be a whole number above 0"),
            ("data:\n- path: a.npz\n- path: b/a.npz\n", "two tasks are called `a`, the first on line 2"),
            ("data:\n- {path: a.npz, label_words: one}\n", "a list of two words or more"),
        ] {
            let fault = format!("{:?}", miette::Report::new(read(text).unwrap_err()));
            let flat = fault.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.contains(says), "{text}\n{fault}");
        }
    }
}
