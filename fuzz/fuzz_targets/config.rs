//! Any text as a merge configuration: no panic, an answer in good time, and faults that lie within the text.

#![no_main]

use consilience_merging::config::MergeConfig;
use consilience_merging::multi::MultiConfig;
use consilience_merging::yaml::Source;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    check(text);
    // The same again as the rest of a configuration that has begun well, which random text seldom has.
    check(&format!("merge_method: ties\nbase_model: a\nmodels: [{{model: b}}, {{model: c}}]\n{text}"));
    check(&format!("merge_method: linear\nmodels:\n- model: b\n  parameters: {{weight: {text}}}\n- model: c\n"));
    several(text);
    several(&format!("name: b\nmerge_method: passthrough\nmodels: [{{model: a}}]\n---\n{text}"));
});

fn several(text: &str) {
    if let Ok(Some(config)) = MultiConfig::parse(Source::new("fuzzed.yml", text)) {
        for (number, stage) in config.stages.iter().enumerate() {
            assert!(stage.needs.iter().all(|other| *other < number), "a merge runs before one that it uses");
        }
    }
}

fn check(text: &str) {
    if let Ok(config) = MergeConfig::parse(Source::new("fuzzed.yml", text)) {
        assert!(!config.models().is_empty(), "a configuration without models was let through");
        config.note_lines().for_each(drop);
    }
}
