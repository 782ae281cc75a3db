//! The table of methods, against mergekit 0.1.5's registry.

use super::super::{BasePolicy, DefaultValue, METHODS, Method, Parameter, Scope, Type};

fn parameter(parameter: &Parameter) -> String {
    let kind = match parameter.kind {
        Type::Bool => "bool",
        Type::Int => "int",
        Type::Float => "float",
    };
    let scope = match parameter.scope {
        Scope::Shared => "shared",
        Scope::Input => "input",
        Scope::NonBase => "non_base",
    };
    let number = |value: f64| {
        let text = format!("{value:.6e}");
        let (mantissa, exponent) = text.split_once('e').unwrap();
        format!("{mantissa}e{:+03}", exponent.parse::<i32>().unwrap())
    };
    let default = match parameter.default {
        DefaultValue::Required => "required".into(),
        DefaultValue::Nothing => "nothing".into(),
        DefaultValue::Bool(value) => value.to_string(),
        DefaultValue::Int(value) => number(value as f64),
        DefaultValue::Float(value) => number(value),
    };
    format!("{}:{kind}:{scope}:{default}", parameter.name)
}

fn line(method: &Method) -> String {
    let base = match method.base {
        BasePolicy::Required => "required",
        BasePolicy::Optional => "optional",
        BasePolicy::Ignored => "ignored",
    };
    let most = |count: Option<usize>| count.map_or("-".into(), |count| count.to_string());
    let mut parameters: Vec<_> = method.parameters.iter().map(parameter).collect();
    parameters.sort();
    let (name, reference) = (method.name, method.reference.unwrap_or("-"));
    let (max_inputs, max_non_base) = (most(method.max_inputs), most(method.max_non_base));
    let (min_inputs, min_non_base) = (method.min_inputs, method.min_non_base);
    let parameters = parameters.join(" ");
    format!("{name} {reference} {base} {min_inputs} {max_inputs} {min_non_base} {max_non_base} {parameters}")
        .trim_end()
        .to_owned()
}

#[test]
fn the_table_is_that_of_mergekit() {
    // Name, reference, base, fewest and most inputs, fewest and most besides the base, parameters.
    #[rustfmt::skip]
    let table = [
        "arcee_fusion https://arcee.ai required 2 2 0 -",
        "breadcrumbs https://arxiv.org/abs/2312.06795 required 1 - 0 - density:float:non_base:1.000000e+00 gamma:float:non_base:1.000000e-02 int8_mask:bool:shared:false lambda:float:shared:1.000000e+00 normalize:bool:shared:false rescale:bool:shared:false weight:float:non_base:required",
        "breadcrumbs_ties https://arxiv.org/abs/2312.06795 required 1 - 0 - density:float:non_base:1.000000e+00 gamma:float:non_base:1.000000e-02 int8_mask:bool:shared:false lambda:float:shared:1.000000e+00 normalize:bool:shared:false rescale:bool:shared:false weight:float:non_base:required",
        "dare_linear https://arxiv.org/abs/2311.03099 required 1 - 0 - density:float:non_base:1.000000e+00 int8_mask:bool:shared:false lambda:float:shared:1.000000e+00 normalize:bool:shared:false rescale:bool:shared:true weight:float:non_base:required",
        "dare_ties https://arxiv.org/abs/2311.03099 required 1 - 0 - density:float:non_base:1.000000e+00 int8_mask:bool:shared:false lambda:float:shared:1.000000e+00 normalize:bool:shared:false rescale:bool:shared:true weight:float:non_base:required",
        "della https://arxiv.org/abs/2406.11617 required 1 - 0 - density:float:non_base:1.000000e+00 epsilon:float:non_base:1.500000e-01 int8_mask:bool:shared:false lambda:float:shared:1.000000e+00 normalize:bool:shared:true rescale:bool:shared:true weight:float:non_base:required",
        "della_linear https://arxiv.org/abs/2406.11617 required 1 - 0 - density:float:non_base:1.000000e+00 epsilon:float:non_base:1.500000e-01 int8_mask:bool:shared:false lambda:float:shared:1.000000e+00 normalize:bool:shared:false rescale:bool:shared:true weight:float:non_base:required",
        "karcher https://arxiv.org/abs/2603.04972 ignored 1 - 0 - max_iter:int:shared:1.000000e+01 tol:float:shared:1.000000e-05",
        "linear https://arxiv.org/abs/2203.05482 ignored 1 - 0 - normalize:bool:shared:true weight:float:input:required",
        "model_stock https://arxiv.org/abs/2403.19522 required 3 - 0 - filter_wise:bool:shared:false",
        "multislerp https://goddard.blog/posts/multislerp-wow-what-a-cool-idea optional 1 - 1 - eps:float:shared:1.000000e-08 normalize_weights:bool:shared:true weight:float:non_base:required",
        "nearswap https://huggingface.co/alchemonaut/QuartetAnemoi-70B-t0.0001 required 2 2 0 - t:float:shared:required",
        "nuslerp - optional 1 - 2 2 nuslerp_flatten:bool:shared:true nuslerp_row_wise:bool:shared:false weight:float:non_base:required",
        "passthrough - ignored 1 1 0 - scale:float:input:nothing",
        "ram https://arxiv.org/abs/2601.13572 required 1 - 0 - epsilon:float:shared:1.000000e-05",
        "ramplus_tl https://arxiv.org/abs/2601.13572 required 1 - 0 - alpha:float:shared:2.000000e-01 epsilon:float:shared:1.000000e-05 r:float:shared:1.000000e-01",
        "sce https://arxiv.org/abs/2408.07990 required 1 - 0 - int8_mask:bool:shared:false select_topk:float:shared:1.000000e+00",
        "slerp https://en.wikipedia.org/wiki/Slerp required 2 2 0 - t:float:shared:required",
        "task_arithmetic https://arxiv.org/abs/2212.04089 required 1 - 0 - density:float:non_base:1.000000e+00 int8_mask:bool:shared:false lambda:float:shared:1.000000e+00 normalize:bool:shared:false rescale:bool:shared:false weight:float:non_base:required",
        "ties https://arxiv.org/abs/2306.01708 required 1 - 0 - density:float:non_base:1.000000e+00 int8_mask:bool:shared:false lambda:float:shared:1.000000e+00 normalize:bool:shared:true rescale:bool:shared:false weight:float:non_base:required",
    ];
    let mut lines: Vec<_> = METHODS.iter().take(table.len()).map(line).collect();
    lines.sort_by(|a, b| a.split(' ').next().cmp(&b.split(' ').next()));
    assert_eq!(lines, table);
}

#[test]
fn names_are_unique_and_what_mergekit_lacks_has_its_source() {
    let mut names: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    for method in METHODS.iter().skip(20) {
        assert_eq!(method.base, BasePolicy::Required, "{}", method.name);
        assert!(method.reference.is_some_and(|r| r.starts_with("https://arxiv.org/abs/")), "{}", method.name);
    }
}

#[test]
fn every_default_lies_in_its_range_and_every_text_is_there() {
    for method in &METHODS {
        assert!(!method.title.is_empty() && !method.summary.is_empty(), "{}", method.name);
        for parameter in method.parameters {
            assert!(!parameter.description.is_empty(), "{} {}", method.name, parameter.name);
            let value = match parameter.default {
                DefaultValue::Int(value) => value as f64,
                DefaultValue::Float(value) => value,
                _ => continue,
            };
            assert!(parameter.range.contains(value), "{} {}", method.name, parameter.name);
        }
    }
}
